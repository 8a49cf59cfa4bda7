"""The inner loops of routed ranking: one user and sixteen items at a time.

A pair's logits choose k experts and weigh them; its exact score needs those experts alone. For best lists all
experts' scores are first known roughly from 16-bit copies of the vectors, at a fraction of the cost; a pair whose
rough score, raised by the user's margin, does not reach the user's k-th best so far is out without more. Both ways of
asking (whole tables, best lists) score a pair by the same operations in the same order.

Rough scores of the concatenation head: r relu(u + v) is s (max(|r| u, -|r| v) + |r| v), s being r's sign. The last
term is the item's alone, and the largest of two 16-bit numbers is one instruction. A user's numbers beyond the range
of the items' are cut off without loss: there the larger of the two is the user's, or the item's, for all items.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from alnico.kernels.lanes import (
    N_LANES,
    add_products,
    as_floats,
    exponential,
    fetch,
    fused,
    larger,
    larger_halves,
    load,
    lowest_bit,
    minus,
    not_at_most,
    plus,
    same,
    smaller,
    spread,
    store,
    times,
    total,
    where_at_least,
)

TILE = 4 * N_LANES
USERS_AT_ONCE = 16
FOUR = 4
ALL_LANES = (1 << N_LANES) - 1


class Catalogue(NamedTuple):
    """What all users share. Tables are flat; shapes in front of that, a tile being ``TILE`` items, zero-padded.

    vectors [items, experts, width]; rough [tiles, experts, width / 2, TILE], pairs of int16; routing
    [tiles, inner, TILE], the items' part of the router; factors, alike, the exponentials of that part less its
    largest, where weights may be had from them. Only for the concatenation head: ``readout`` [width], ``signs``
    [width / 2] of it as pairs of int16, and ``own`` [tiles, experts, TILE], the items' own share of a rough score.
    ``mixing`` [inner, experts up to a multiple of FOUR] and ``offset`` only for a router with a hidden layer.
    ``width`` is a multiple of 16.
    """

    n_items: int
    n_experts: int
    width: int
    inner: int
    constant: np.float32
    vectors: NDArray[np.float32]
    rough: NDArray[np.int32]
    routing: NDArray[np.float32]
    factors: NDArray[np.float32]
    readout: NDArray[np.float32]
    signs: NDArray[np.int32]
    own: NDArray[np.int32]
    mixing: NDArray[np.float32]
    offset: NDArray[np.float32]


class Audience(NamedTuple):
    """Some users, flat likewise: vectors [users, experts, width]; rough [users, experts, width / 2]; routing and
    factors [users, inner], factors like the items', -1 where a user has none. Products of rough vectors (or sums of
    their larger numbers) times scale plus shift, both [users, experts], are rough scores; margin [users] is how far
    a rough mixed score can be below the exact one.
    """

    n_users: int
    vectors: NDArray[np.float32]
    rough: NDArray[np.int32]
    routing: NDArray[np.float32]
    factors: NDArray[np.float32]
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    margin: NDArray[np.float32]


class Desk(NamedTuple):
    """Room for one thread. Of sixteen items: logits and weights [experts, 16], what is left of the logits while
    they are sorted, the router's hidden layer [inner, 16], the rough mixed scores and the weights' sums [16]; the
    experts a pair keeps; rough products [users at once, experts, TILE].
    """

    logits: NDArray[np.float32]
    weights: NDArray[np.float32]
    rest: NDArray[np.float32]
    hidden: NDArray[np.float32]
    mixed: NDArray[np.float32]
    sums: NDArray[np.float32]
    kept: NDArray[np.int64]
    products: NDArray[np.int32]


class Waiting(NamedTuple):
    """Items of each of the users at once, ascending, whose exact scores may be needed; their rough scores; how many
    there are; the rough score below which an item is out; and room for a row's scores. Shapes
    [users at once, places], [users at once], [places].
    """

    items: NDArray[np.int64]
    rough: NDArray[np.float32]
    counts: NDArray[np.int64]
    bounds: NDArray[np.float32]
    room: NDArray[np.float32]


class Lists(NamedTuple):
    """Each user's best items so far, best first, and how many there are. Shapes [users, places], [users]."""

    items: NDArray[np.int64]
    values: NDArray[np.float32]
    found: NDArray[np.int64]


@numba.njit(cache=True, nogil=True)
@no_type_check
def desk_for(items):
    return Desk(
        np.empty((items.n_experts + FOUR) * N_LANES, np.float32),
        np.empty(items.n_experts * N_LANES, np.float32),
        np.empty(items.n_experts * N_LANES, np.float32),
        np.empty(items.inner * N_LANES, np.float32),
        np.empty(N_LANES, np.float32),
        np.empty(N_LANES, np.float32),
        np.empty(items.n_experts + 1, np.int64),
        np.empty(USERS_AT_ONCE * items.n_experts * TILE, np.int32),
    )


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _form_logits(users, items, user, start, desk):
    # ``start`` is where the sixteen items' part of the router begins.
    if len(items.mixing) == 0:
        for expert in range(items.n_experts):
            own = spread(users.routing, user * items.inner + expert)
            store(desk.logits, expert * N_LANES, plus(own, load(items.routing, start + expert * TILE)))
        return
    zero = same(np.float32(0))
    for place in range(items.inner):
        own = spread(users.routing, user * items.inner + place)
        summed = plus(own, load(items.routing, start + place * TILE))
        store(desk.hidden, place * N_LANES, larger(summed, zero))
    n_padded = len(items.offset)
    for expert in range(0, n_padded, FOUR):
        first, second = spread(items.offset, expert), spread(items.offset, expert + 1)
        third, fourth = spread(items.offset, expert + 2), spread(items.offset, expert + 3)
        for place in range(items.inner):
            value = load(desk.hidden, place * N_LANES)
            at = place * n_padded + expert
            first = fused(spread(items.mixing, at), value, first)
            second = fused(spread(items.mixing, at + 1), value, second)
            third = fused(spread(items.mixing, at + 2), value, third)
            fourth = fused(spread(items.mixing, at + 3), value, fourth)
        store(desk.logits, expert * N_LANES, first)
        store(desk.logits, (expert + 1) * N_LANES, second)
        store(desk.logits, (expert + 2) * N_LANES, third)
        store(desk.logits, (expert + 3) * N_LANES, fourth)


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _weigh(users, items, user, start, k, desk):
    n_experts = items.n_experts
    # Four places are sorted in registers at a time; what falls out of them is left for the next four.
    lowest = same(np.float32(-np.inf))
    highest = last = following = lowest
    for done in range(0, k, FOUR):
        first = second = third = fourth = fifth = lowest
        for expert in range(n_experts):
            value = load(desk.logits if done == 0 else desk.rest, expert * N_LANES)
            first, value = larger(first, value), smaller(first, value)
            second, value = larger(second, value), smaller(second, value)
            third, value = larger(third, value), smaller(third, value)
            fourth, value = larger(fourth, value), smaller(fourth, value)
            fifth = larger(fifth, value)
            if done + FOUR < k:
                store(desk.rest, expert * N_LANES, value)
        if done == 0:
            highest = first
        if k - done == 1:
            last, following = first, second
        elif k - done == 2:
            last, following = second, third
        elif k - done == 3:
            last, following = third, fourth
        else:
            last, following = fourth, fifth
    if len(items.factors) > 0 and users.factors[user * n_experts] >= 0:
        # e to the power of a sum of two parts; what all experts of the pair have in common falls out of the mixture.
        for expert in range(n_experts):
            own = spread(users.factors, user * n_experts + expert)
            weight = times(own, load(items.factors, start + expert * TILE))
            logit = load(desk.logits, expert * N_LANES)
            store(desk.weights, expert * N_LANES, where_at_least(logit, last, weight))
    else:
        for expert in range(n_experts):
            logit = load(desk.logits, expert * N_LANES)
            weight = where_at_least(logit, last, exponential(minus(logit, highest)))
            store(desk.weights, expert * N_LANES, weight)
    if k < n_experts and not_at_most(last, following) != ALL_LANES:
        store(desk.mixed, 0, last)
        _drop_ties(n_experts, k, desk.mixed, desk.logits, desk.weights)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _drop_ties(n_experts, k, last, logits, weights):
    # More than k experts reach the k-th logit: of those that equal it, the lower ones stay.
    for lane in range(N_LANES):
        surplus = -k
        for expert in range(n_experts):
            surplus += weights[expert * N_LANES + lane] > 0
        for expert in range(n_experts - 1, -1, -1):
            if surplus > 0 and logits[expert * N_LANES + lane] == last[lane]:
                weights[expert * N_LANES + lane] = 0
                surplus -= 1


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def route(users, items, user, first, k, desk):
    # The weights of all experts for sixteen items from ``first`` on; 0 for those that a pair does not keep.
    tile, place = first // TILE, first % TILE
    start = tile * items.inner * TILE + place
    _form_logits(users, items, user, start, desk)
    _weigh(users, items, user, start, k, desk)


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def score_pair(users, items, user, item, lane, desk):
    # The pair's exact score, from the weights of the sixteen items that it is one of.
    n_kept = 0
    for expert in range(items.n_experts):
        desk.kept[n_kept] = expert
        n_kept += desk.weights[expert * N_LANES + lane] > 0
    zero = same(np.float32(0))
    mixed, weight_sum = zero, np.float32(0)
    for turn in range(n_kept):
        expert = desk.kept[turn]
        own = (user * items.n_experts + expert) * items.width
        other = (item * items.n_experts + expert) * items.width
        score = zero
        if len(items.readout) == 0:
            for axis in range(0, items.width, N_LANES):
                score = fused(load(users.vectors, own + axis), load(items.vectors, other + axis), score)
        else:
            for axis in range(0, items.width, N_LANES):
                summed = plus(load(users.vectors, own + axis), load(items.vectors, other + axis))
                score = fused(load(items.readout, axis), larger(summed, zero), score)
        weight = desk.weights[expert * N_LANES + lane]
        mixed = fused(same(weight), score, mixed)
        weight_sum += weight
    return total(mixed) / weight_sum + items.constant


@numba.njit(cache=True, nogil=True)
@no_type_check
def _score_tile(users, items, user, tile, k, desk, scores):
    begin = tile * TILE
    for first in range(begin, min(begin + TILE, items.n_items), N_LANES):
        route(users, items, user, first, k, desk)
        for lane in range(min(N_LANES, items.n_items - first)):
            scores[first - begin + lane] = score_pair(users, items, user, first + lane, lane, desk)


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _add_to_four(sums, own, others):
    return (
        add_products(sums[0], own, others[0]),
        add_products(sums[1], own, others[1]),
        add_products(sums[2], own, others[2]),
        add_products(sums[3], own, others[3]),
    )


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _load_four(array, start):
    return (
        load(array, start),
        load(array, start + N_LANES),
        load(array, start + 2 * N_LANES),
        load(array, start + 3 * N_LANES),
    )


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _store_four(array, start, sums):
    store(array, start, sums[0])
    store(array, start + N_LANES, sums[1])
    store(array, start + 2 * N_LANES, sums[2])
    store(array, start + 3 * N_LANES, sums[3])


@numba.njit(cache=True, nogil=True)
@no_type_check
def _multiply_roughly(n_experts, steps, users, first_user, n_users, items, tile, products):
    # Four users and four times sixteen items at a time: their sums stay in registers.
    zero = same(np.int32(0))
    next_user, next_row = n_experts * steps, n_experts * TILE
    for expert in range(n_experts):
        start = (tile * n_experts + expert) * steps * TILE
        for row in range(0, n_users, FOUR):
            own = (first_user + row) * next_user + expert * steps
            first = second = third = fourth = (zero, zero, zero, zero)
            for step in range(steps):
                others = _load_four(items, start + step * TILE)
                first = _add_to_four(first, spread(users, own + step), others)
                second = _add_to_four(second, spread(users, own + next_user + step), others)
                third = _add_to_four(third, spread(users, own + 2 * next_user + step), others)
                fourth = _add_to_four(fourth, spread(users, own + 3 * next_user + step), others)
            at = row * next_row + expert * TILE
            _store_four(products, at, first)
            _store_four(products, at + next_row, second)
            _store_four(products, at + 2 * next_row, third)
            _store_four(products, at + 3 * next_row, fourth)


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _add_larger_to_four(sums, own, others, signs):
    return (
        add_products(sums[0], larger_halves(own, others[0]), signs),
        add_products(sums[1], larger_halves(own, others[1]), signs),
        add_products(sums[2], larger_halves(own, others[2]), signs),
        add_products(sums[3], larger_halves(own, others[3]), signs),
    )


@numba.njit(cache=True, nogil=True)
@no_type_check
def _add_larger_roughly(
    n_experts, steps, users, first_user, n_users, items, own_shares, signs, tile, products
):
    # As above for the concatenation head; each sum begins with the item's own share.
    next_user, next_row = n_experts * steps, n_experts * TILE
    for expert in range(n_experts):
        start = (tile * n_experts + expert) * steps * TILE
        shares = _load_four(own_shares, (tile * n_experts + expert) * TILE)
        for row in range(0, n_users, FOUR):
            own = (first_user + row) * next_user + expert * steps
            first = second = third = fourth = shares
            for step in range(steps):
                others, sign = _load_four(items, start + step * TILE), spread(signs, step)
                first = _add_larger_to_four(first, spread(users, own + step), others, sign)
                second = _add_larger_to_four(second, spread(users, own + next_user + step), others, sign)
                third = _add_larger_to_four(third, spread(users, own + 2 * next_user + step), others, sign)
                fourth = _add_larger_to_four(fourth, spread(users, own + 3 * next_user + step), others, sign)
            at = row * next_row + expert * TILE
            _store_four(products, at, first)
            _store_four(products, at + next_row, second)
            _store_four(products, at + 2 * next_row, third)
            _store_four(products, at + 3 * next_row, fourth)


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _possible(users, items, user, bound, start, desk):
    # Bit j: item j of the sixteen may beat the bound. ``start`` is where the user's rough products begin.
    mixed = sums = same(np.float32(0))
    for expert in range(items.n_experts):
        weight, own = load(desk.weights, expert * N_LANES), user * items.n_experts + expert
        score = as_floats(load(desk.products, start + expert * TILE))
        score = fused(spread(users.scale, own), score, spread(users.shift, own))
        mixed = fused(weight, score, mixed)
        sums = plus(sums, weight)
    store(desk.mixed, 0, mixed)
    store(desk.sums, 0, sums)
    return not_at_most(mixed, times(same(bound), sums))


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
    desk = desk_for(items)
    n_places = lists.values.shape[1]
    waiting, steps = _waiting(n_places), items.width // 2
    cursors = seen_offsets[first_user : first_user + n_users].copy()
    ends = seen_offsets[first_user + 1 : first_user + n_users + 1]
    for tile in range((items.n_items + TILE - 1) // TILE):
        asked = (items.n_experts, steps, users.rough, first_user, n_users, items.rough)
        if len(items.readout) == 0:
            _multiply_roughly(*asked, tile, desk.products)
        else:
            _add_larger_roughly(*asked, items.own, items.signs, tile, desk.products)
        for row in range(n_users):
            user = first_user + row
            for first in range(tile * TILE, min((tile + 1) * TILE, items.n_items), N_LANES):
                route(users, items, user, first, k, desk)
                start = row * items.n_experts * TILE + first % TILE
                left = _possible(users, items, user, waiting.bounds[row], start, desk)
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
    desk = desk_for(items)
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
