"""RecBole's atomic files: `.inter` with typed headers such as ``user_id:token``, `.item` for content."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from alnico.data.dataset import TEST, TRAIN, VALID
from alnico.data.sources.assemble import RawData, Reading
from alnico.data.sources.cards import clean_items
from alnico.data.sources.columns import plain
from alnico.data.sources.events import clean_events, outside_ids
from alnico.data.sources.tables import read_table
from alnico.data.sources.vectors import VectorTable, vectors_of_lists
from alnico.errors import DataError

_TYPES = ("token", "token_seq", "float", "float_seq")
_PARTS = {"train": TRAIN, "valid": VALID, "validation": VALID, "val": VALID, "test": TEST}


def has_typed_header(path: Path) -> bool:
    """Whether the first line of a file is a RecBole header."""
    with path.open(encoding="utf-8", errors="replace") as file:
        fields = file.readline(1 << 20).strip("\ufeff\r\n").split("\t")
    return any(field.rpartition(":")[2] in _TYPES and ":" in field for field in fields)


def one_set(files: Sequence[Path]) -> list[Path]:
    """The files of one data set: a single `.inter`, or its parts.

    Parts are called ``name.train.inter``, ``name.valid.inter`` and ``name.test.inter``.
    Raises DataError if the folder holds more than one set.
    """
    whole = [path for path in files if _part(path) is None]
    parts = [path for path in files if _part(path) is not None]
    names = {path.name.split(".")[0] for path in parts}
    if len(whole) == 1 and not (names - {whole[0].stem}):
        # A whole file beside its own parts: the parts say more.
        return parts or whole
    if not whole and len(names) == 1:
        return parts
    raise DataError(several_sets(files))


def several_sets(files: Sequence[Path]) -> str:
    """The sentence for a folder with more than one data set."""
    names = ", ".join(path.name for path in files)
    return f"{files[0].parent} has {len(files)} .inter files ({names}); name the one to read"


def _part(path: Path) -> int | None:
    """The part of the split that a file name tells, such as 0 for ``name.train.inter``."""
    return _PARTS.get(Path(path.stem).suffix.removeprefix("."))


def read_recbole(files: Sequence[Path], reading: Reading) -> RawData:
    """The events of one data set, labelled by file if it comes in parts, with the `.item` file beside it.

    Columns of the `.item` file typed ``float_seq`` are feature vectors (an empty one means absent), the
    others are cards. Raises DataError for vectors of different lengths.
    """
    given = reading.event_columns
    tables, notices = [], []
    for path in files:
        frame, _ = _untyped(read_table(path))
        # RecBole's `label` is a click, not a part of the split.
        frame = frame.select(
            column for column in frame.columns if plain(column) != "label" or column in given.values()
        )
        events, found = clean_events(frame, given, str(path))
        part = _part(path)
        if part is not None:
            events = events.with_columns(label=pl.lit(part, pl.Int8))
        tables.append(events)
        notices += found
    name = files[0].name.split(".")[0]
    items, vectors = _read_items(files[0].with_name(f"{name}.item"), reading.columns)
    return RawData(name, _stacked(tables), items, vectors, notices=tuple(notices))


def _stacked(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Parts of one data set as one table; ids are text as soon as one part has text."""
    if len({(table["user"].dtype, table["item"].dtype) for table in tables}) > 1:
        tables = [table.with_columns(pl.col("user", "item").cast(pl.String)) for table in tables]
    shared = [column for column in tables[0].columns if all(column in table.columns for table in tables)]
    stacked = pl.concat([table.select(shared) for table in tables])
    return stacked.with_columns(outside_ids(stacked[column], "").alias(column) for column in ("user", "item"))


def _untyped(frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """The table with plain column names, and the type of each column."""
    names = {column: column.rpartition(":")[0] or column for column in frame.columns}
    return frame.rename(names), {names[column]: column.rpartition(":")[2] for column in frame.columns}


def _read_items(path: Path, columns: Mapping[str, str]) -> tuple[pl.DataFrame | None, dict[str, VectorTable]]:
    if not path.is_file():
        return None, {}
    frame, types = _untyped(read_table(path))
    sequences = [name for name, kind in types.items() if kind == "float_seq"]
    items = clean_items(frame.drop(sequences), columns, path.parent, str(path))
    vectors = {}
    for name in sequences:
        numbers = (
            frame[name]
            .fill_null("")
            .str.strip_chars()
            .str.split(" ")
            .list.eval(
                pl.element().filter(pl.element() != "").cast(pl.Float32, strict=False).fill_null(float("nan"))
            )
        )
        modality = name.removesuffix("_feat").removesuffix("_emb")
        vectors[modality] = VectorTable(
            vectors_of_lists(numbers, str(path)), f"{path} ({name})", items["item"]
        )
    return items, vectors
