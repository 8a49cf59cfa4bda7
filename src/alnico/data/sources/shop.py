"""A shop's folder: interactions, items and features as ordinary tables and files."""

from dataclasses import replace
from pathlib import Path

from alnico.data.sources.assemble import RawData, Reading
from alnico.data.sources.cards import read_items
from alnico.data.sources.columns import EVENT_COLUMNS
from alnico.data.sources.events import clean_events
from alnico.data.sources.lines import is_lines, read_lines
from alnico.data.sources.tables import TABLE_SUFFIXES, read_table
from alnico.data.sources.vectors import VECTOR_SUFFIXES, VectorTable, check_freshness, read_vectors
from alnico.errors import DataError


def find_table(folder: Path, name: str) -> Path | None:
    """``name.csv``, ``.tsv`` or ``.parquet`` in the folder, or None. Raises DataError for several."""
    found = [
        folder / f"{name}{suffix}" for suffix in TABLE_SUFFIXES if (folder / f"{name}{suffix}").is_file()
    ]
    if len(found) > 1:
        raise DataError(
            f"{folder} has {', '.join(path.name for path in found)}; keep one, or name the file to read"
        )
    return found[0] if found else None


def read_interactions(path: Path, reading: Reading) -> RawData:
    """The events of one CSV, TSV or Parquet table, or of records one per line."""
    if is_lines(path):
        known = {name for role in EVENT_COLUMNS.values() for name in role}
        table = read_lines(path, known, reading.event_columns.values())
    else:
        table = read_table(path, reading.separator)
    events, notices = clean_events(table, reading.event_columns, str(path))
    stem = path.name.split(".")[0] if is_lines(path) else path.stem
    name = path.parent.resolve().name if stem == "interactions" else stem
    return RawData(name, events, notices=tuple(notices))


def with_items(raw: RawData, folder: Path, reading: Reading) -> RawData:
    """The same with the folder's item table, and the vectors under ``features/`` in the order of its rows.

    Raises DataError if vectors were made for another item table than there is now.
    """
    path = find_table(folder, "items")
    if path is not None:
        raw = replace(raw, items=read_items(path, reading.columns, reading.separator))
    if not reading.take_features:
        return raw
    vectors: dict[str, VectorTable] = {}
    for file in sorted((folder / "features").glob("*")):
        if file.suffix not in VECTOR_SUFFIXES:
            continue
        if file.stem in vectors:
            raise DataError(f"{file.parent} has several files for modality {file.stem!r}; keep one")
        if raw.items is not None:
            check_freshness(file, raw.items["item"].to_list())
        vectors[file.stem] = read_vectors(file, file.stem)
    return replace(raw, vectors=vectors)
