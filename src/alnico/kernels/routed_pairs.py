"""Which experts speak for a pair and how much, and its exact score: sixteen items of one user at a time.

Both ways of asking (whole tables, best lists) come through here. Compiled kernels that do are kept on disk and do not
notice when this file changes: remove ``__pycache__`` then.
"""

from typing import no_type_check

import numba
import numpy as np

from alnico.kernels.lanes import (
    N_LANES,
    exponential,
    fused,
    larger,
    load,
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
from alnico.kernels.routed_tables import (
    ALL_LANES,
    FOUR,
    TILE,
    USERS_AT_ONCE,
    Desk,
)


@numba.njit(cache=True, nogil=True)
@no_type_check
def new_desk(items):
    """Room for one thread, not yet filled."""
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
    """The weights of all experts for sixteen items from ``first`` on; 0 for those that a pair does not keep."""
    tile, place = first // TILE, first % TILE
    start = tile * items.inner * TILE + place
    _form_logits(users, items, user, start, desk)
    _weigh(users, items, user, start, k, desk)


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def score_pair(users, items, user, item, lane, desk):
    """The pair's exact score, from the weights of the sixteen items that it is one of."""
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
