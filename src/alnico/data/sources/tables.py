"""CSV, TSV and Parquet files, and frames of other libraries, as polars frames."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from alnico.errors import DataError

SEPARATORS: Mapping[str, str] = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t", ".user": "\t"}
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
_SAID = {",": "a comma", "\t": "a tab", ";": "a semicolon", "|": "a vertical bar", " ": "a space"}
_TYPED = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";"}


def read_table(path: Path, separator: str | None = None) -> pl.DataFrame:
    """The rows of a CSV, TSV or Parquet file.

    Columns of text files are all text: who knows what a column means converts it. Tab-separated files have no
    quoting: a quotation mark in them is a letter like any other. Encoding: UTF-8.
    Raises DataError if the file is missing, empty, has a header only, is not what its name says, or seems to
    be separated by something else than ``separator`` (default: by the file's suffix).
    """
    if not path.is_file():
        beside = (
            sorted(p.name for p in path.parent.glob("*") if p.is_file())[:8] if path.parent.is_dir() else []
        )
        listing = f"; its folder has {', '.join(beside)}" if beside else ""
        raise DataError(f"there is no file {path}{listing}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; expected a header and at least one row")
    frame = _read_parquet(path) if path.suffix == ".parquet" else _read_text(path, separator)
    if frame.height == 0:
        raise DataError(f"{path} has a header but no rows; expected at least one row")
    return frame


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {_first_line(error)}") from error


def _read_text(path: Path, separator: str | None) -> pl.DataFrame:
    mark = _TYPED.get(separator, separator) if separator else SEPARATORS.get(path.suffix, ",")
    if len(mark) != 1:
        raise DataError(f"the separator must be one character, found {separator!r}")
    _expect_separator(path, mark)
    try:
        return pl.read_csv(
            path, separator=mark, infer_schema=False, quote_char=None if mark == "\t" else '"', glob=False
        )
    except pl.exceptions.PolarsError as error:
        reason = _first_line(error)
        if "more fields" in reason:
            reason = "a row has more fields than the header"
        elif "utf-8" in reason:
            reason = "it is not UTF-8 text; convert it, for example with iconv"
        raise DataError(
            f"{path} cannot be read as a table separated by {_SAID.get(mark, repr(mark))}: {reason}"
        ) from error


def _expect_separator(path: Path, mark: str) -> None:
    """Refuse a header that another separator would cut into more columns than ``mark`` cuts it into one."""
    with path.open("rb") as file:
        header = file.readline(1 << 20).decode("utf-8", errors="replace").strip("\ufeff\r\n")
    if mark in header:
        return
    other = max((m for m in _SAID if m != " "), key=header.count)
    if header.count(other):
        typed = {"\t": "tab"}.get(other, other)
        raise DataError(
            f"{path} should be separated by {_SAID.get(mark, repr(mark))} but its header {header[:60]!r} "
            f"looks separated by {_SAID[other]}; say so with --separator '{typed}'"
        )


def as_frame(table: Any, what: str) -> pl.DataFrame:
    """A polars frame from a polars, pandas or Arrow table, or from a mapping of columns.

    Raises DataError for anything else and for a table without rows.
    """
    if isinstance(table, pl.LazyFrame):
        frame = table.collect()
    elif isinstance(table, pl.DataFrame):
        frame = table
    elif isinstance(table, Mapping):
        frame = pl.DataFrame({name: np.asarray(values) for name, values in table.items()})
    elif hasattr(table, "__arrow_c_stream__"):
        frame = pl.DataFrame(table)
    else:
        raise DataError(
            f"{what} must be a polars, pandas or Arrow table or a mapping of columns; found "
            f"{type(table).__name__}"
        )
    # pandas hands its row labels over as a column of this name; they mean nothing here.
    frame = frame.select(column for column in frame.columns if not column.startswith("__index_level_"))
    if frame.height == 0:
        raise DataError(f"{what} has no rows; expected at least one")
    return frame


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
