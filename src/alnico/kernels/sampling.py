"""Some entries of each row, drawn uniformly without replacement."""

from typing import no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from alnico.kernels.threads import follow_torch


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _choose(starts, kept_starts, seed, kept):
    for row in numba.prange(len(starts) - 1):
        first, last = starts[row], starts[row + 1]
        place, end = kept_starts[row], kept_starts[row + 1]
        if end - place == last - first:
            for entry in range(first, last):
                kept[place + entry - first] = entry
            continue
        # A stream of random numbers for each row (SplitMix64): whoever works on it, the draw is the same.
        state = seed + np.uint64(row) * np.uint64(0xD1342543DE82EF95)
        for entry in range(first, last):
            state += np.uint64(0x9E3779B97F4A7C15)
            mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed = mixed ^ (mixed >> np.uint64(31))
            draw = np.float64(mixed >> np.uint64(11)) / 9007199254740992.0
            # Selection sampling (Knuth, volume 2, Algorithm S): every subset of the wanted size is equally likely.
            if draw * (last - entry) < end - place:
                kept[place] = entry
                place += 1
                if place == end:
                    break


def choose_within_rows(
    starts: NDArray[np.int64], most: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """At most ``most`` entries of each row, uniformly without replacement: new row starts and kept entry numbers.

    Row r's entries are ``starts[r]`` to ``starts[r + 1]``; kept ones stay in order. The same generator state gives
    the same draw on any number of threads.
    """
    kept_starts = np.zeros(len(starts), np.int64)
    np.cumsum(np.minimum(np.diff(starts), most), out=kept_starts[1:])
    kept = np.empty(kept_starts[-1], np.int64)
    follow_torch()
    _choose(starts, kept_starts, np.uint64(rng.integers(2**63)), kept)
    return kept_starts, kept
