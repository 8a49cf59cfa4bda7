"""MMRec data folders: a plain `.inter` file and feature tables whose rows are item ids."""

from dataclasses import replace
from pathlib import Path

import polars as pl

from alnico.data.sources.assemble import RawData, Reading
from alnico.data.sources.cards import clean_items, read_items
from alnico.data.sources.events import clean_events
from alnico.data.sources.shop import find_table
from alnico.data.sources.tables import read_table
from alnico.data.sources.vectors import read_vectors

_FEATURE_ENDING = "_feat"


def read_mmrec(path: Path, reading: Reading) -> RawData:
    """The events of one MMRec `.inter` file: userID itemID [rating timestamp] x_label, separated by tabs."""
    events, notices = clean_events(read_table(path, reading.separator), reading.event_columns, str(path))
    return RawData(path.stem, events, rows_are_ids=True, notices=tuple(notices))


def named_features(folder: Path) -> dict[str, Path]:
    """Modality -> file, for every ``NAME_feat.npy`` of the folder."""
    return {
        path.stem.removesuffix(_FEATURE_ENDING): path
        for path in sorted(folder.glob(f"*{_FEATURE_ENDING}.npy"))
        if path.stem != _FEATURE_ENDING
    }


def mapping_columns(folder: Path, ids: pl.Series) -> pl.DataFrame | None:
    """The outside names of items (such as asin) as an item table, or None without ``i_id_mapping.csv``.

    Such files map the dense ids of the `.inter` file back to the shop's. They are cut by tabs or by commas.
    """
    path = folder / "i_id_mapping.csv"
    if not path.is_file():
        return None
    with path.open(encoding="utf-8") as file:
        mark = "\t" if "\t" in file.readline() else ","
    table = read_table(path, mark)
    if "itemID" not in table.columns or len(table.columns) < 2:
        return None
    names = clean_items(table, {"item": "itemID"}, None, str(path))
    return names if names["item"].dtype == ids.dtype else None


def with_folder(raw: RawData, folder: Path, reading: Reading) -> RawData:
    """The same with the folder's ``NAME_feat.npy`` tables and its cards.

    Cards are from ``items.*``, or else from ``i_id_mapping.csv``.
    """
    files = named_features(folder) if reading.take_features else {}
    vectors = {name: read_vectors(path, name) for name, path in files.items()}
    path = find_table(folder, "items")
    if path is None:
        items = mapping_columns(folder, raw.events["item"])
    else:
        items = read_items(path, reading.columns)
    return replace(raw, items=items, vectors=vectors)
