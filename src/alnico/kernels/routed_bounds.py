"""The inner loops of ranking for one user in two stages: bounds on all scores, then exact scores of what is left.

One user's list over a large catalogue costs what moving the catalogue costs. The first stage reads 8-bit vectors,
sixteen items at a time, only of experts that one of the sixteen keeps, and says between which numbers each exact score
lies. What cannot reach the k-th largest lower bound is out; the second stage scores the rest as ``routed_tiles`` does,
by the same operations in the same order.
"""

from typing import NamedTuple, no_type_check

import numba
import numpy as np
from numpy.typing import NDArray

from alnico.kernels.lanes import (
    N_LANES,
    add_products,
    as_floats,
    fetch,
    fused,
    larger_halves,
    load,
    load_bytes,
    not_at_most,
    plus,
    same,
    spread,
    store,
    times,
)
from alnico.kernels.routed_pairs import new_desk, route, score_pair
from alnico.kernels.routed_tables import FOUR
from alnico.kernels.routed_tiles import insert

LINE = 16
"""Numbers of four bytes in a cache line."""


class SmallCopies(NamedTuple):
    """8-bit copies of the items' vectors, flat; shapes in front of that, a group being sixteen items, zero-padded.

    vectors [groups, experts, width / 2, 16], pairs of int8; steps [groups, experts, 16], what a whole number stands
    for. Only for the concatenation head: ``own`` [groups, experts, 16], the items' own share of a score, and ``signs``
    [width / 2] of the readout as pairs of int16. ``width`` is a multiple of 8.
    """

    width: int
    vectors: NDArray[np.int8]
    steps: NDArray[np.float32]
    own: NDArray[np.float32]
    signs: NDArray[np.int32]


class Halves(NamedTuple):
    """The users, flat likewise: whole numbers [users, experts, width / 2] in pairs of int16.

    An item's step times (products of whole numbers times scale, give or take margin), plus shift, is an expert's score;
    these three are [users, experts].
    """

    numbers: NDArray[np.int32]
    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    margin: NDArray[np.float32]


class Bounds(NamedTuple):
    """Of each item in the copies' order: not above and not below its exact score. Shapes [groups * 16]."""

    lower: NDArray[np.float32]
    upper: NDArray[np.float32]


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _products(halves, own, vectors, start, steps):
    # Four sums, each of every fourth step: one alone would wait for itself.
    first = second = third = fourth = same(np.int32(0))
    for step in range(0, steps, FOUR):
        at = start + 2 * step * N_LANES
        first = add_products(first, spread(halves, own + step), load_bytes(vectors, at))
        at += 2 * N_LANES
        second = add_products(second, spread(halves, own + step + 1), load_bytes(vectors, at))
        at += 2 * N_LANES
        third = add_products(third, spread(halves, own + step + 2), load_bytes(vectors, at))
        at += 2 * N_LANES
        fourth = add_products(fourth, spread(halves, own + step + 3), load_bytes(vectors, at))
    return plus(plus(as_floats(first), as_floats(second)), plus(as_floats(third), as_floats(fourth)))


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _larger(halves, own, vectors, start, signs, steps):
    # As above, of the larger numbers for the concatenation head.
    first = second = same(np.int32(0))
    for step in range(0, steps, 2):
        at = start + 2 * step * N_LANES
        larger = larger_halves(spread(halves, own + step), load_bytes(vectors, at))
        first = add_products(first, larger, spread(signs, step))
        larger = larger_halves(spread(halves, own + step + 1), load_bytes(vectors, at + 2 * N_LANES))
        second = add_products(second, larger, spread(signs, step + 1))
    return plus(as_floats(first), as_floats(second))


# By numpy's rules, because the places that fill up the last group weigh nothing.
@numba.njit(cache=True, nogil=True, forceinline=True, error_model="numpy")
@no_type_check
def _bound_group(user, group, n_experts, halves, copies, desk, first, bounds):
    zero = same(np.float32(0))
    mixed, margins, sums, steps = zero, zero, zero, copies.width // 2
    for expert in range(n_experts):
        weight = load(desk.weights, expert * N_LANES)
        if not_at_most(weight, zero) == 0:
            continue
        of_user, at = user * n_experts + expert, (group * n_experts + expert) * N_LANES
        own, start = of_user * steps, at * copies.width
        # The next sixteen most likely keep this expert too: its vectors are called for already.
        size = N_LANES * copies.width
        following = min(start + n_experts * size, len(copies.vectors) - size)
        for byte in range(0, size, 4 * LINE):
            fetch(copies.vectors, following + byte)
        if len(copies.signs) == 0:
            products = _products(halves.numbers, own, copies.vectors, start, steps)
        else:
            products = _larger(halves.numbers, own, copies.vectors, start, copies.signs, steps)
            share = plus(spread(halves.shift, of_user), load(copies.own, at))
            mixed = fused(weight, share, mixed)
        weighed = times(weight, load(copies.steps, at))
        mixed = fused(times(weighed, spread(halves.scale, of_user)), products, mixed)
        margins = fused(weighed, spread(halves.margin, of_user), margins)
        sums = plus(sums, weight)
    store(desk.mixed, 0, mixed)
    store(desk.rest, 0, margins)
    store(desk.sums, 0, sums)
    for lane in range(N_LANES):
        bounds.lower[first + lane] = (desk.mixed[lane] - desk.rest[lane]) / desk.sums[lane]
        bounds.upper[first + lane] = (desk.mixed[lane] + desk.rest[lane]) / desk.sums[lane]


@numba.njit(cache=True, nogil=True)
@no_type_check
def bound(users, user, items, k, halves, copies, left_out, bounds):
    """Fill the bounds of one user's scores; k experts a pair. Groups of items that are all left out stay as they were.

    ``items`` and ``left_out`` are in the copies' order.
    """
    desk = new_desk(items)
    for group in range((items.n_items + N_LANES - 1) // N_LANES):
        first = group * N_LANES
        if not left_out[first : first + N_LANES].all():
            route(users, items, user, first, k, desk)
            _bound_group(user, group, items.n_experts, halves, copies, desk, first, bounds)


@numba.njit(cache=True, nogil=True)
@no_type_check
def rank_among(users, user, items, k, among, lists):
    """Fill the user's list with the best of some items, ascending; k experts a pair."""
    desk, size = new_desk(items), items.n_experts * items.width
    routed = -1
    for place in range(len(among)):
        # Their vectors lie far apart: each is called for one item ahead.
        following = among[min(place + 1, len(among) - 1)] * size
        for axis in range(0, size, LINE):
            fetch(items.vectors, following + axis)
        item = among[place]
        lane = item % N_LANES
        if routed != item - lane:
            routed = item - lane
            route(users, items, user, routed, k, desk)
        insert(score_pair(users, items, user, item, lane, desk), item, user, lists)
