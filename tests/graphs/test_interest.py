"""Interests and edges of the second order, by hand and against loops over dense tables."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plain_beside as plain
import worlds
from alnico.graphs.cache import GraphCache
from alnico.graphs.interest import interest_edges, second_order_edges


def written_out(edges, shape):
    """Edges as a dense table; they must be distinct and ascending."""
    rows, columns, values = edges
    keys = rows * shape[1] + columns
    assert (np.diff(keys) > 0).all()
    table = np.zeros(shape)
    table[rows, columns] = values
    return table


# User 0 has item 0, user 1 has items 0 and 1, user 2 nothing. Cosines: 0 and 1 none, 0 and 2 .6, 1 and 2 .8.
TRAIN = worlds.interactions([(0, 0), (1, 0), (1, 1)], 3, 3)
CONTENT = worlds.features(3, text=worlds.modality([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]]))


def test_interests_by_hand():
    # Sums for user 0: 1, 0, .6, so items 0 and 2; for user 1: 1, 1, 1.4, so item 2 and of equals the smaller, 0.
    rows, columns, weights = interest_edges(TRAIN, CONTENT, 2)["text"]
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 0), (0, 2), (1, 0), (1, 2)]
    # The pairs of item 0 belong to both users.
    np.testing.assert_allclose(weights, [2, 1.2, 0, 0.8], atol=1e-6)


def test_second_order_by_hand():
    # One more each: item 0 brings item 2 with .6 to user 0, item 1 brings it with .8 to user 1.
    found = written_out(second_order_edges(TRAIN, CONTENT, 1), (3, 3))
    np.testing.assert_allclose(found, [[1, 0, 0.6], [1, 1, 0.8], [0, 0, 0]], atol=1e-6)
    # Two more: user 1 gets item 2 a second time and the weights add up; user 0 has nothing else that is alike.
    found = written_out(second_order_edges(TRAIN, CONTENT, 2), (3, 3))
    np.testing.assert_allclose(found, [[1, 0, 0.6], [1, 1, 1.4], [0, 0, 0]], atol=1e-6)
    # None more: what the users have.
    np.testing.assert_array_equal(
        written_out(second_order_edges(TRAIN, CONTENT, 0), (3, 3)), plain.taken(TRAIN)
    )


def test_second_order_multiplies_over_all_modalities_and_absence_draws_no_edges():
    # Item 1 has no text, which counts as its image does: it resembles item 0 by .6 * .6; item 2 by .8 * .6 = .48.
    # Item 3 has neither and resembles nobody.
    image = worlds.modality([[1, 0], [0.6, 0.8], [0.8, 0.6], [0, 0]], absent=[3])
    text = worlds.modality([[1, 0], [0, 0], [0.6, 0.8], [0, 0]], absent=[1, 3])
    train = worlds.interactions([(0, 0), (1, 3)], 2, 4)
    content = worlds.features(4, image=image, text=text)
    found = written_out(second_order_edges(train, content, 1), (2, 4))
    np.testing.assert_allclose(found, [[1, 0, 0.48, 0], [0, 0, 0, 1]], atol=1e-6)
    found = written_out(second_order_edges(train, content, 2), (2, 4))
    np.testing.assert_allclose(found, [[1, 0.36, 0.48, 0], [0, 0, 0, 1]], atol=1e-6)


def test_twins_tie_exactly_and_the_smaller_comes_first():
    # Items 1, 4 and 6 look alike to the last bit, in vectors whose sums a product of matrices may round differently.
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((7, 37)).astype(np.float32)
    vectors[[4, 6]] = vectors[1]
    vectors[0] = vectors[1] + 0.1 * rng.standard_normal(37)
    train = worlds.interactions([(0, 0)], 1, 7)
    content = worlds.features(7, text=worlds.modality(vectors))
    for block_bytes in (64, 2**20):
        _, columns, _ = interest_edges(train, content, 3, block_bytes=block_bytes)["text"]
        assert columns.tolist() == [0, 1, 4]
        _, items, _ = second_order_edges(train, content, 2, block_bytes=block_bytes)
        assert items.tolist() == [0, 1, 4]


def dyadic(rng, n_items, width):
    """Vectors with one or four entries of 1 or -1: cosines are multiples of 1/4, sums exact, and ties abound."""
    vectors = np.zeros((n_items, width))
    for row in vectors:
        places = rng.choice(width, rng.choice([1, 4]), replace=False)
        row[places] = rng.choice([-1, 1], len(places))
    return vectors


def agree(train, content, k, added, block_bytes):
    """Whether both kinds of edges are those of the loops."""
    found = interest_edges(train, content, k, block_bytes=block_bytes)
    sums, there = plain.interests(train, content, k)
    for name in content:
        rows, columns, _ = found[name]
        np.testing.assert_array_equal(np.argwhere(there[name]), np.stack([rows, columns], axis=1))
        shape = (train.n_items, train.n_items)
        np.testing.assert_allclose(written_out(found[name], shape), sums[name], atol=1e-5)
    edges = second_order_edges(train, content, added, block_bytes=block_bytes)
    edges = written_out(edges, (train.n_users, train.n_items))
    np.testing.assert_allclose(edges, plain.second_order(train, content, added), atol=1e-5)


BLOCKS = st.sampled_from([64, 600, 2**20])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 17),
    added=st.integers(0, 6),
    block_bytes=BLOCKS,
    absent=st.sampled_from([0.0, 0.3, 0.8]),
)
def test_blocks_agree_with_loops_over_dense_tables_where_many_tie(seed, k, added, block_bytes, absent):
    world = worlds.scattered(seed, absent_share=absent, idle_users=1)
    rng = np.random.default_rng(seed)
    content = worlds.features(
        15,
        **{
            name: worlds.modality(dyadic(rng, 15, width), absent=np.flatnonzero(rng.random(15) < absent))
            for name, width in (("image", 6), ("text", 4), ("sound", 5))
        },
    )
    agree(world.split.train, content, k, added, block_bytes)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 17),
    added=st.integers(0, 6),
    block_bytes=BLOCKS,
)
def test_blocks_agree_with_loops_over_dense_tables(seed, k, added, block_bytes):
    # Histories of one or four items: two would tie, each being as like the other as the other is like it.
    world = worlds.scattered(seed, absent_share=0, idle_users=1, widths={"image": 7, "text": 3})
    agree(world.split.train, world.features, k, added, block_bytes)


def test_a_world_of_several_blocks_agrees():
    world = worlds.scattered(5, 60, 90, 6, {"image": 20, "text": 11}, absent_share=0)
    agree(world.split.train, world.features, 7, 3, block_bytes=4 * 16 * 20)


def test_edges_are_remembered_and_depend_on_what_they_are_made_of():
    cache, calls = GraphCache(), []

    class Counting(GraphCache):
        def get(self, name, version, arguments, inputs, make):
            def counted():
                calls.append(name)
                return make()

            return cache.get(name, version, arguments, inputs, counted)

    world = worlds.scattered()
    train, content = world.split.train, world.features
    first = interest_edges(train, content, 3, Counting())
    again = interest_edges(train, content, 3, Counting())
    for name in content:
        for one, other in zip(first[name], again[name], strict=True):
            np.testing.assert_array_equal(one, other)
    second_order_edges(train, content, 2, Counting())
    second_order_edges(train, content, 2, Counting())
    assert calls == ["interest_edges", "second_order_edges"]
    interest_edges(train, content, 4, Counting())
    second_order_edges(train, content, 1, Counting())
    fewer = train.select(np.arange(len(train) - 1))
    interest_edges(fewer, content, 3, Counting())
    second_order_edges(fewer, content, 2, Counting())
    second_order_edges(train, content.only("text"), 2, Counting())
    assert len(calls) == 7


@pytest.mark.parametrize("edges", [interest_edges, second_order_edges])
def test_users_without_content_get_no_edges_from_it(edges):
    content = worlds.features(3, text=worlds.modality(np.eye(3), absent=[0]))
    train = worlds.interactions([(0, 0)], 1, 3)
    found = edges(train, content, 2)
    if edges is interest_edges:
        assert len(found["text"][0]) == 0
    else:
        assert [part.tolist() for part in found] == [[0], [0], [1]]
