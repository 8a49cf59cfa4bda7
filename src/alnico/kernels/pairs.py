"""Products of given pairs of rows of a table, without a copy of the rows."""

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from alnico.kernels.threads import follow_torch


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"})
@no_type_check
def _products(table, lefts, rights, out):
    for pair in numba.prange(lefts.shape[0]):
        left, right = table[lefts[pair]], table[rights[pair]]
        total = np.float32(0)
        for axis in range(left.shape[0]):
            total += left[axis] * right[axis]
        out[pair] = total


def pair_products(
    table: Float[np.ndarray, "rows width"],
    lefts: Int[np.ndarray, " pairs"],
    rights: Int[np.ndarray, " pairs"],
) -> NDArray[np.float32]:
    """The product of row ``lefts[p]`` with row ``rights[p]`` for each pair p.

    Every product is summed in the same order: equal rows have equal products.
    """
    out = np.empty(len(lefts), np.float32)
    follow_torch()
    _products(np.ascontiguousarray(table), lefts, rights, out)
    return out
