"""Entries in order, against scipy and sorting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from alnico.kernels.compress import compress, compress_symmetric


def random_entries(seed, n_rows, n_columns, share=0.3):
    """Distinct entries in random order."""
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(rng.random((n_rows, n_columns)) < share)
    order = rng.permutation(len(rows))
    return rows[order], columns[order], rng.random(len(rows)).astype(np.float32)


def assert_is(found, expected):
    """``found`` holds the same as scipy's matrix, its columns ascending."""
    expected = expected.tocsr()
    expected.sort_indices()
    np.testing.assert_array_equal(found[0], expected.indptr)
    np.testing.assert_array_equal(found[1], expected.indices)
    np.testing.assert_array_equal(found[2], expected.data)
    assert (found[0].dtype, found[1].dtype, found[2].dtype) == (np.int64, np.int32, np.float32)


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 20))
def test_entries_stand_where_scipy_puts_them(seed, n_rows, n_columns):
    rows, columns, values = random_entries(seed, n_rows, n_columns)
    expected = sparse.coo_matrix((values, (rows, columns)), (n_rows, n_columns))
    assert_is(compress(rows, columns, values, (n_rows, n_columns)), expected)


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 20))
def test_symmetric_matrix_holds_each_entry_on_both_sides(seed, n_users, n_items):
    users, items, values = random_entries(seed, n_users, n_items)
    half = sparse.coo_matrix((values, (users, items)), (n_users, n_items))
    assert_is(
        compress_symmetric(users, items, values, n_users, n_items),
        sparse.bmat([[None, half], [half.T, None]]),
    )


def test_no_entries_leave_empty_rows():
    none = np.zeros(0, np.int64)
    starts, columns, values = compress_symmetric(none, none, np.zeros(0, np.float32), 2, 3)
    assert starts.tolist() == [0] * 6
    assert len(columns) == len(values) == 0


def test_the_number_of_threads_changes_nothing(monkeypatch):
    entries = random_entries(3, 70, 50)
    one = compress(*entries, (70, 50))
    # Seven runs of rows, whatever the machine has: a thread may own several.
    monkeypatch.setattr("alnico.kernels.compress.numba.get_num_threads", lambda: 7)
    for mine, its in zip(compress(*entries, (70, 50)), one, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_fewer_rows_than_threads_are_no_trouble(n_rows, monkeypatch):
    monkeypatch.setattr("alnico.kernels.compress.numba.get_num_threads", lambda: 5)
    rows, columns, values = random_entries(1, n_rows, 9, 0.8)
    expected = sparse.coo_matrix((values, (rows, columns)), (n_rows, 9))
    assert_is(compress(rows, columns, values, (n_rows, 9)), expected)
