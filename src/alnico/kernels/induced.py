"""Each user's most visible items among what resembles the history, without a table of users by items."""

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from alnico.kernels.threads import follow_torch


@numba.njit(cache=True, nogil=True)
@no_type_check
def _pool(history, lists, weights, turn, mark, pool, total):
    # A mark says: met in this turn; history is met first, so that it never enters the pool.
    for item in history:
        mark[item] = turn
        total[item] = 0
    found = 0
    for item in history:
        for place in range(lists.shape[1]):
            other = lists[item, place]
            if other < 0:
                continue
            if mark[other] != turn:
                mark[other] = turn
                total[other] = 0
                pool[found] = other
                found += 1
            total[other] += max(weights[item, place], np.float32(0))
    return found


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"})
@no_type_check
def _dot(left, right):
    total = np.float32(0)
    for axis in range(left.shape[0]):
        total += left[axis] * right[axis]
    return total


@numba.njit(cache=True, nogil=True)
@no_type_check
def _before(score, item, other_score, other):
    return score > other_score or (score == other_score and item < other)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _sink(place, end, scores, items):
    # Heap whose root is the last of the list: everything below comes before it.
    while True:
        child = 2 * place + 1
        if child >= end:
            return
        if child + 1 < end and _before(scores[child], items[child], scores[child + 1], items[child + 1]):
            child += 1
        if not _before(scores[place], items[place], scores[child], items[child]):
            return
        scores[place], scores[child] = scores[child], scores[place]
        items[place], items[child] = items[child], items[place]
        place = child


@numba.njit(cache=True, nogil=True)
@no_type_check
def _put_best_first(found, keep, scores, items):
    for place in range(keep // 2 - 1, -1, -1):
        _sink(place, keep, scores, items)
    for place in range(keep, found):
        if _before(scores[place], items[place], scores[0], items[0]):
            scores[0], items[0] = scores[place], items[place]
            _sink(0, keep, scores, items)
    for end in range(keep - 1, 0, -1):
        scores[0], scores[end] = scores[end], scores[0]
        items[0], items[end] = items[end], items[0]
        _sink(0, end, scores, items)


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _count(offsets, history, lists, weights, n_parts, counts):
    for part in numba.prange(n_parts):
        mark = np.full(lists.shape[0], -1, np.int64)
        pool, total = np.empty(lists.shape[0], np.int32), np.empty(lists.shape[0], np.float64)
        for user in range(part, counts.shape[0], n_parts):
            own = history[offsets[user] : offsets[user + 1]]
            counts[user] = _pool(own, lists, weights, user, mark, pool, total)


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _choose(offsets, history, lists, weights, table, full, n_lists, n_parts, starts, items, visibility):
    for part in numba.prange(n_parts):
        mark = np.full(lists.shape[0], -1, np.int64)
        pool, total = np.empty(lists.shape[0], np.int32), np.empty(lists.shape[0], np.float64)
        scores, profile = np.empty(lists.shape[0], np.float64), np.empty(table.shape[1], np.float32)
        for user in range(part, starts.shape[0] - 1, n_parts):
            own = history[offsets[user] : offsets[user + 1]]
            found = _pool(own, lists, weights, user, mark, pool, total)
            if full:
                profile[:] = 0
                for item in own:
                    profile += table[item]
            for place in range(found):
                if full:
                    # Every candidate is summed in the same order: twins tie exactly.
                    scores[place] = _dot(profile, table[pool[place]]) / np.float32(n_lists)
                else:
                    scores[place] = total[pool[place]] / n_lists
            keep = starts[user + 1] - starts[user]
            _put_best_first(found, keep, scores, pool)
            items[starts[user] : starts[user + 1]] = pool[:keep]
            visibility[starts[user] : starts[user + 1]] = scores[:keep]


def most_visible(
    offsets: NDArray[np.int64],
    history: NDArray[np.int64],
    lists: Int[np.ndarray, "items places"],
    weights: Float[np.ndarray, "items places"],
    n_lists: int,
    per_user: int,
    table: Float[np.ndarray, "items width"] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """How many items each user gets, which ones, best first, and how visible they are.

    User u has ``history[offsets[u]:offsets[u + 1]]``; candidates are what ``lists`` name for any of these (-1 is
    nobody), without these. With a ``table``, a candidate's visibility is the product of its row with the sum of the
    history's rows, without one the sum of the positive ``weights`` under which the history lists it; both over
    ``n_lists``. Ties go to the smaller item number; at most ``per_user`` are kept.
    """
    follow_torch()
    n_parts = numba.get_num_threads()
    counts = np.empty(len(offsets) - 1, np.int64)
    _count(offsets, history, lists, weights, n_parts, counts)
    np.minimum(counts, per_user, out=counts)
    starts = np.concatenate([[0], np.cumsum(counts)])
    items, visibility = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.float32)
    full = table is not None
    rows = table if table is not None else np.empty((0, 0), np.float32)
    _choose(offsets, history, lists, weights, rows, full, n_lists, n_parts, starts, items, visibility)
    return counts, items, visibility
