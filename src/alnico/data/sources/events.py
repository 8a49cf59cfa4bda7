"""One clean table of events, whatever the file called its columns."""

from collections.abc import Mapping

import polars as pl

from alnico.data.dataset import TEST, TRAIN, VALID
from alnico.data.sources.columns import EVENT_COLUMNS, plain, recognise
from alnico.errors import DataError

_PART_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "valid": VALID,
    "validation": VALID,
    "val": VALID,
    "dev": VALID,
    "test": TEST,
    "testing": TEST,
}


def clean_events(
    table: pl.DataFrame, columns: Mapping[str, str], where: str
) -> tuple[pl.DataFrame, list[str]]:
    """The events of a table under the names user, item, and where known time, rating, event, weight, label.

    ``user`` and ``item`` are Int64 or String, ``time`` seconds as Float64, ``rating`` and ``weight`` Float64,
    ``event`` String, ``label`` Int8 in 0, 1, 2. ``columns`` maps these names to the table's; what is not
    given is recognised. Also returns notices for people.
    Raises DataError naming the first row that cannot be used.
    """
    roles = recognise(table.columns, EVENT_COLUMNS, columns, ("user", "item"), where)
    notices = []
    if "label" in roles and "label" not in columns and plain(roles["label"]) == "label":
        values = table[roles["label"]].drop_nulls().cast(pl.String).unique().to_list()
        if not ({"2", "2.0", "test"} & {str(value).lower() for value in values}):
            # A `label` of zeros and ones is far more often a click than a split.
            notices.append(
                f"column {roles['label']!r} of {where} was not taken as split labels (no value 2 or 'test'); "
                f"if it is, say --column label={roles['label']}"
            )
            del roles["label"]
    cleaners = {"time": seconds, "label": parts, "rating": numbers, "weight": numbers, "event": words}
    clean = {}
    for role, column in roles.items():
        if table[column].dtype.is_nested():
            raise DataError(
                f"{where}, column {column!r} ({role}) holds lists or records; expected plain values"
            )
        clean[role] = cleaners.get(role, outside_ids)(table[column], where)
    return pl.DataFrame({role: series.alias(role) for role, series in clean.items()}), notices


def outside_ids(values: pl.Series, where: str) -> pl.Series:
    """Ids as Int64 where every one is a plain whole number, as String otherwise ('007' stays text)."""
    if values.dtype.is_float():
        if not values.is_null().any() and (values == values.round()).all():
            return values.cast(pl.Int64)
    elif values.dtype.is_integer():
        _no_gaps(values, where)
        if values.dtype != pl.UInt64:
            return values.cast(pl.Int64)
    text = values.cast(pl.String)
    _no_gaps(text.replace("", None), where)
    whole = text.cast(pl.Int64, strict=False)
    if not whole.is_null().any() and (whole.cast(pl.String) == text).all():
        return whole
    return text


def seconds(values: pl.Series, where: str) -> pl.Series:
    """Times as seconds: numbers stay as they are, dates count from 1970."""
    if values.dtype in (pl.String, pl.Categorical):
        values = values.cast(pl.String)
        stamps = values.cast(pl.Float64, strict=False)
        if stamps.is_null().all():
            stamps = _dates_as_seconds(values)
    elif isinstance(values.dtype, pl.Date | pl.Datetime):
        stamps = values.cast(pl.Datetime("us")).dt.timestamp("us") / 1e6
    else:
        stamps = values.cast(pl.Float64)
    _refuse(~stamps.is_finite().fill_null(False), values, where, "time", "a finite number or a date")
    return stamps.cast(pl.Float64)


def _dates_as_seconds(values: pl.Series) -> pl.Series:
    try:
        return values.str.to_datetime(strict=False, time_unit="us", time_zone="UTC").dt.timestamp("us") / 1e6
    except pl.exceptions.ComputeError:
        # No date format fits: every value is as unusable as the first.
        return pl.Series(values.name, [None] * len(values), dtype=pl.Float64)


def numbers(values: pl.Series, where: str) -> pl.Series:
    """Finite numbers."""
    result = values.cast(pl.Float64, strict=False)
    _refuse(~result.is_finite().fill_null(False), values, where, str(values.name), "a finite number")
    return result


def words(values: pl.Series, where: str) -> pl.Series:
    """Text without gaps."""
    text = values.cast(pl.String)
    _no_gaps(text, where)
    return text


def parts(values: pl.Series, where: str) -> pl.Series:
    """Split labels: 0 train, 1 validation, 2 test, or those words."""
    known = {
        **{str(n): n for n in (TRAIN, VALID, TEST)},
        **{f"{n}.0": n for n in (TRAIN, VALID, TEST)},
        **_PART_WORDS,
    }
    labels = (
        values.cast(pl.String).str.to_lowercase().replace_strict(known, default=None, return_dtype=pl.Int8)
    )
    _refuse(labels.is_null(), values, where, str(values.name), "0 (train), 1 (validation) or 2 (test)")
    return labels


def _no_gaps(values: pl.Series, where: str) -> None:
    _refuse(values.is_null(), values, where, str(values.name), "a value")


def _refuse(bad: pl.Series, values: pl.Series, where: str, column: str, expected: str) -> None:
    """Raise DataError naming the first bad row; rows count from 1 below the header."""
    row = bad.arg_max() if bad.any() else None
    if row is not None:
        raise DataError(
            f"{where}, row {row + 1}: {column} is {values[row]!r}, expected {expected} "
            f"({int(bad.sum())} such rows)"
        )
