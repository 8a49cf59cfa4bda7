"""Induced edges, Eqs. (2) and (3), by hand and against a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import plain
import worlds
from alnico.errors import DataError
from alnico.graphs.augment import InducedEdges, induce_edges
from alnico.graphs.content import nearest_neighbours, unit_rows

MODES = pytest.mark.parametrize("visibility", ["full", "neighbours"])


def as_rows(edges):
    """The edges as (user, item) pairs in their order."""
    return list(zip(edges.users.tolist(), edges.items.tolist(), strict=True))


def three_items_by_two_modalities():
    """User 0 has items 0 and 1 of five; all cosines are whole or simple numbers."""
    train = worlds.interactions([(0, 0), (0, 1), (1, 4)], 2, 5)
    image = worlds.modality([[1, 0], [0, 1], [1, 0], [0, 1], [-1, 0]])
    text = worlds.modality([[1, 0], [1, 0], [0, 1], [1, 0], [0, 1]])
    features = worlds.features(5, image=image, text=text)
    # Given lists, so that the pool is plain to see: items 2, 3 and 4 for user 0.
    neighbours = {
        "image": worlds.neighbour_lists([[(2, 1.0)], [(3, 1.0)], [], [], [(0, -1.0)]], 1),
        "text": worlds.neighbour_lists([[(3, 1.0)], [(4, 0.0)], [], [], [(2, 1.0)]], 1),
    }
    return train, features, neighbours


def test_literal_reading_by_hand():
    edges = induce_edges(*three_items_by_two_modalities(), 10, "full")
    # User 0, history {0, 1}, pool {2, 3, 4}; sums over BOTH history items, halved:
    # item 2: image 1 + 0, text 0 + 0 -> 0.5.  item 3: image 0 + 1, text 1 + 1 -> 1.5.
    # item 4: image -1 + 0, text 0 + 0 -> -0.5; negative cosines are kept.
    # User 1, history {4}, pool {0, 2}: item 0: image -1, text 0 -> -0.5. item 2: image -1, text 1 -> 0.
    assert as_rows(edges) == [(0, 3), (0, 2), (0, 4), (1, 2), (1, 0)]
    np.testing.assert_allclose(edges.visibility, [1.5, 0.5, -0.5, 0.0, -0.5], atol=1e-6)


def test_reading_by_neighbours_by_hand():
    edges = induce_edges(*three_items_by_two_modalities(), 10, "neighbours")
    # Only listed cosines count, negative ones as zero:
    # item 2: image of item 0 -> 0.5. item 3: image of item 1 and text of item 0 -> 1. item 4: 0.
    # User 1: item 2: text 1 -> 0.5. item 0: clipped -> 0, yet in the pool.
    assert as_rows(edges) == [(0, 3), (0, 2), (0, 4), (1, 2), (1, 0)]
    np.testing.assert_allclose(edges.visibility, [1.0, 0.5, 0.0, 0.5, 0.0], atol=1e-6)


@MODES
def test_only_the_best_are_kept(visibility):
    edges = induce_edges(*three_items_by_two_modalities(), 1, visibility)
    assert as_rows(edges) == [(0, 3), (1, 2)]


@MODES
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 6), per_user=st.integers(1, 12))
def test_edges_agree_with_a_plain_loop(visibility, seed, k, per_user):
    world = worlds.scattered(seed)
    train, features = world.split.train, world.features
    neighbours = {name: nearest_neighbours(modality, k) for name, modality in features.items()}
    edges = induce_edges(train, features, neighbours, per_user, visibility)
    expected = plain.induced_edges(train, features, neighbours, per_user, visibility)
    assert as_rows(edges) == [(user, item) for user, item, _ in expected]
    np.testing.assert_allclose(edges.visibility, [value for _, _, value in expected], atol=1e-5)


def by_products(train, features, neighbours, per_user, visibility):
    """The same edges from products of whole tables: users x items, float32."""
    taken = np.zeros((train.n_users, train.n_items), np.float32)
    taken[train.users, train.items] = 1
    listed = np.zeros((train.n_items, train.n_items))
    pool = np.zeros((train.n_items, train.n_items), bool)
    for lists in neighbours.values():
        rows, columns, weights = lists.edges()
        pool[rows, columns] = True
        listed[rows, columns] += np.maximum(weights, 0) / len(neighbours)
    if visibility == "full":
        units = [unit_rows(modality.vectors) for modality in features.values()]
        scores = sum(taken @ unit @ unit.T for unit in units) / len(units)
    else:
        scores = taken @ listed
    scores = np.where((taken @ pool > 0) & (taken == 0), scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :per_user]
    users, places = np.nonzero(np.isfinite(np.take_along_axis(scores, order, 1)))
    return users, order[users, places]


@MODES
def test_edges_agree_with_products_of_whole_tables(visibility):
    # Large enough for cuts through the pool; random numbers of this precision do not tie.
    world = worlds.scattered(5, n_users=300, n_items=250, per_user=9, widths={"image": 48, "text": 20})
    train, features = world.split.train, world.features
    neighbours = {name: nearest_neighbours(modality, 7) for name, modality in features.items()}
    edges = induce_edges(train, features, neighbours, 30, visibility)
    users, items = by_products(train, features, neighbours, 30, visibility)
    np.testing.assert_array_equal(edges.users, users)
    np.testing.assert_array_equal(edges.items, items)


def test_lists_of_other_items_than_the_interactions_are_refused():
    _, features, neighbours = three_items_by_two_modalities()
    more = worlds.interactions([(0, 0)], 1, 6)
    with pytest.raises(DataError, match="lists of 5 items cannot induce edges for interactions with 6 items"):
        induce_edges(more, features, neighbours, 2, "neighbours")


@MODES
def test_history_is_never_induced(visibility):
    world = worlds.checkerboard(20)
    train = world.split.train
    neighbours = {name: nearest_neighbours(m, 8) for name, m in world.features.items()}
    edges = induce_edges(train, world.features, neighbours, 100, visibility)
    assert len(edges)
    assert not np.isin(edges.users * train.n_items + edges.items, train.pair_keys).any()


@MODES
def test_equally_visible_items_come_by_number(visibility):
    # Items 1 to 5 share one vector; user 0 has item 0 of the same direction.
    rng = np.random.default_rng(0)
    twin = rng.standard_normal(301)
    modality = worlds.modality([2 * twin] + [twin] * 5)
    features = worlds.features(6, image=modality)
    train = worlds.interactions([(0, 0)], 1, 6)
    lists = {"image": nearest_neighbours(modality, 5)}
    edges = induce_edges(train, features, lists, 3, visibility)
    assert edges.items.tolist() == [1, 2, 3]


@MODES
def test_what_a_user_gets_does_not_depend_on_the_others(visibility):
    world = worlds.scattered(seed=4, n_users=1100, n_items=15)
    neighbours = {name: nearest_neighbours(m, 3) for name, m in world.features.items()}
    train = world.split.train
    edges = induce_edges(train, world.features, neighbours, 4, visibility)
    some = train.select(np.isin(train.users, [0, 511, 512, 1099]))
    alone = induce_edges(some, world.features, neighbours, 4, visibility)
    chosen = np.isin(edges.users, [0, 511, 512, 1099])
    np.testing.assert_array_equal(edges.users[chosen], alone.users)
    np.testing.assert_array_equal(edges.items[chosen], alone.items)


def edges_of(counts):
    """Edges for users with these numbers of candidates."""
    users = np.repeat(np.arange(len(counts)), counts)
    return InducedEdges(users, np.arange(len(users)), np.linspace(1, 0, len(users)).astype(np.float32))


def test_a_cap_leaves_at_most_that_many_edges_per_user():
    edges = edges_of([0, 2, 5, 30])
    some = edges.capped(5, np.random.default_rng(0))
    assert np.bincount(some.users, minlength=4).tolist() == [0, 2, 5, 5]
    whole = set(zip(edges.users.tolist(), edges.items.tolist(), edges.visibility.tolist(), strict=True))
    assert set(zip(some.users.tolist(), some.items.tolist(), some.visibility.tolist(), strict=True)) <= whole
    assert (np.diff(some.users) >= 0).all()


def test_capped_edges_are_drawn_uniformly():
    edges = edges_of([8])
    rng = np.random.default_rng(0)
    drawn = np.zeros(8)
    for _ in range(2000):
        drawn[edges.capped(3, rng).items] += 1
    # Each edge is kept with probability 3/8. Draws of one round exclude each other, which only makes the
    # counts more even than independent ones.
    assert stats.chisquare(drawn).pvalue > 0.001
    pairs = np.zeros(28)
    places = {pair: number for number, pair in enumerate((a, b) for a in range(8) for b in range(a + 1, 8))}
    for _ in range(2800):
        kept = edges.capped(2, rng).items.tolist()
        pairs[places[kept[0], kept[1]]] += 1
    assert stats.chisquare(pairs).pvalue > 0.001


def test_the_same_stream_draws_the_same_edges():
    edges = edges_of([9, 9])
    one = edges.capped(4, np.random.default_rng(5))
    other = edges.capped(4, np.random.default_rng(5))
    np.testing.assert_array_equal(one.items, other.items)


def test_edges_are_closed_to_writing_and_a_writeable_array_is_copied():
    given = np.array([0.5, 0.25], dtype=np.float32)
    edges = InducedEdges(np.array([0, 0]), np.array([1, 2]), given)
    given[0] = 9
    assert edges.visibility.tolist() == [0.5, 0.25]
    made = (edges.users, edges.items, edges.visibility, edges.weights)
    drawn = edges.capped(1, np.random.default_rng(0))
    made += (drawn.users, drawn.items, drawn.visibility, drawn.weights)
    assert not any(part.flags.writeable for part in made)


def test_a_cap_on_no_edges_leaves_none():
    assert len(edges_of([]).capped(3, np.random.default_rng(0))) == 0
