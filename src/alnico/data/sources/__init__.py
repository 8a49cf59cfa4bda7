"""Raw files and frames of many kinds, read into one Dataset."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from alnico.data.dataset import Dataset
from alnico.data.filtering import Merge
from alnico.data.neighbours import ItemNeighbours
from alnico.data.sources import mmrec, movielens, recbole, shop
from alnico.data.sources.assemble import EventRules, RawData, Reading, assemble
from alnico.data.sources.cards import clean_items, read_items
from alnico.data.sources.columns import CARD_COLUMNS, EVENT_COLUMNS
from alnico.data.sources.events import clean_events
from alnico.data.sources.lines import LINES_SUFFIXES, is_lines
from alnico.data.sources.tables import TABLE_SUFFIXES, as_frame
from alnico.data.sources.vectors import (
    VectorTable,
    check_freshness,
    neighbours_from,
    read_neighbours,
    read_vectors,
    vectors_from,
)
from alnico.data.store import is_data_folder, open_dataset, read_manifest
from alnico.errors import ConfigError, DataError, nearest

_log = logging.getLogger(__name__)

# The paper's order of modalities; others follow by name.
_USUAL_ORDER = ("image", "visual", "video", "text", "audio")


def read_dataset(
    path: str | Path,
    *,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    items: str | Path | None = None,
    features: Mapping[str, str | Path] | None = None,
    neighbours: Mapping[str, str | Path] | None = None,
    separator: str | None = None,
    min_rating: float | None = None,
    events: Mapping[str, float] | None = None,
    merge: Merge = "max",
    allow_unknown_items: bool = False,
) -> tuple[Dataset, list[str]]:
    """The data set in a raw file or folder, and notices that a person should read.

    Understood: an MMRec or RecBole `.inter` file or a folder with one (RecBole also in parts,
    ``name.train.inter`` and so on), a CSV, TSV or Parquet table of interactions, records one per line
    (``.jsonl``, ``.json.gz`` and the like), a folder with ``interactions.*`` and, if wanted, ``items.*`` and
    ``features/``, and a MovieLens release as ``.zip`` or folder.
    ``columns`` maps roles (user, item, time, rating, event, weight, label; title, description, category,
    price, image) to columns; what is not given is recognised. ``features`` and ``neighbours`` map modalities
    and item graphs to files, ``items`` names an item table; paths are relative to the folder or to where you
    are, and given features take the place of all those found.
    ``events`` keeps only these kinds of event, with these weights; ``min_rating`` only ratings that high.
    Raises DataError or ConfigError, one sentence that says what to do.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}")
    columns = _known_roles(columns or {})
    folder = path if path.is_dir() else path.parent
    found = Reading(columns, separator, take_features=not features)
    raw = _read_folder(path, found) if path.is_dir() else _read_file(path, found)
    if items is not None:
        table = read_items(_located(folder, items), columns, separator, raw.events["item"].unique())
        raw = replace(raw, items=table)
    _expect_items_for(columns, raw.items is not None)
    notices = list(raw.notices)
    given = {key: _located(folder, value) for key, value in (features or {}).items()}
    graphs = {key: _located(folder, value) for key, value in (neighbours or {}).items()}
    if path.is_dir():
        taken = [*given.values(), *graphs.values(), *(Path(table.origin) for table in raw.vectors.values())]
        notices += _left_out_files(path, taken)
    whole = replace(
        raw,
        name=name or raw.name,
        vectors=_given_vectors(given, raw)
        if features
        else dict(sorted(raw.vectors.items(), key=_usual_place)),
        neighbours={key: read_neighbours(file, key) for key, file in graphs.items()},
        notices=tuple(notices),
    )
    return assemble(whole, EventRules(min_rating, events or None, merge), allow_unknown_items)


def dataset_from_frames(
    interactions: Any,
    items: Any = None,
    features: Mapping[str, Any] | None = None,
    neighbours: Mapping[str, Any] | None = None,
    *,
    name: str = "frames",
    columns: Mapping[str, str] | None = None,
    min_rating: float | None = None,
    events: Mapping[str, float] | None = None,
    merge: Merge = "max",
    allow_unknown_items: bool = False,
) -> Dataset:
    """The data set of tables in memory; notices for people go to the log.

    ``interactions`` and ``items`` are polars, pandas or Arrow tables or mappings of columns. ``features``
    maps a modality to an array [items, width] in the order of ``items`` (or of integer ids 0..n-1 without
    ``items``), to a frame with an item column, or to a file. ``neighbours`` maps a name to ItemNeighbours, a
    mapping of arrays or a file. The rest as in ``read_dataset``.
    """
    columns = _known_roles(columns or {})
    table = as_frame(interactions, "interactions")
    clean, notices = clean_events(table, Reading(columns).event_columns, "interactions")
    cards = None
    if items is not None:
        cards = clean_items(as_frame(items, "items"), columns, None, "items")
    _expect_items_for(columns, cards is not None)
    vectors = {key: vectors_from(source, key) for key, source in (features or {}).items()}
    graphs = {key: _graph_from(source, key) for key, source in (neighbours or {}).items()}
    raw = RawData(name, clean, cards, vectors, graphs, notices=tuple(notices))
    dataset, told = assemble(raw, EventRules(min_rating, events or None, merge), allow_unknown_items)
    for notice in told:
        _log.info("%s", notice)
    return dataset


def open_or_read(path: str | Path, *, allow_unknown_items: bool = False) -> tuple[Dataset, list[str]]:
    """The data set of a stored data folder, or of raw files with everything recognised, and its notices."""
    path = Path(path)
    if is_data_folder(path):
        return open_dataset(path), read_manifest(path).notices
    return read_dataset(path, allow_unknown_items=allow_unknown_items)


def _read_file(path: Path, reading: Reading) -> RawData:
    if path.suffix == ".inter":
        if recbole.has_typed_header(path):
            return recbole.read_recbole([path], reading)
        return mmrec.read_mmrec(path, reading)
    if path.suffix in TABLE_SUFFIXES or is_lines(path):
        return shop.read_interactions(path, reading)
    if path.suffix == ".zip":
        return movielens.read_movielens(path, reading)
    expected = ", ".join((".inter", *TABLE_SUFFIXES, *LINES_SUFFIXES, ".zip (MovieLens)"))
    raise DataError(f"{path} has an unknown suffix; expected {expected}")


def _read_folder(folder: Path, reading: Reading) -> RawData:
    if is_data_folder(folder):
        raise DataError(f"{folder} is a data folder already; use it as it is, or import the raw files")
    table = shop.find_table(folder, "interactions")
    if table is not None:
        return shop.with_items(shop.read_interactions(table, reading), folder, reading)
    files = sorted(folder.glob("*.inter"))
    if not files and movielens.is_movielens(folder):
        return movielens.read_movielens(folder, reading)
    if not files:
        present = ", ".join(sorted(file.name for file in folder.iterdir())[:8]) or "nothing"
        raise DataError(
            f"{folder} has no interactions: expected interactions.csv (.tsv, .parquet) or a .inter file; it "
            f"has {present}. Name the file to read if it is called otherwise"
        )
    if recbole.has_typed_header(files[0]):
        return recbole.read_recbole(recbole.one_set(files), reading)
    if len(files) > 1:
        raise DataError(recbole.several_sets(files))
    return mmrec.with_folder(mmrec.read_mmrec(files[0], reading), folder, reading)


def _known_roles(columns: Mapping[str, str]) -> Mapping[str, str]:
    known = {**EVENT_COLUMNS, **CARD_COLUMNS}
    for role in columns:
        if role not in known:
            raise ConfigError(f"there is no column role {role!r}{nearest(role, known)}")
    return columns


def _expect_items_for(columns: Mapping[str, str], there_are_items: bool) -> None:
    """Refuse columns of an item table where there is none; ignoring them would hide the slip."""
    idle = [role for role in columns if role not in EVENT_COLUMNS]
    if idle and not there_are_items:
        raise ConfigError(f"a column for the {idle[0]} was given but there is no item table to take it from")


def _graph_from(source: Any, name: str) -> ItemNeighbours:
    if isinstance(source, ItemNeighbours):
        return source
    if isinstance(source, str | Path):
        return read_neighbours(Path(source), name)
    return neighbours_from(source, f"item graph {name!r}")


def _located(folder: Path, path: str | Path) -> Path:
    """``path`` inside the folder if it is there, else as it stands."""
    inside = folder / path
    return inside if inside.exists() else Path(path)


def _usual_place(modality: tuple[str, VectorTable]) -> tuple[int, str]:
    name = modality[0]
    return (_USUAL_ORDER.index(name) if name in _USUAL_ORDER else len(_USUAL_ORDER)), name


def _given_vectors(files: Mapping[str, Path], raw: RawData) -> dict[str, VectorTable]:
    vectors = {modality: read_vectors(file, modality) for modality, file in files.items()}
    for modality, file in files.items():
        if raw.rows_are_ids:
            check_freshness(file, range(len(vectors[modality].values)))
        elif raw.items is not None:
            check_freshness(file, raw.items["item"].to_list())
    return vectors


def _left_out_files(folder: Path, taken: list[Path]) -> list[str]:
    """Notices on vector and graph files of the folder that nobody named and no rule took."""
    known = {path.resolve() for path in taken}
    files = sorted([*folder.glob("*"), *folder.glob("features/*")])
    free = [path.relative_to(folder).as_posix() for path in files if path.resolve() not in known]
    notices = []
    vectors = [name for name in free if name.endswith((".npy", ".safetensors"))]
    if vectors:
        notices.append(
            f"left out: {', '.join(vectors)}; take a file as a modality with --features NAME={vectors[0]} "
            "(then name every modality that you want)"
        )
    graphs = [name for name in free if name.endswith(".npz")]
    if graphs:
        notices.append(
            f"left out: {', '.join(graphs)}; take a file with --neighbours NAME={graphs[0]} (item graph) or "
            f"--features NAME={graphs[0]} (vectors)"
        )
    return notices
