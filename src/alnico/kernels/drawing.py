"""Some of each group's rows, drawn by chance."""

from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from alnico.kernels.threads import follow_torch


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _draw(offsets, chances, starts, kept):
    for group in numba.prange(starts.shape[0] - 1):
        place, end = starts[group], starts[group + 1]
        for row in range(offsets[group], offsets[group + 1]):
            # So many are still wanted of so many that are left (selection sampling).
            if chances[row] * (offsets[group + 1] - row) < end - place:
                kept[place] = row
                place += 1


def draw_rows(offsets: NDArray[np.int64], cap: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Ascending rows, at most ``cap`` of each group, uniform without replacement.

    Group g has the rows ``offsets[g]`` to ``offsets[g + 1] - 1``. The same stream draws the same rows.
    Source: Knuth, The Art of Computer Programming 2, Algorithm 3.4.2 S.
    """
    starts = np.concatenate([[0], np.cumsum(np.minimum(np.diff(offsets), cap))])
    kept = np.empty(starts[-1], np.int64)
    chances = rng.random(offsets[-1])
    follow_torch()
    _draw(offsets, chances, starts, kept)
    return kept
