"""Which items look, read or sound alike: exact nearest neighbours in blocks."""

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.data.features import Modality
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError
from alnico.graphs.cache import Arrays, GraphCache
from alnico.kernels.top_items import top_items

BLOCK_BYTES = 64 * 2**20


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length one; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit


def distinct_rows(table: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The different rows of a table in order of appearance, and the number among them of each row's like.

    A matrix product may sum equal columns in different orders, and so tell twins apart by a rounding error;
    products with the distinct rows, handed out to all their copies, tie exactly.
    """
    first: dict[bytes, int] = {}
    copy_of = np.array([first.setdefault(row.tobytes(), len(first)) for row in table], dtype=np.int64)
    if len(first) == len(table):
        return table, copy_of
    return table[np.unique(copy_of, return_index=True)[1]], copy_of


def nearest_neighbours(
    modality: Modality, k: int, cache: GraphCache | None = None, block_bytes: int = BLOCK_BYTES
) -> ItemNeighbours:
    """For each item the k others of highest cosine, ties to the smaller item number; self excluded.

    Absent items have no neighbours and are nobody's. Never forms items x items: rows are scored in blocks of
    about ``block_bytes``. Shapes: [items, k].

    Raises DataError if k is below 1.
    Implements: Eq. (1).
    """
    if k < 1:
        raise DataError(f"the number of neighbours must be at least 1; found {k}")
    known = np.flatnonzero(modality.present)
    k = min(k, max(len(known) - 1, 1))

    def make() -> Arrays:
        return _search(modality, known, k, block_bytes)

    remembered = (cache or GraphCache()).get(
        "nearest_neighbours", 1, {"k": k}, [modality.vectors, modality.present], make
    )
    return ItemNeighbours(remembered["items"], remembered["weights"])  # type: ignore[arg-type]


def _search(modality: Modality, known: NDArray[np.int64], k: int, block_bytes: int) -> Arrays:
    n_items = len(modality.vectors)
    items = np.full((n_items, k), -1, np.int32)
    weights = np.zeros((n_items, k), np.float32)
    unit = unit_rows(modality.vectors[known])
    distinct, copy_of = distinct_rows(unit)
    table, others, copies = (torch.from_numpy(part) for part in (unit, distinct, copy_of))
    step = max(1, block_bytes // (4 * max(len(known), 1)))
    for start in range(0, len(known), step):
        rows = np.arange(start, min(start + step, len(known)))
        cosines = (table[start : start + step] @ others.T)[:, copies]
        # The only item left out of row j's list is j itself.
        found, values = top_items(cosines, np.arange(len(rows) + 1), rows, k)
        items[known[rows]] = np.where(found < 0, -1, known[found])
        weights[known[rows]] = np.where(found < 0, 0, values)
    return {"items": items, "weights": weights}
