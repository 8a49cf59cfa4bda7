"""How far content foretells hidden training items, counted by hand."""

import math

import numpy as np
import pytest

import worlds
from alnico.graphs.content import nearest_neighbours
from alnico.graphs.evidence import ROUNDS, Evidence, content_evidence

N_USERS = 4


def pairs_of_twins(partner):
    """User u has items 2u and 2u + 1; every item's only neighbour is ``partner(item)``."""
    n_items = 2 * N_USERS
    train = worlds.interactions([(item // 2, item) for item in range(n_items)], N_USERS, n_items)
    table = np.eye(n_items, dtype=np.float32)
    lists = {"image": worlds.neighbour_lists([[(partner(item), 1.0)] for item in range(n_items)], 1)}
    return train, worlds.features(n_items, image=worlds.modality(table)), lists


@pytest.mark.parametrize("visibility", ["full", "neighbours"])
def test_twins_that_are_always_taken_together_find_each_other(visibility):
    found = content_evidence(*pairs_of_twins(lambda item: item ^ 1), 1, visibility)
    # Whichever of the two is hidden, the other one lists it. By popularity alone the list of one item would be
    # right once in seven: all eight items have one taker, and the one that was kept cannot be hidden.
    asked = ROUNDS * N_USERS
    assert (found.hidden, found.hits) == (asked, asked)
    assert found.by_chance == pytest.approx(asked / 7)
    assert found.weight == pytest.approx(1 - (asked / 7 + 2 * math.sqrt(asked / 7)) / asked)


def test_neighbours_that_nobody_takes_together_are_worth_nothing():
    found = content_evidence(*pairs_of_twins(lambda item: (item + 2) % (2 * N_USERS)), 1)
    assert (found.hidden, found.hits) == (ROUNDS * N_USERS, 0)
    assert found.weight == 0


def test_popularity_is_what_chance_would_find():
    # Three users with one private item each and a common one. Every private item lists the common one.
    train = worlds.interactions([(0, 0), (0, 3), (1, 1), (1, 3), (2, 2), (2, 3)], 3, 4)
    features = worlds.features(4, image=worlds.modality(np.eye(4, dtype=np.float32)))
    lists = {"image": worlds.neighbour_lists([[(3, 1.0)], [(3, 1.0)], [(3, 1.0)], []], 1)}
    found = content_evidence(train, features, lists, 1)
    # Where the common item is hidden it is found; where the private one is hidden nothing is listed. Chance
    # finds it in three of five, since three of the five interactions with other items are with it.
    assert 0 < found.hits < found.hidden == 3 * ROUNDS
    assert found.by_chance == pytest.approx(found.hits * 3 / 5)


def test_users_with_one_item_are_not_asked():
    train = worlds.interactions([(0, 0), (1, 0), (1, 1)], 2, 3)
    features = worlds.features(3, image=worlds.modality(np.eye(3, dtype=np.float32)))
    lists = {"image": nearest_neighbours(features["image"], 1)}
    assert content_evidence(train, features, lists, 2).hidden == ROUNDS


def test_what_chance_alone_could_find_weighs_nothing():
    assert Evidence(hidden=1000, hits=30, by_chance=25.0).weight == 0
    assert Evidence(hidden=1000, hits=140, by_chance=25.0).weight == pytest.approx(0.75)
    assert Evidence(hidden=0, hits=0, by_chance=0.0).weight == 0


def test_content_without_a_bearing_on_choices_has_no_weight_and_true_content_has():
    world = worlds.two_tastes()
    lists = {name: nearest_neighbours(modality, 3) for name, modality in world.features.items()}
    told = content_evidence(world.split.train, world.features, lists, 3)
    shuffle = np.random.default_rng(0).permutation(world.features.n_items)
    mixed = world.features.rows(shuffle)
    lists = {name: nearest_neighbours(modality, 3) for name, modality in mixed.items()}
    untold = content_evidence(world.split.train, mixed, lists, 3)
    assert told.weight > 0 == untold.weight


def test_asked_twice_the_answer_is_the_same():
    question = pairs_of_twins(lambda item: (item + 1) % (2 * N_USERS))
    assert content_evidence(*question, 1) == content_evidence(*question, 1)
