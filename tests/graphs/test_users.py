"""Companions against plain loops, and their graph by hand."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.errors import ConfigError
from alnico.graphs.cache import GraphCache
from alnico.graphs.users import Companions, companion_graph, companions_of

BLOCKS = [1, 20, 2**21]


def dense(graph):
    """The graph's matrix written out."""
    return graph.propagate(torch.eye(graph.shape[1])).numpy()


def companions_reference(train, k):
    """(user, companion, count) triples from every pair of users and a stable sort."""
    histories = [set(train.of_user(user).tolist()) for user in range(train.n_users)]
    found = []
    for user, own in enumerate(histories):
        counts = [
            (len(own & its), other) for other, its in enumerate(histories) if other != user and own & its
        ]
        counts.sort(key=lambda pair: (-pair[0], pair[1]))
        found += [(user, other, count) for count, other in counts[:k]]
    return found


def triples(companions):
    """The lists as (user, companion, count) triples."""
    columns = companions.users, companions.others, companions.counts
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("k", [1, 4, 100])
def test_companions_are_those_of_plain_loops(k, block):
    # Idle users stand at the end and between the others.
    world = worlds.scattered(seed=5, n_users=40, n_items=12, per_user=5, idle_users=3)
    train = world.split.train.select(world.split.train.users % 7 != 3)
    found = companions_of(train, k, block=block)
    assert triples(found) == companions_reference(train, k)
    assert (found.n_users, found.k) == (43, k)


@pytest.mark.parametrize("block", BLOCKS)
def test_ties_go_to_the_smaller_user(block):
    # Everybody takes item 0; users 1 and 3 also take item 1.
    train = worlds.interactions([(0, 0), (1, 0), (2, 0), (3, 0), (1, 1), (3, 1)], 4, 2)
    assert triples(companions_of(train, 2, block=block)) == [
        (0, 1, 1),
        (0, 2, 1),
        (1, 3, 2),
        (1, 0, 1),
        (2, 0, 1),
        (2, 1, 1),
        (3, 1, 2),
        (3, 0, 1),
    ]


def test_nobody_has_companions_where_nothing_is_shared_or_taken():
    assert triples(companions_of(worlds.interactions([(0, 0), (1, 1)], 3, 2), 5)) == []
    nothing = companions_of(worlds.interactions([], 3, 2), 5)
    assert triples(nothing) == []
    assert not dense(companion_graph(nothing, np.random.default_rng(0))).any()


def test_no_companions_at_all_are_refused():
    with pytest.raises(ConfigError, match="must be at least 1; found 0"):
        companions_of(worlds.interactions([(0, 0)], 1, 1), 0)


def test_companions_are_remembered_by_length_and_data():
    cache = GraphCache()
    train = worlds.scattered(seed=5, n_users=20, n_items=8).split.train
    first = companions_of(train, 3, cache)
    assert companions_of(train, 3, cache).others is first.others or np.shares_memory(
        companions_of(train, 3, cache).others, first.others
    )
    assert triples(companions_of(train, 2, cache)) == companions_reference(train, 2)
    fewer = train.select(np.arange(len(train)) % 3 > 0)
    assert triples(companions_of(fewer, 3, cache)) == companions_reference(fewer, 3)


# User 0 shares three items with user 2 and one with user 1; user 1 has a full list of three; user 4 has nobody.
LISTS = Companions(
    np.array([0, 0, 1, 1, 1, 2]),
    np.array([2, 1, 0, 2, 3, 0]),
    np.array([3, 1, 2, 2, 1, 3]),
    n_users=5,
    k=3,
)


def test_weights_are_a_softmax_of_counts():
    matrix = dense(companion_graph(LISTS))
    expected = np.zeros((5, 5))
    expected[0, [2, 1]] = np.array([math.exp(3), math.exp(1)]) / (math.exp(3) + math.exp(1))
    expected[1, [0, 2, 3]] = np.array([math.exp(2), math.exp(2), math.exp(1)]) / (
        2 * math.exp(2) + math.exp(1)
    )
    expected[2, 0] = 1
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)


def test_large_counts_do_not_overflow():
    lists = Companions(np.array([0, 0]), np.array([1, 2]), np.array([5000, 10]), n_users=3, k=2)
    np.testing.assert_allclose(dense(companion_graph(lists))[0], [0, 1, 0])


def test_filling_up_moves_weight_between_a_users_own_companions():
    # The third place of user 0 falls to user 2 or to user 1.
    three, one = math.exp(3), math.exp(1)
    possible = {round(2 * three / (2 * three + one), 5), round(three / (three + 2 * one), 5)}
    seen = set()
    for seed in range(20):
        matrix = dense(companion_graph(LISTS, np.random.default_rng(seed)))
        seen.add(round(float(matrix[0, 2]), 5))
        np.testing.assert_allclose(matrix.sum(1), [1, 1, 1, 0, 0], rtol=1e-6)
        np.testing.assert_array_equal(matrix[1:], dense(companion_graph(LISTS))[1:])
    assert seen == possible


def test_places_are_drawn_evenly_and_by_the_generator_alone():
    # Two companions with equal counts and four places: the first stands 1, 2 or 3 times, as two coins fall.
    n = 2000
    users = np.repeat(np.arange(n), 2)
    lists = Companions(users, (users + np.tile([1, 2], n)) % n, np.ones(2 * n, np.int64), n, 4)
    graph, again = (companion_graph(lists, np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(graph.matrix.values, again.matrix.values)
    rows, columns, values = graph.edges()
    first = values[columns == (rows + 1) % n]
    for share, expected in ((0.25, 0.25), (0.5, 0.5), (0.75, 0.25)):
        found = np.isclose(first, share).mean()
        # Four deviations of a binomial share.
        assert found == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / n))
