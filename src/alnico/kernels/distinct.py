"""Which rows of a table are copies of one another."""

from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from alnico.kernels.threads import follow_torch


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _hash_rows(words, hashes):
    for row in numba.prange(words.shape[0]):
        mixed = np.uint64(0xCBF29CE484222325)
        for column in range(words.shape[1]):
            mixed = (mixed ^ np.uint64(words[row, column])) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        hashes[row] = mixed


@numba.njit(cache=True, nogil=True)
@no_type_check
def _number_rows(words, hashes, slots, copy_of, firsts):
    # One thread: numbers are given in order of appearance.
    found = 0
    for row in range(words.shape[0]):
        slot = hashes[row] % np.uint64(slots.shape[0])
        while slots[slot] >= 0:
            first = firsts[slots[slot]]
            if hashes[first] == hashes[row] and np.array_equal(words[first], words[row]):
                break
            slot = (slot + np.uint64(1)) % np.uint64(slots.shape[0])
        if slots[slot] < 0:
            slots[slot] = found
            firsts[found] = row
            found += 1
        copy_of[row] = slots[slot]
    return found


def number_rows(table: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each kind in order of appearance, and the number among these kinds of every row.

    Rows are of one kind when their bytes are equal.
    """
    words = np.ascontiguousarray(table).view(np.uint32)
    hashes = np.empty(len(table), np.uint64)
    slots = np.full(2 * len(table) + 1, -1, np.int64)
    copy_of, firsts = np.empty(len(table), np.int64), np.empty(len(table), np.int64)
    follow_torch()
    _hash_rows(words, hashes)
    found = _number_rows(words, hashes, slots, copy_of, firsts)
    return firsts[:found], copy_of
