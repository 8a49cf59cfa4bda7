"""Vectors made comparable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alnico.encoders.scaling import centred_rows, unit_rows

TABLES = arrays(
    np.float32, st.tuples(st.integers(2, 8), st.integers(1, 5)), elements=st.floats(-100, 100, width=32)
)


def test_rows_minus_their_mean() -> None:
    # The mean of (1, 4) and (3, 0) is (2, 2).
    assert centred_rows(np.array([[1.0, 4.0], [3.0, 0.0]])).tolist() == [[-1.0, 2.0], [1.0, -2.0]]


def test_single_row_stays() -> None:
    assert centred_rows(np.array([[1.0, 4.0]])).tolist() == [[1.0, 4.0]]


def test_length_of_three_and_four_is_five() -> None:
    assert unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])) == pytest.approx(np.array([[0.6, 0.8], [0.0, 0.0]]))


def test_rounding_errors_do_not_become_directions() -> None:
    assert unit_rows(np.array([[1e-8, -1e-8]])).tolist() == [[0.0, 0.0]]


@given(TABLES)
def test_rows_end_with_length_one_or_zero(table: np.ndarray) -> None:  # type: ignore[type-arg]
    lengths = np.linalg.norm(unit_rows(centred_rows(table)), axis=1)
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()
