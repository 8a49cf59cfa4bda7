"""Copies among the rows of a table."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from alnico.kernels.distinct import number_rows


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, -2.5]), st.sampled_from([0.0, 1.0])), max_size=30))
def test_rows_are_numbered_in_order_of_appearance(rows):
    table = np.array(rows, dtype=np.float32).reshape(-1, 2)
    firsts, copy_of = number_rows(table)
    kinds = list(dict.fromkeys(rows))
    assert copy_of.tolist() == [kinds.index(row) for row in rows]
    assert firsts.tolist() == [rows.index(kind) for kind in kinds]


def test_rows_that_differ_in_one_bit_are_different():
    table = np.tile(np.random.default_rng(0).standard_normal(384).astype(np.float32), (500, 1))
    table[1::2, 200] = np.nextafter(table[0, 200], np.float32(9))
    firsts, copy_of = number_rows(table)
    assert firsts.tolist() == [0, 1]
    assert copy_of.tolist() == [0, 1] * 250


def test_rows_without_a_column_are_all_alike():
    firsts, copy_of = number_rows(np.zeros((3, 0), np.float32))
    assert firsts.tolist() == [0]
    assert copy_of.tolist() == [0, 0, 0]
