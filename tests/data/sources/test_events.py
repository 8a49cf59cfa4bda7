"""One clean table of events."""

import datetime

import polars as pl
import pytest

from alnico.data.sources.events import clean_events, outside_ids, parts, seconds
from alnico.errors import DataError


def clean(**columns: object) -> pl.DataFrame:
    return clean_events(pl.DataFrame(columns), {}, "t.csv")[0]


def test_columns_get_their_names_and_kinds() -> None:
    events = clean(
        userID=["1", "2"], itemID=["b", "a"], rating=["5", "3.5"], timestamp=["10", "20"], x_label=["0", "2"]
    )
    assert events.schema == {
        "user": pl.Int64, "item": pl.String, "time": pl.Float64, "rating": pl.Float64, "label": pl.Int8,
    }  # fmt: skip
    assert events.rows() == [(1, "b", 10.0, 5.0, 0), (2, "a", 20.0, 3.5, 2)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["1", "20", "-3"], [1, 20, -3]),
        (["007", "8"], ["007", "8"]),  # leading zeros are part of a name
        (["1", "x"], ["1", "x"]),
        (["1.0", "2"], ["1.0", "2"]),
        ([3.0, 4.0], [3, 4]),  # whole numbers that a table turned into floats
        ([2**63], [str(2**63)]),  # too large for a signed number
    ],
)
def test_ids_are_numbers_only_where_nothing_is_lost(given: list[object], expected: list[object]) -> None:
    dtype = pl.UInt64 if given == [2**63] else None
    assert outside_ids(pl.Series("id", given, dtype=dtype), "t.csv").to_list() == expected


@pytest.mark.parametrize("missing", [None, ""])
def test_missing_id_names_its_row(missing: str | None) -> None:
    with pytest.raises(DataError, match=r"t\.csv, row 2: user_id is None, expected a value \(1 such rows\)"):
        clean(user_id=["a", missing, "c"], item_id=["1", "2", "3"])


def test_numbers_are_seconds_already() -> None:
    assert seconds(pl.Series("t", [5, 6]), "t").to_list() == [5.0, 6.0]
    assert seconds(pl.Series("t", ["1e3", "7"]), "t").to_list() == [1000.0, 7.0]


def test_dates_count_from_1970() -> None:
    # 2 January 1970, 00:01 UTC is a day and a minute: 86,460 seconds.
    assert seconds(pl.Series("t", ["1970-01-02 00:01:00"]), "t").to_list() == [86460.0]
    assert seconds(pl.Series("t", ["1970-01-02"]), "t").to_list() == [86400.0]
    assert seconds(pl.Series("t", [datetime.date(1970, 1, 2)]), "t").to_list() == [86400.0]
    assert seconds(pl.Series("t", [datetime.datetime(1970, 1, 2, 0, 1)]), "t").to_list() == [86460.0]


@pytest.mark.parametrize("bad", ["nan", "inf", "", "yesterday", None])
def test_unusable_time_names_its_row(bad: str | None) -> None:
    with pytest.raises(DataError, match=r"t\.csv, row 2: time is .*, expected a finite number or a date"):
        clean(user=["a", "b"], item=["1", "2"], time=["5", bad])


def test_times_that_are_no_dates_at_all_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"row 1: time is 'soon', expected a finite number or a date \(2 such rows\)"
    ):
        clean(user=["a", "b"], item=["1", "2"], time=["soon", "later"])


def test_labels_are_numbers_or_words() -> None:
    given = pl.Series("x_label", ["0", "1", "2", "0.0", "train", "Valid", "validation", "test"])
    assert parts(given, "t").to_list() == [0, 1, 2, 0, 0, 1, 1, 2]
    assert parts(pl.Series("x_label", [2, 0]), "t").to_list() == [2, 0]


@pytest.mark.parametrize("bad", ["3", "-1", "training set", None])
def test_other_labels_are_refused(bad: str | None) -> None:
    message = r"row 2: x_label is .*, expected 0 \(train\), 1 \(validation\) or 2 \(test\)"
    with pytest.raises(DataError, match=message):
        clean(user=["a", "b"], item=["1", "2"], x_label=["0", bad])


def test_column_called_label_is_a_split_only_if_it_has_a_test_part() -> None:
    table = {"user": ["a", "b", "c"], "item": ["1", "2", "3"]}
    assert clean(**table, label=["0", "1", "2"])["label"].to_list() == [0, 1, 2]
    events, notices = clean_events(pl.DataFrame({**table, "label": ["0", "1", "1"]}), {}, "t.csv")
    assert "label" not in events.columns
    assert "column 'label' of t.csv was not taken as split labels" in notices[0]
    insisted, _ = clean_events(pl.DataFrame({**table, "label": ["0", "1", "1"]}), {"label": "label"}, "t.csv")
    assert insisted["label"].to_list() == [0, 1, 1]


def test_ratings_and_weights_must_be_numbers() -> None:
    with pytest.raises(DataError, match=r"row 1: rating is 'good', expected a finite number"):
        clean(user=["a"], item=["1"], rating=["good"])


def test_columns_of_lists_are_refused() -> None:
    with pytest.raises(DataError, match=r"t\.csv, column 'item' \(item\) holds lists or records"):
        clean(user=["a"], item=[["1", "2"]])
