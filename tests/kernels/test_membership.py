"""Pairs that are stored, by hand and against sets."""

import numpy as np

import worlds
from alnico.kernels.membership import contains


def test_pairs_by_hand():
    # Row 0 holds 2 and 5, row 1 nothing, row 2 holds 5.
    offsets, members = np.array([0, 2, 2, 3]), np.array([2, 5, 5])
    rows, items = np.array([0, 0, 0, 1, 2, 2, 2]), np.array([2, 5, 3, 5, 5, 6, 0])
    assert contains(offsets, members, rows, items).tolist() == [True, True, False, False, True, False, False]


def test_every_pair_of_a_world_agrees_with_a_set():
    train = worlds.scattered(seed=3).split.train
    own = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
    users, items = (side.flatten() for side in np.indices((train.n_users, train.n_items)))
    found = contains(train.offsets, train.items_by_id, users, items)
    assert found.tolist() == [pair in own for pair in zip(users.tolist(), items.tolist(), strict=True)]


def test_no_pairs():
    nothing = np.zeros(0, np.int64)
    assert contains(np.zeros(1, np.int64), nothing, nothing, nothing).tolist() == []
