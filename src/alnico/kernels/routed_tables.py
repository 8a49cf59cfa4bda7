"""What routed ranking works on: tables of items and users, and room for one thread.

Compiled kernels that take these are kept on disk and do not notice when this file changes: remove ``__pycache__`` then.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alnico.kernels.lanes import N_LANES

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
