"""Which items look, read or sound alike: nearest neighbours in blocks."""

import logging
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alnico.data.features import ItemFeatures, Modality
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError
from alnico.graphs.approximate import nearest_by_faiss
from alnico.graphs.cache import Arrays, GraphCache
from alnico.kernels.distinct import number_rows
from alnico.kernels.nearest import feed_lists, spread_lists
from alnico.kernels.top_items import top_items
from alnico.randomness import rng

Search = Literal["exact", "approximate"]
BLOCK_BYTES = 64 * 2**20
RECALL_SAMPLE = 1_000
"""Items on which the recall of an approximate search is measured, at most."""

_log = logging.getLogger(__name__)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length one; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32, copy=False)
    return unit


def of_length_one(features: ItemFeatures) -> ItemFeatures:
    """The same features with vectors scaled to length one; absent ones are zero, and a vector of zeros is absent."""
    told: dict[str, Modality] = {}
    for name, own in features.items():
        present = own.present & np.asarray(own.vectors.any(axis=1))
        vectors = unit_rows(np.where(present[:, None], own.vectors, np.float32(0)))
        vectors.flags.writeable = False
        told[name] = Modality(vectors, present)
    return ItemFeatures(features.n_items, told)


def distinct_rows(table: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The different rows of a table in order of appearance, and the number among them of each row's like.

    A matrix product may sum equal columns in different orders, and so tell twins apart by a rounding error;
    products with the distinct rows, handed out to all their copies, tie exactly.
    """
    firsts, copy_of = number_rows(table)
    return (table if len(firsts) == len(table) else table[firsts]), copy_of


def nearest_neighbours(
    modality: Modality,
    k: int,
    cache: GraphCache | None = None,
    block_bytes: int = BLOCK_BYTES,
    search: Search = "exact",
) -> ItemNeighbours:
    """For each item the k others of highest cosine, ties to the smaller item number; self excluded.

    Absent items have no neighbours and are nobody's. Never forms items x items: scores are formed in square
    blocks of about ``block_bytes``. ``approximate`` (faiss) looks only where near items are likely to be, which pays
    beyond some 10^5 items, at the price of a few misses; the lists then say their ``recall``, measured on at most
    1,000 items. Shapes: [items, k].

    Raises DataError if k is below 1, UnsupportedError if an approximate search is asked for without faiss.
    Implements: Eq. (1).
    """
    if k < 1:
        raise DataError(f"the number of neighbours must be at least 1; found {k}")
    known = np.flatnonzero(modality.present)
    k = min(k, max(len(known) - 1, 1))

    def make() -> Arrays:
        return _search(modality, known, k, block_bytes, search)

    remembered = (cache or GraphCache()).get(
        "nearest_neighbours", 2, {"k": k, "search": search}, [modality.vectors, modality.present], make
    )
    recall = float(remembered["recall"][0]) if "recall" in remembered else None
    if recall is not None:
        _log.info(
            "%d nearest neighbours were searched approximately: %.1f %% of the true ones were found",
            k,
            100 * recall,
        )
    return ItemNeighbours(remembered["items"], remembered["weights"], recall)  # type: ignore[arg-type]


def _search(modality: Modality, known: NDArray[np.int64], k: int, block_bytes: int, search: Search) -> Arrays:
    n_items = len(modality.vectors)
    items, weights = np.full((n_items, k), -1, np.int32), np.zeros((n_items, k), np.float32)
    found: Arrays = {"items": items, "weights": weights}
    if not len(known):
        return found
    distinct, copy_of = distinct_rows(unit_rows(modality.vectors[known]))
    # The copies of a row are its neighbours too, so a list of its likes may begin with itself.
    width = min(k + 1, len(distinct))
    exact = search == "exact"
    lists = _nearest_rows(distinct, width, block_bytes) if exact else nearest_by_faiss(distinct, width)
    rows = np.arange(len(known))
    nearest, values = spread_lists(*lists, copy_of, rows, copy_of, k)
    items[known], weights[known] = np.where(nearest < 0, -1, known[nearest]), values
    if not exact:
        sample = np.sort(rng(0, "neighbour recall").permutation(rows)[:RECALL_SAMPLE])
        right = nearest_of_some(distinct, distinct[copy_of[sample]], width, block_bytes)
        true, _ = spread_lists(*right, np.arange(len(sample)), sample, copy_of, k)
        found["recall"] = np.array([_recall(nearest[sample], true)])
    return found


def _nearest_rows(
    table: NDArray[np.float32], width: int, block_bytes: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Of each row the ``width`` rows of largest product, itself among them, and the products."""
    rows = torch.from_numpy(table)

    def products(upper: slice, lower: slice, block: Tensor) -> None:
        torch.mm(rows[upper], rows[lower].T, out=block)

    return nearest_by_blocks(len(table), width, block_bytes, products)


def nearest_by_blocks(
    n_rows: int, width: int, block_bytes: int, fill: Callable[[slice, slice, Tensor], None]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Of each row the ``width`` rows of highest score, itself among them, and the scores; best first.

    ``fill`` writes the scores between two runs of rows into a block of about ``block_bytes``. Scores are symmetric;
    -inf means never. Ties go to the smaller row.
    """
    items = np.full((n_rows, width), -1, np.int32)
    values = np.full((n_rows, width), -np.inf, np.float32)
    side = max(1, int((block_bytes // 4) ** 0.5))
    buffer = torch.empty(min(side, n_rows) ** 2)
    for top in range(0, n_rows, side):
        upper = slice(top, min(top + side, n_rows))
        # The scores are symmetric: blocks below the diagonal say nothing new.
        for left in range(top, n_rows, side):
            lower = slice(left, min(left + side, n_rows))
            shape = upper.stop - upper.start, lower.stop - lower.start
            block = buffer[: shape[0] * shape[1]].view(shape)
            fill(upper, lower, block)
            feed_lists(block, top, left, items, values)
    return items, values


def nearest_of_some(
    table: NDArray[np.float32], some: NDArray[np.float32], width: int, block_bytes: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of each of ``some`` vectors the ``width`` rows of the table of largest product, and the products; best first.

    Ties go to the smaller row; -1 and -inf fill what a short table leaves.
    """
    step = max(1, block_bytes // (4 * len(table)))
    found = []
    for start in range(0, len(some), step):
        scores = torch.from_numpy(some[start : start + step]) @ torch.from_numpy(table).T
        found.append(top_items(scores, np.zeros(len(scores) + 1, np.int64), np.zeros(0, np.int64), width))
    return np.concatenate([items for items, _ in found]), np.concatenate([values for _, values in found])


def _recall(found: NDArray[np.int32], true: NDArray[np.int32]) -> float:
    """Share of the true neighbours that were found."""
    hits = sum(len(np.intersect1d(mine, its[its >= 0])) for mine, its in zip(found, true, strict=True))
    return hits / max(int((true >= 0).sum()), 1)
