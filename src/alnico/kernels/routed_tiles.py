"""The inner loops of routed ranking: one user and sixteen items at a time.

A pair's logits choose k experts and weigh them; its exact score needs those experts alone. For best lists all
experts' scores are first known roughly from 16-bit copies of the vectors, at a fraction of the cost; a pair whose
rough score, raised by the user's margin, does not reach the user's k-th best so far is out without more. Both ways of
asking (whole tables, best lists) score a pair by the same operations in the same order.
"""

from typing import no_type_check

import numba
import numpy as np

from alnico.kernels.lanes import (
    N_LANES,
    fetch,
    lowest_bit,
)
from alnico.kernels.rough_scores import add_larger_roughly, multiply_roughly, possible
from alnico.kernels.routed_pairs import new_desk, route, score_pair
from alnico.kernels.routed_tables import (
    TILE,
    USERS_AT_ONCE,
    Waiting,
)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _score_tile(users, items, user, tile, k, desk, scores):
    begin = tile * TILE
    for first in range(begin, min(begin + TILE, items.n_items), N_LANES):
        route(users, items, user, first, k, desk)
        for lane in range(min(N_LANES, items.n_items - first)):
            scores[first - begin + lane] = score_pair(users, items, user, first + lane, lane, desk)


@numba.njit(cache=True, nogil=True)
@no_type_check
def insert(score, item, user, lists):
    # Items come in ascending order: an equal score never displaces an earlier item.
    items, values = lists.items[user], lists.values[user]
    n_places, found = len(values), lists.found[user]
    if found == n_places and not score > values[-1]:
        return
    place = min(found, n_places - 1)
    while place > 0 and score > values[place - 1]:
        values[place] = values[place - 1]
        items[place] = items[place - 1]
        place -= 1
    values[place] = score
    items[place] = item
    lists.found[user] = min(found + 1, n_places)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _waiting(n_places):
    n_waiting = 3 * n_places + 4 * N_LANES
    return Waiting(
        np.empty((USERS_AT_ONCE, n_waiting), np.int64),
        np.empty((USERS_AT_ONCE, n_waiting), np.float32),
        np.zeros(USERS_AT_ONCE, np.int64),
        np.full(USERS_AT_ONCE, -np.inf, np.float32),
        np.empty(n_waiting, np.float32),
    )


@numba.njit(cache=True, nogil=True)
@no_type_check
def _settle(users, items, user, k, row, waiting, lists, desk):
    # Exact scores of the items that wait. Their vectors lie far apart: each is called for one item ahead.
    count, size = waiting.counts[row], items.n_experts * items.width
    for place in range(count):
        following = waiting.items[row, min(place + 1, count - 1)] * size
        for axis in range(0, size, N_LANES):
            fetch(items.vectors, following + axis)
        if waiting.rough[row, place] + users.margin[user] < lists.values[user, -1]:
            continue
        item = waiting.items[row, place]
        lane = item % N_LANES
        route(users, items, user, item - lane, k, desk)
        insert(score_pair(users, items, user, item, lane, desk), item, user, lists)
    waiting.counts[row] = 0


@numba.njit(cache=True, nogil=True)
@no_type_check
def _kth_largest(values, n_values, k):
    # Hoare's selection; leaves the values in another order.
    low, high = 0, n_values - 1
    while low < high:
        pivot, left, right = values[(low + high) // 2], low, high
        while left <= right:
            while values[left] > pivot:
                left += 1
            while pivot > values[right]:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left, right = left + 1, right - 1
        if k - 1 <= right:
            high = right
        elif k - 1 >= left:
            low = left
        else:
            break
    return values[k - 1]


@numba.njit(cache=True, nogil=True)
@no_type_check
def _thin_out(row, n_places, margin, waiting):
    # As many items as there are places surely score more than the last of their rough scores less a margin: what
    # stays below that with its own margin is out. Returns whether this made room.
    items, rough, count = waiting.items[row], waiting.rough[row], waiting.counts[row]
    if count >= n_places:
        for place in range(count):
            waiting.room[place] = rough[place]
        bound = _kth_largest(waiting.room, count, n_places) - (margin + margin)
        waiting.bounds[row] = max(waiting.bounds[row], bound)
    left = 0
    for place in range(count):
        if not rough[place] < waiting.bounds[row]:
            items[left], rough[left] = items[place], rough[place]
            left += 1
    waiting.counts[row] = left
    return 4 * left < 3 * len(items)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _rank_block(users, items, first_user, n_users, k, seen_offsets, seen_items, lists):
    desk = new_desk(items)
    n_places = lists.values.shape[1]
    waiting, steps = _waiting(n_places), items.width // 2
    cursors = seen_offsets[first_user : first_user + n_users].copy()
    ends = seen_offsets[first_user + 1 : first_user + n_users + 1]
    for tile in range((items.n_items + TILE - 1) // TILE):
        asked = (items.n_experts, steps, users.rough, first_user, n_users, items.rough)
        if len(items.readout) == 0:
            multiply_roughly(*asked, tile, desk.products)
        else:
            add_larger_roughly(*asked, items.own, items.signs, tile, desk.products)
        for row in range(n_users):
            user = first_user + row
            for first in range(tile * TILE, min((tile + 1) * TILE, items.n_items), N_LANES):
                route(users, items, user, first, k, desk)
                start = row * items.n_experts * TILE + first % TILE
                left = possible(users, items, user, waiting.bounds[row], start, desk)
                left &= (1 << min(N_LANES, items.n_items - first)) - 1
                while left != 0:
                    lane = lowest_bit(left)
                    left &= left - 1
                    while cursors[row] < ends[row] and seen_items[cursors[row]] < first + lane:
                        cursors[row] += 1
                    if cursors[row] < ends[row] and seen_items[cursors[row]] == first + lane:
                        continue
                    count = waiting.counts[row]
                    waiting.items[row, count] = first + lane
                    waiting.rough[row, count] = desk.mixed[lane] / desk.sums[lane]
                    waiting.counts[row] = count + 1
                full = waiting.counts[row] + N_LANES > waiting.items.shape[1]
                if full and not _thin_out(row, n_places, users.margin[user], waiting):
                    _settle(users, items, user, k, row, waiting, lists, desk)
                    bound = lists.values[user, -1] - users.margin[user]
                    waiting.bounds[row] = max(waiting.bounds[row], bound)
    for row in range(n_users):
        _thin_out(row, n_places, users.margin[first_user + row], waiting)
        _settle(users, items, first_user + row, k, row, waiting, lists, desk)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _score_block(users, items, first_user, n_users, k, scores):
    desk = new_desk(items)
    for tile in range((items.n_items + TILE - 1) // TILE):
        for user in range(first_user, first_user + n_users):
            _score_tile(users, items, user, tile, k, desk, scores[user, tile * TILE :])


@numba.njit(cache=True, nogil=True)
@no_type_check
def rank_block(users, items, k, seen_offsets, seen_items, lists):
    """``rank`` for at most USERS_AT_ONCE users, by the thread that asks: no other has to be waited for."""
    _rank_block(users, items, 0, users.n_users, k, seen_offsets, seen_items, lists)


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def rank(users, items, k, seen_offsets, seen_items, lists):
    """Fill the lists, which hold -1, -inf and found 0, with each user's best unseen items; k experts a pair."""
    for block in numba.prange((users.n_users + USERS_AT_ONCE - 1) // USERS_AT_ONCE):
        first = block * USERS_AT_ONCE
        n_users = min(USERS_AT_ONCE, users.n_users - first)
        _rank_block(users, items, first, n_users, k, seen_offsets, seen_items, lists)


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def score(users, items, k, scores):
    """Fill the table [users, items] with every pair's score; k experts a pair."""
    for block in numba.prange((users.n_users + USERS_AT_ONCE - 1) // USERS_AT_ONCE):
        first = block * USERS_AT_ONCE
        _score_block(users, items, first, min(USERS_AT_ONCE, users.n_users - first), k, scores)
