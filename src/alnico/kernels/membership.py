"""Which pairs are among the stored ones."""

from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from alnico.kernels.threads import follow_torch


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _contains(offsets, members, rows, items, found):
    for pair in numba.prange(rows.shape[0]):
        low, high, item = offsets[rows[pair]], offsets[rows[pair] + 1], items[pair]
        end = high
        while low < high:
            middle = (low + high) >> 1
            if members[middle] < item:
                low = middle + 1
            else:
                high = middle
        found[pair] = low < end and members[low] == item


def contains(
    offsets: NDArray[np.int64], members: NDArray[np.int64], rows: NDArray[np.int64], items: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each ``items[p]`` stands in row ``rows[p]``; row r's members, ascending, begin at ``offsets[r]``."""
    found = np.empty(len(rows), np.bool_)
    follow_torch()
    _contains(offsets, members, rows, items, found)
    return found
