"""All experts' scores roughly, from 16-bit copies of the vectors, to leave out pairs that cannot reach a list.

Of the concatenation head: r relu(u + v) is s (max(|r| u, -|r| v) + |r| v), s being r's sign. The last
term is the item's alone, and the largest of two 16-bit numbers is one instruction. A user's numbers beyond the range
of the items' are cut off without loss: there the larger of the two is the user's, or the item's, for all items.

Compiled kernels that call these are kept on disk and do not notice when this file changes: remove ``__pycache__`` then.
"""

from typing import no_type_check

import numba
import numpy as np

from alnico.kernels.lanes import (
    N_LANES,
    add_products,
    as_floats,
    fused,
    larger_halves,
    load,
    not_at_most,
    plus,
    same,
    spread,
    store,
    times,
)
from alnico.kernels.routed_tables import (
    FOUR,
    TILE,
)


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
def multiply_roughly(n_experts, steps, users, first_user, n_users, items, tile, products):
    """Fill ``products`` with those of some users' rough vectors and a tile's."""
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
def add_larger_roughly(
    n_experts, steps, users, first_user, n_users, items, own_shares, signs, tile, products
):
    """As ``multiply_roughly`` for the concatenation head; each sum begins with the item's own share."""
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
def possible(users, items, user, bound, start, desk):
    """Bit j: item j of the sixteen may beat the bound. ``start`` is where the user's rough products begin."""
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
