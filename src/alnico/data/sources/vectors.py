"""Feature tables and item graphs from files: .npy, .npz, .safetensors, Parquet. Nothing is ever unpickled."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from alnico.data.features import Encoding
from alnico.data.neighbours import ItemNeighbours
from alnico.data.sources.columns import CARD_COLUMNS, recognise
from alnico.data.sources.events import outside_ids
from alnico.data.sources.tables import read_table
from alnico.errors import DataError

VECTOR_SUFFIXES = (".npy", ".npz", ".safetensors", ".parquet")
_ID_ARRAYS = ("item_ids", "ids", "items", "item_id")
_UNREADABLE = (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class VectorTable:
    """Vectors of one modality as they came.

    Row r belongs to item ``ids[r]``, or to the r-th item where there are no ids. ``present`` is the presence
    mask where the source has one. ``origin`` says where they are from, for messages; ``encoding`` how they
    were made, where a note beside the file says so.
    """

    values: NDArray[np.float32]
    origin: str
    ids: pl.Series | None = None
    present: NDArray[np.bool_] | None = None
    encoding: Encoding | None = None


def read_vectors(path: Path, modality: str) -> VectorTable:
    """The vectors of one modality from a file.

    ``.npy``: a table [items, width]. ``.npz`` and ``.safetensors``: one such table (or one named like the
    modality), with optional ``item_ids`` [items] and ``present`` [items]. Parquet: an item column, and either
    one column of lists or one column per dimension.
    A note beside it, as `alnico encode` writes it, says how they were made.
    Raises DataError if the file is missing, cut short, holds objects or is not a table of numbers.
    """
    if not path.is_file():
        raise DataError(f"there is no feature file {path} (for modality {modality!r})")
    if path.suffix == ".npy":
        return VectorTable(_as_vectors(_read_npy(path), str(path)), str(path), encoding=encoding_of(path))
    if path.suffix == ".npz":
        return _pick_table(_read_npz(path), path, modality)
    if path.suffix == ".safetensors":
        return _pick_table(_read_safetensors(path), path, modality)
    if path.suffix == ".parquet":
        return _vectors_of_frame(read_table(path), str(path))
    raise DataError(f"feature file {path} has an unknown suffix; expected {', '.join(VECTOR_SUFFIXES)}")


def vectors_from(source: Any, modality: str) -> VectorTable:
    """The vectors of one modality from a file, an array or a frame.

    Rows of an array are in the order of the items; a frame has an item column.
    """
    if isinstance(source, str | Path):
        return read_vectors(Path(source), modality)
    if isinstance(source, VectorTable):
        return source
    origin = f"features {modality!r}"
    if isinstance(source, pl.DataFrame):
        return _vectors_of_frame(source, origin)
    if hasattr(source, "__arrow_c_stream__"):
        return _vectors_of_frame(pl.DataFrame(source), origin)
    return VectorTable(_as_vectors(np.asarray(source), origin), origin)


def read_neighbours(path: Path, name: str) -> ItemNeighbours:
    """An item graph from an ``.npz`` file.

    Either ``indices`` [items, k] with ``cosine``, ``similarity`` or ``weights`` [items, k], or a sparse
    matrix as ``rows``, ``cols``, ``weights`` and ``shape``. An item in its own list is left out; lists that
    then differ in length are cut to one length if every item had a list of k (k - 1 nearest others), else
    filled with -1.
    """
    if not path.is_file():
        raise DataError(f"there is no item graph file {path} (for graph {name!r})")
    if path.suffix != ".npz":
        raise DataError(f"item graph {path} must be an .npz file; found {path.suffix or 'no suffix'}")
    arrays = _read_npz(path)
    return neighbours_from(arrays, str(path))


def neighbours_from(arrays: Mapping[str, NDArray[Any]], origin: str) -> ItemNeighbours:
    """An item graph from named arrays, see ``read_neighbours``."""
    if "indices" in arrays:
        weights = next((arrays[key] for key in ("cosine", "similarity", "weights") if key in arrays), None)
        if weights is None:
            raise DataError(
                f"{origin} has indices but no cosine, similarity or weights; it has {', '.join(arrays)}"
            )
        return _from_lists(arrays["indices"], weights, origin)
    if {"rows", "cols", "weights", "shape"} <= set(arrays):
        return _from_triples(arrays, origin)
    raise DataError(
        f"{origin} is no item graph: expected indices and cosine, or rows, cols, weights and shape; "
        f"found {', '.join(arrays)}"
    )


def _from_lists(items: NDArray[Any], weights: NDArray[Any], origin: str) -> ItemNeighbours:
    if items.ndim != 2 or items.shape != weights.shape:
        raise DataError(
            f"{origin}: neighbour lists need two equal tables, found {items.shape} and {weights.shape}"
        )
    own = items == np.arange(len(items))[:, None]
    # A list of k that names its own item has k - 1 others. Where twins pushed an item out of its own list
    # the k-th other goes too, or these items alone would have one neighbour more.
    width = items.shape[1] - (1 if own.any() else 0)
    rank = np.where(own | (items < 0), -np.inf, weights.astype(np.float64))
    order = np.argsort(-rank, axis=1, kind="stable")[:, :width]
    best = np.take_along_axis(rank, order, axis=1)
    kept = np.where(np.isneginf(best), -1, np.take_along_axis(items, order, axis=1))
    return ItemNeighbours(kept.astype(np.int32), np.where(kept < 0, 0, best).astype(np.float32))


def _from_triples(arrays: Mapping[str, NDArray[Any]], origin: str) -> ItemNeighbours:
    rows, columns = arrays["rows"].astype(np.int64), arrays["cols"].astype(np.int64)
    weights, shape = arrays["weights"].astype(np.float32), arrays["shape"]
    if len(shape) != 2 or shape[0] != shape[1] or not len(rows) == len(columns) == len(weights):
        raise DataError(f"{origin}: expected a square matrix as equally long rows, cols and weights")
    n = int(shape[0])
    if len(rows) and (min(rows.min(), columns.min()) < 0 or max(rows.max(), columns.max()) >= n):
        raise DataError(f"{origin}: an edge names an item outside 0 to {n - 1}")
    others = rows != columns
    rows, columns, weights = rows[others], columns[others], weights[others]
    order = np.lexsort((columns, -weights, rows))
    rows, columns, weights = rows[order], columns[order], weights[order]
    counts = np.bincount(rows, minlength=n)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((n, int(counts.max(initial=0))), -1, np.int32)
    strength = np.zeros(table.shape, np.float32)
    table[rows, place], strength[rows, place] = columns, weights
    return ItemNeighbours(table, strength)


def item_ids_digest(ids: Sequence[int | str]) -> str:
    """The sha256 of item ids as text, one per line; features beside an item table carry it."""
    return hashlib.sha256("\n".join(str(name) for name in ids).encode()).hexdigest()


def check_freshness(path: Path, ids: Sequence[int | str]) -> None:
    """Refuse features whose note (the .json beside them) was written for other items.

    Raises DataError when the item ids, or their order, have changed since the features were computed.
    """
    note = path.with_suffix(".json")
    if not note.is_file():
        return
    try:
        written = json.loads(note.read_text(encoding="utf-8")).get("item_ids_sha256")
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise DataError(f"{note} is not a JSON record; delete it or run `alnico encode` again") from error
    if written is not None and written != item_ids_digest(ids):
        raise DataError(
            f"features {path} were made for another list of items than there is now, or for another order of "
            "them; run `alnico encode` again"
        )


def encoding_of(path: Path) -> Encoding | None:
    """What the note beside a vector file says of how it was made.

    None without a note, or where the file is not the one that the note describes.
    """
    try:
        note = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        kept = {name: note[name] for name in Encoding.model_fields if name != "file"}
        told = Encoding(**kept, file=str(path.resolve()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return told if found == told.vectors_sha256 else None


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as .npy: {_reason(error)}") from error
    # Nobody else holds it: read-only, it need not be copied again on its way into the data set.
    array.flags.writeable = False
    return array


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here: numpy would leave the file open if it is no archive after all.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            loaded = {name: archive[name] for name in archive.files} if isinstance(archive, NpzFile) else {}
    except _UNREADABLE as error:
        raise DataError(f"{path} cannot be read as .npz: {_reason(error)}") from error
    arrays = {name: array for name, array in loaded.items() if isinstance(array, np.ndarray)}
    if not arrays:
        raise DataError(f"{path} is not an .npz archive with arrays in it; save it with numpy.savez")
    return arrays


def _read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read as safetensors: {_reason(error)}") from error
    # Through torch because numpy has no bfloat16.
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        for name, tensor in tensors.items()
    }


def _reason(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "allow_pickle" in text or "Python objects" in text:
        return "it holds Python objects, not numbers; save a plain float array instead"
    if isinstance(error, EOFError) or "reshape" in text or "EOF" in text or "Failed to read" in text:
        return "it is cut short; copy it again"
    return text


def _pick_table(arrays: Mapping[str, NDArray[Any]], path: Path, modality: str) -> VectorTable:
    tables = [name for name, array in arrays.items() if array.ndim == 2]
    if modality in tables:
        chosen = modality
    elif len(tables) == 1:
        chosen = tables[0]
    else:
        raise DataError(
            f"{path} should hold one table [items, width] or one named {modality!r}; "
            f"found {', '.join(f'{name} {array.shape}' for name, array in arrays.items()) or 'nothing'}"
        )
    values = _as_vectors(arrays[chosen], f"{path} ({chosen})")
    ids = next((arrays[name] for name in _ID_ARRAYS if name in arrays and arrays[name].ndim == 1), None)
    present = arrays.get("present")
    for what, column in (("item ids", ids), ("presence flags", present)):
        if column is not None and len(column) != len(values):
            raise DataError(
                f"{path} has {len(values)} vectors but {len(column)} {what}; there must be one for each"
            )
    return VectorTable(
        values,
        str(path),
        None if ids is None else outside_ids(pl.Series("item ids", ids), str(path)),
        None if present is None else present.astype(np.bool_),
    )


def _as_vectors(array: NDArray[Any], origin: str) -> NDArray[np.float32]:
    if array.dtype.kind not in "fiu":
        raise DataError(f"{origin} holds values of kind {array.dtype}; features must be numbers")
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(f"{origin} has the shape {array.shape}; features must be a table [items, width]")
    # An overflow becomes inf here and is reported with the item's name where names are known.
    with np.errstate(over="ignore"):
        return array.astype(np.float32, copy=False)


def _vectors_of_frame(frame: pl.DataFrame, origin: str) -> VectorTable:
    roles = recognise(frame.columns, {"item": CARD_COLUMNS["item"]}, {}, ("item",), origin)
    ids = outside_ids(frame[roles["item"]], origin)
    rest = frame.drop(roles["item"])
    lists = [name for name, kind in rest.schema.items() if isinstance(kind, pl.List | pl.Array)]
    if lists:
        if len(lists) > 1:
            raise DataError(f"{origin} has several columns of vectors ({', '.join(lists)}); keep one")
        return VectorTable(vectors_of_lists(rest[lists[0]], origin), origin, ids)
    numeric = [name for name, kind in rest.schema.items() if kind.is_numeric()]
    if not numeric:
        raise DataError(f"{origin} has no columns of numbers beside {roles['item']!r}")
    return VectorTable(_as_vectors(rest.select(numeric).to_numpy(), origin), origin, ids)


def vectors_of_lists(lists: pl.Series, origin: str) -> NDArray[np.float32]:
    """A table from a column of equally long lists of numbers; a missing or empty list gives a zero row."""
    if isinstance(lists.dtype, pl.Array):
        lists = lists.arr.to_list()
    lengths = lists.list.len().fill_null(0).to_numpy()
    width = int(lengths.max(initial=0))
    filled = lengths > 0
    if width == 0 or (lengths[filled] != width).any():
        raise DataError(
            f"{origin}, column {lists.name!r}: vectors have {len(np.unique(lengths[filled]))} different "
            "lengths, expected one"
        )
    table = np.zeros((len(lists), width), np.float32)
    table[filled] = lists.filter(pl.Series(filled)).explode().cast(pl.Float32).to_numpy().reshape(-1, width)
    return table
