"""What a person sees of an item, from somebody's item table."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from alnico.data.sources.columns import CARD_COLUMNS, plain, recognise
from alnico.data.sources.events import outside_ids
from alnico.data.sources.lines import is_lines, read_lines
from alnico.data.sources.tables import read_table
from alnico.errors import DataError

_log = logging.getLogger(__name__)


def read_items(
    path: Path, columns: Mapping[str, str], separator: str | None = None, used: pl.Series | None = None
) -> pl.DataFrame:
    """The item table of a CSV, TSV or Parquet file, or of records one per line.

    Image paths are relative to the file's folder. Records one per line describe whole shops: of them only the items in
    ``used`` are read, and of an item that stands twice the first record.
    """
    if is_lines(path):
        return clean_items(_item_lines(path, columns, used), columns, path.parent, str(path))
    return clean_items(read_table(path, separator), columns, path.parent, str(path))


def _item_lines(path: Path, columns: Mapping[str, str], used: pl.Series | None) -> pl.DataFrame:
    wanted = None if used is None else set(used.cast(pl.String).to_list())
    seen: set[str] = set()
    dropped = {"unused": 0, "twice": 0}
    id_field = ""

    def keep(record: dict[str, Any]) -> bool:
        nonlocal id_field
        if not id_field:
            found = list(record)
            given = card_roles(columns, found)
            asked = {"item": CARD_COLUMNS["item"]}
            id_field = recognise(found, asked, _only(given, "item"), ("item",), str(path))["item"]
        name = str(record.get(id_field))
        reason = "twice" if name in seen else "unused" if wanted is not None and name not in wanted else ""
        if reason:
            dropped[reason] += 1
            return False
        seen.add(name)
        return True

    names = {name for role in CARD_COLUMNS.values() for name in role}
    table = read_lines(path, names, columns.values(), keep)
    if table.height == 0:
        raise DataError(f"{path} describes none of the items of the interactions; is it of another shop?")
    # Where a shop has several pictures of an item, the first is its picture.
    pictures = [name for name in table.columns if plain(name) in CARD_COLUMNS["image"]]
    table = table.with_columns(pl.col(pictures).str.split(", ").list.first()) if pictures else table
    for reason, said in (
        ("unused", "that no interaction names"),
        ("twice", "of items that stood there before"),
    ):
        if dropped[reason]:
            _log.info("%s: %d records %s were left out", path, dropped[reason], said)
    return table


def _only(given: Mapping[str, str], role: str) -> dict[str, str]:
    return {role: given[role]} if role in given else {}


def clean_items(
    table: pl.DataFrame, columns: Mapping[str, str], folder: Path | None, where: str
) -> pl.DataFrame:
    """An item table as a column ``item`` and text columns, known ones under their usual names.

    Paths in the ``image`` column become absolute (relative to ``folder``), so that they can be opened from
    anywhere; addresses with a scheme stay as they are. Raises DataError if an item stands twice.
    """
    roles = recognise(table.columns, CARD_COLUMNS, card_roles(columns, table.columns), ("item",), where)
    ids = outside_ids(table[roles["item"]], where)
    if ids.is_duplicated().any():
        twice = ids.filter(ids.is_duplicated())[0]
        raise DataError(f"{where} lists item {twice!r} twice; keep one row per item")
    new_names = {column: role for role, column in roles.items()}
    cards = {"item": ids}
    for column in table.columns:
        if column == roles["item"]:
            continue
        name = new_names.get(column, column)
        if name in cards or (name in roles and roles[name] != column):
            name = f"{column} (as given)"
        cards[name] = _as_text(table[column])
    if folder is not None and "image" in cards:
        base = folder.resolve()
        paths = [text if not text or "://" in text else str(base / text) for text in cards["image"].to_list()]
        cards["image"] = pl.Series("image", paths, dtype=pl.String)
    return pl.DataFrame({name: series.alias(name) for name, series in cards.items()})


def _as_text(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.List | pl.Array):
        lists = values.arr.to_list() if isinstance(values.dtype, pl.Array) else values
        return lists.cast(pl.List(pl.String)).list.join(", ").fill_null("")
    if values.dtype.is_nested():
        raise DataError(f"item column {values.name!r} holds nested records; flatten it to text")
    return values.cast(pl.String).fill_null("")


def card_roles(columns: Mapping[str, str], found: list[str]) -> dict[str, str]:
    """The given roles that concern an item table with these columns.

    The interactions' name of the item column need not be the item table's: one that is not there is
    recognised.
    """
    roles = {role: column for role, column in columns.items() if role in CARD_COLUMNS}
    if roles.get("item") not in found:
        roles.pop("item", None)
    return roles
