"""Records one per line, as JSON or as the Python literals of older dumps, plain or gzipped."""

import ast
import gzip
import json
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from alnico.data.sources.columns import plain
from alnico.errors import DataError

LINES_SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
# Rows that are held as Python objects before they become columns.
_BATCH = 50_000
# Far above any record of a shop; a file without line ends must not fill the memory.
_LONGEST = 1 << 26


def is_lines(path: Path) -> bool:
    """Whether a file's name says that it holds records one per line."""
    return path.name.endswith(LINES_SUFFIXES)


def read_lines(
    path: Path,
    known: Collection[str],
    given: Collection[str] = (),
    keep: Callable[[dict[str, Any]], bool] | None = None,
) -> pl.DataFrame:
    """The fields of a file of records that somebody asks for, as text columns; a field that lacks is null.

    Kept are fields whose plain name (see ``columns.plain``) is among ``known`` or whose name is in ``given``, of the
    records that ``keep`` wants. The file is read once, and only what is kept is held. Lists become text with commas
    between the entries, a list of lists the same; records within records are left out.
    Raises DataError naming the line that is no record, and for files that are empty or cut short.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    names: dict[str, bool] = {}
    frames: list[pl.DataFrame] = []
    batch: list[dict[str, str | None]] = []
    rows = 0
    for record in _records(path):
        rows += 1
        if keep is not None and not keep(record):
            continue
        row = {}
        for name, value in record.items():
            if name not in names:
                names[name] = name in given or plain(name) in known
            if names[name]:
                row[name] = _as_text(value)
        batch.append(row)
        if len(batch) == _BATCH:
            frames.append(_frame(batch))
            batch = []
    if not rows:
        raise DataError(f"{path} is empty; expected one record per line")
    if batch:
        frames.append(_frame(batch))
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()


def _frame(batch: list[dict[str, str | None]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in batch for name in row)
    return pl.DataFrame(
        {name: pl.Series(name, [row.get(name) for row in batch], pl.String) for name in names}
    )


def _records(path: Path) -> Iterator[dict[str, Any]]:
    openly = gzip.open if path.suffix == ".gz" else open
    try:
        # Old dumps have backslashes in their literals that newer Pythons warn of, one by one.
        with openly(path, "rt", encoding="utf-8") as text, warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            number = 0
            while line := text.readline(_LONGEST):
                number += 1
                if not line.isspace():
                    yield _record(line, path, number)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is cut short or no gzip file ({error}); fetch it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text; convert it, for example with iconv") from error


def _record(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = _literal(line)
    except RecursionError:
        record = None
    if not isinstance(record, dict):
        raise DataError(
            f'{path}, line {number}: expected a record such as {{"asin": ...}}, found {line[:40].strip()!r}'
        )
    return record


def _literal(line: str) -> Any:
    try:
        return ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, list):
        parts = [part for part in map(_as_text, value) if part]
        return ", ".join(parts)
    return value if isinstance(value, str) else str(value)
