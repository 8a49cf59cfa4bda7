"""Entries of a sparse matrix put in order, row by row, in linear time.

Counting sort: an entry's place follows from how many stand in the rows before. A thread owns a run of rows and takes
from all entries those that fall into it, so the answer does not depend on the number of threads.
"""

from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from alnico.kernels.threads import follow_torch

Compressed = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]
"""Starts, columns and values: row r has ``columns[starts[r]:starts[r + 1]]`` with ``values`` beside them."""


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _sort(rows, columns, values, starts, bounds, out_columns, out_values):
    for part in numba.prange(bounds.shape[0] - 1):
        low, high = bounds[part], bounds[part + 1]
        cursors = starts[low:high].copy()
        for entry in range(rows.shape[0]):
            row = rows[entry]
            if low <= row < high:
                place = cursors[row - low]
                cursors[row - low] += 1
                out_columns[place] = columns[entry]
                out_values[place] = values[entry]


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _turn(starts, columns, values, shift, out_starts, bounds, out_columns, out_values):
    for part in numba.prange(bounds.shape[0] - 1):
        low, high = bounds[part], bounds[part + 1]
        cursors = out_starts[low:high].copy()
        for row in range(starts.shape[0] - 1):
            for entry in range(starts[row], starts[row + 1]):
                column = columns[entry]
                if low <= column < high:
                    place = cursors[column - low]
                    cursors[column - low] += 1
                    out_columns[place] = row + shift
                    out_values[place] = values[entry]


def _starts(keys: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=n))]).astype(np.int64, copy=False)


def _bounds(starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the threads' runs of rows begin and end, about equally many entries in each."""
    follow_torch()
    wanted = np.linspace(0, starts[-1], numba.get_num_threads() + 1)[1:-1]
    return np.concatenate([[0], np.searchsorted(starts, wanted), [len(starts) - 1]])


def _by_row(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float32], n_rows: int
) -> Compressed:
    starts = _starts(rows, n_rows)
    out_columns, out_values = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
    _sort(rows, columns, values, starts, _bounds(starts), out_columns, out_values)
    return starts, out_columns, out_values


def compress(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float32], shape: tuple[int, int]
) -> Compressed:
    """The matrix with these entries in any order, each row's columns ascending; entries must be distinct."""
    by_column = _by_row(columns, rows, values, shape[1])
    starts = _starts(rows, shape[0])
    out_columns, out_values = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
    _turn(*by_column, 0, starts, _bounds(starts), out_columns, out_values)
    return starts, out_columns, out_values


def compress_symmetric(
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    values: NDArray[np.float32],
    n_users: int,
    n_items: int,
) -> Compressed:
    """The symmetric matrix over users, then items, in which each given (user, item) entry stands on both sides.

    Each row's columns ascend; entries must be distinct. Rows and columns of items begin at ``n_users``.
    """
    n = len(users)
    # By user first: edges mostly come that way, and then this pass writes to few places at a time.
    by_user = _by_row(users, items, values, n_users)
    item_starts = _starts(items, n_items)
    columns, entries = np.empty(2 * n, np.int32), np.empty(2 * n, np.float32)
    _turn(*by_user, 0, item_starts, _bounds(item_starts), columns[n:], entries[n:])
    _turn(
        item_starts,
        columns[n:],
        entries[n:],
        n_users,
        by_user[0],
        _bounds(by_user[0]),
        columns[:n],
        entries[:n],
    )
    return np.concatenate([by_user[0], item_starts[1:] + n]), columns, entries
