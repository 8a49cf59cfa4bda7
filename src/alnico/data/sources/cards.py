"""What a person sees of an item, from somebody's item table."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from alnico.data.sources.columns import CARD_COLUMNS, recognise
from alnico.data.sources.events import outside_ids
from alnico.data.sources.tables import read_table
from alnico.errors import DataError


def read_items(path: Path, columns: Mapping[str, str], separator: str | None = None) -> pl.DataFrame:
    """The item table of a CSV, TSV or Parquet file; image paths are relative to the file's folder."""
    return clean_items(read_table(path, separator), columns, path.parent, str(path))


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
