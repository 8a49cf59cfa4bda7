"""Tables from files and from other libraries."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from alnico.data.sources.tables import as_frame, read_table
from alnico.errors import DataError


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv_and_tsv_give_text(tmp_path: Path) -> None:
    csv = read_table(written(tmp_path / "t.csv", 'user,title\n007,"Tea, green"\n8,Cup\n'))
    assert csv.rows() == [("007", "Tea, green"), ("8", "Cup")]
    tsv = read_table(written(tmp_path / "t.tsv", '\ufeffuser\ttitle\r\n1\t"Heat" (1995)\r\n'))
    assert tsv.columns == ["user", "title"]
    assert tsv.rows() == [("1", '"Heat" (1995)')]


def test_separator_can_be_said(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "user;item\n1;2\n")
    assert read_table(path, ";").rows() == [("1", "2")]
    assert read_table(written(tmp_path / "u.csv", "user\titem\n1\t2\n"), "tab").rows() == [("1", "2")]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    pl.DataFrame({"user": [1, 2], "tags": [["a"], ["b", "c"]]}).write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").rows() == [(1, ["a"]), (2, ["b", "c"])]


def test_one_column_needs_no_separator(tmp_path: Path) -> None:
    assert read_table(written(tmp_path / "t.csv", "user\n1\n")).columns == ["user"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "", r"t\.csv is empty; expected a header and at least one row"),
        ("t.csv", "user,item\n", r"t\.csv has a header but no rows"),
        ("t.csv", "user;item\n1;2\n",
         r"should be separated by a comma but its header 'user;item' looks separated by a semicolon; say so "
         r"with --separator ';'"),
        ("t.inter", "userID,itemID\n1,2\n",
         r"separated by a tab but .* a comma; say so with --separator ','"),
        ("t.csv", "user\titem\n1\t2\n", r"looks separated by a tab; say so with --separator 'tab'"),
        ("t.tsv", "user\titem\n1\t2\t3\n", r"separated by a tab: a row has more fields than the header"),
        ("t.csv", b"user,item\n\xe9,2\n", r"it is not UTF-8 text"),
        ("t.parquet", "PAR1 not really", r"t\.parquet cannot be read as Parquet"),
    ],
)  # fmt: skip
def test_file_that_is_not_what_it_says_is_one_sentence(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_table(written(tmp_path / name, content))


def test_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    written(tmp_path / "events.csv", "a")
    with pytest.raises(DataError, match=r"there is no file .*evnts\.csv; its folder has events\.csv"):
        read_table(tmp_path / "evnts.csv")


COLUMNS = {"user": ["a", "b"], "item": [1, 2]}


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame(COLUMNS),
        pl.LazyFrame(COLUMNS),
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS, index=["x", "y"]),
        pa.table(COLUMNS),
        {"user": np.array(["a", "b"]), "item": [1, 2]},
    ],
    ids=["polars", "lazy", "pandas", "pandas with row names", "arrow", "mapping"],
)
def test_frames_of_all_kinds_mean_the_same(table: object) -> None:
    frame = as_frame(table, "interactions")
    assert frame.columns == ["user", "item"]
    assert frame.rows() == [("a", 1), ("b", 2)]


def test_other_objects_and_empty_frames_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"interactions must be a polars, pandas or Arrow table .*; found list"
    ):
        as_frame([1, 2], "interactions")
    with pytest.raises(DataError, match="interactions has no rows"):
        as_frame(pl.DataFrame({"user": []}), "interactions")


def test_source_frame_is_not_touched() -> None:
    before = pd.DataFrame(COLUMNS)
    as_frame(before, "interactions")
    pd.testing.assert_frame_equal(before, pd.DataFrame(COLUMNS))
