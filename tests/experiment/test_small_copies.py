"""Fewer users and items, but the same kind of data."""

import numpy as np
import pytest

import worlds
from alnico.contracts import TrainingData
from alnico.experiment.small_copies import small_copy

WORLD = worlds.scattered(n_users=60, n_items=90, per_user=7, idle_users=3)
TRAIN = WORLD.split.train


def test_everything_is_what_was_given() -> None:
    data, valid = small_copy(WORLD.data, WORLD.split.valid, TRAIN.n_users, TRAIN.n_items)
    assert data.interactions is TRAIN
    assert data.features is WORLD.features
    assert valid is WORLD.split.valid


@pytest.mark.parametrize(("n_users", "n_items"), [(20, 90), (63, 30), (20, 11), (1, 8)])
def test_users_keep_their_degrees(n_users: int, n_items: int) -> None:
    data, valid = small_copy(WORLD.data, WORLD.split.valid, n_users, n_items)
    small = data.interactions
    assert (small.n_users, small.n_items, data.features.n_items) == (n_users, n_items, n_items)
    # All users of this world have 7 items, but one that has 1 and three that have none.
    assert set(small.user_degrees.tolist()) <= {7, 1, 0}
    assert small.user_degrees.sum() >= 7 * (n_users - 4)
    assert set(valid.users.tolist()) <= set(range(n_users))


def test_degree_gives_way_to_a_catalogue_that_is_too_small() -> None:
    data, _ = small_copy(WORLD.data, WORLD.split.valid, 63, 5)
    assert data.interactions.user_degrees.max() == 5


def test_vectors_and_absence_come_from_the_catalogue() -> None:
    data, _ = small_copy(WORLD.data, WORLD.split.valid, 20, 40)
    for name, modality in data.features.items():
        rows = {row.tobytes() for row in WORLD.features[name].vectors}
        assert {row.tobytes() for row in modality.vectors} <= rows
        assert not modality.vectors[~modality.present].any()


def test_all_users_with_all_items_of_their_own_stay_as_they_are() -> None:
    data, valid = small_copy(WORLD.data, WORLD.split.valid, 30, TRAIN.n_items)
    # Items are all there, so users differ only in their numbers.
    own = {tuple(sorted(TRAIN.of_user(user).tolist())) for user in range(TRAIN.n_users)}
    assert {tuple(sorted(data.interactions.of_user(user).tolist())) for user in range(30)} <= own
    assert len(valid) <= 30


def test_given_neighbours_stay_within_the_catalogue() -> None:
    lists = worlds.neighbour_lists([[((i + 1) % 90, 0.9), ((i + 2) % 90, 0.8)] for i in range(90)], 2)
    data = TrainingData(TRAIN, WORLD.features, {"image": lists})
    small, _ = small_copy(data, WORLD.split.valid, 20, 30)
    assert small.neighbours["image"].items.shape == (30, 2)
    assert small.neighbours["image"].items.max() < 30


def test_same_data_same_copy() -> None:
    one, two = (small_copy(WORLD.data, WORLD.split.valid, 20, 30)[0].interactions for _ in range(2))
    assert np.array_equal(one.pair_keys, two.pair_keys)
