"""Graphs between items, by hand and against the published formulas written densely."""

import numpy as np
import pytest
import torch

import worlds
from alnico.errors import ConfigError, DataError
from alnico.graphs.cache import GraphCache
from alnico.graphs.items import (
    common_neighbours,
    content_lists,
    content_shares,
    graph_as_given,
    item_graph,
    mixed_content_graph,
    mixed_graph,
    strongest_graph,
)


def dense(graph):
    """The graph's matrix written out."""
    return graph.propagate(torch.eye(graph.shape[1])).numpy()


# Item 0 lists 1, item 1 lists 2, item 2 lists nobody.
CHAIN = worlds.neighbour_lists([[(1, 0.5)], [(2, 0.25)], []], 1)


def test_binary_entries_are_weighed_by_row_sums_at_both_ends():
    # Row sums, the item itself counted: 2, 2, 1. Entry (0, 1) = 1 / sqrt(2 * 2), entry (1, 2) = 1 / sqrt(2 * 1).
    expected = [[0.5, 0.5, 0], [0, 0.5, 1 / np.sqrt(2)], [0, 0, 1]]
    np.testing.assert_allclose(dense(item_graph(CHAIN, "binary")), expected, rtol=1e-6)


def test_cosine_entries_are_weighed_by_row_sums_at_both_ends():
    # Row sums: 1.5, 1.25, 1. Entry (0, 1) = .5 / sqrt(1.5 * 1.25).
    expected = [
        [1 / 1.5, 0.5 / np.sqrt(1.5 * 1.25), 0],
        [0, 1 / 1.25, 0.25 / np.sqrt(1.25 * 1)],
        [0, 0, 1],
    ]
    np.testing.assert_allclose(dense(item_graph(CHAIN, "cosine")), expected, rtol=1e-6)


def test_full_binary_lists_give_one_over_k():
    vectors = np.random.default_rng(0).standard_normal((12, 4))
    features = worlds.features(12, text=worlds.modality(vectors))
    matrix = dense(item_graph(content_lists(features, {}, GraphCache(), 5)["text"], "binary"))
    # The published construction: dense cosines, the five largest per row (itself among them), each 1 / 5.
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.argsort(-(unit @ unit.T), axis=1)[:, :5]
    expected = np.zeros((12, 12))
    np.put_along_axis(expected, nearest, 1 / 5, axis=1)
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)


def test_items_without_content_have_only_themselves():
    vectors = np.random.default_rng(0).standard_normal((6, 3))
    features = worlds.features(6, image=worlds.modality(vectors, absent=[2]))
    matrix = dense(item_graph(content_lists(features, {}, GraphCache(), 3)["image"], "binary"))
    assert matrix[2].nonzero()[0].tolist() == [2]
    assert matrix[:, 2].nonzero()[0].tolist() == [2]


def test_given_lists_stand_before_computed_ones_where_they_are_long_enough():
    vectors = np.eye(4)
    features = worlds.features(4, text=worlds.modality(vectors))
    given = {"text": worlds.neighbour_lists([[(3, 0.9)], [(3, 0.9)], [(3, 0.9)], [(0, 0.9)]], 1)}
    lists = content_lists(features, given, GraphCache(), 2)["text"]
    assert lists.items[:, 0].tolist() == [3, 3, 3, 0]
    assert content_lists(features, given, GraphCache(), 3)["text"].k == 2
    assert content_lists(features, given, GraphCache(), 1)["text"].k == 0
    with pytest.raises(ConfigError, match="at least 1 member; found 0"):
        content_lists(features, given, GraphCache(), 0)


def test_mixtures_are_sums_and_largest_values_over_the_union():
    other = item_graph(worlds.neighbour_lists([[(2, 0.5)], [(2, 1.0)], []], 1), "binary")
    chain = item_graph(CHAIN, "binary")
    np.testing.assert_allclose(
        dense(mixed_graph([chain, other], [0.1, 0.9])), 0.1 * dense(chain) + 0.9 * dense(other), rtol=1e-6
    )
    np.testing.assert_allclose(
        dense(strongest_graph([chain, other])), np.maximum(dense(chain), dense(other)), rtol=1e-6
    )


def test_mixed_content_graph_mixes_binary_graphs_in_the_given_shares():
    rng = np.random.default_rng(0)
    features = worlds.features(
        9,
        image=worlds.modality(rng.standard_normal((9, 3))),
        text=worlds.modality(rng.standard_normal((9, 4))),
    )
    lists = content_lists(features, {}, GraphCache(), 3)
    image, text = (dense(item_graph(lists[name], "binary")) for name in ("image", "text"))
    for shares, parts in ((None, (0.1, 0.9)), ({"image": 3.0, "text": 1.0}, (0.75, 0.25))):
        found = dense(mixed_content_graph(features, {}, GraphCache(), 3, shares))
        np.testing.assert_allclose(found, parts[0] * image + parts[1] * text, rtol=1e-6)


def test_shares_by_default_and_given():
    assert content_shares(["text", "image"], None) == {"text": 0.9, "image": 0.1}
    assert content_shares(["image", "audio"], None) == {"image": 0.5, "audio": 0.5}
    assert content_shares(["text"], None) == {"text": 1.0}
    assert content_shares(["image", "text"], {"text": 3, "image": 1}) == {"image": 0.25, "text": 0.75}
    with pytest.raises(ConfigError, match="name each modality once; the data have image, text, found text"):
        content_shares(["image", "text"], {"text": 1})
    with pytest.raises(ConfigError, match="must sum to more than 0"):
        content_shares(["text"], {"text": 0})


def test_a_given_graph_keeps_its_weights_and_rows_sum_to_one():
    # Item 1 lists enough to fill its row: it has no entry of its own.
    lists = worlds.neighbour_lists([[(1, 0.25), (2, 0.25)], [(0, 0.9), (2, 0.1)], []], 2)
    expected = [[0.5, 0.25, 0.25], [0.9, 0, 0.1], [0, 0, 1]]
    graph = graph_as_given(lists)
    np.testing.assert_allclose(dense(graph), expected, rtol=1e-6)
    assert graph.n_entries == 6


@pytest.mark.parametrize("weights", [(0.7, 0.4), (0.7, -0.1)])
def test_a_given_graph_is_refused_where_rows_are_no_shares(weights):
    lists = worlds.neighbour_lists([[(1, weights[0]), (2, weights[1])], [], []], 2)
    with pytest.raises(DataError, match="rows that sum to at most 1"):
        graph_as_given(lists)


def test_entries_may_be_raised_to_a_least_value():
    lists = worlds.neighbour_lists([[(1, -0.5)], []], 1)
    # Row sums .5 and 1: entries 2, -.5 / sqrt(.5) and 1.
    np.testing.assert_allclose(dense(item_graph(lists, "cosine", 1e-3)), [[2, 1e-3], [0, 1]], rtol=1e-6)


def test_common_neighbours_stand_in_all_lists():
    one = worlds.neighbour_lists([[(1, 0.9), (2, 0.5)], [(0, 0.9), (3, 0.1)], [], [(0, 0.2)]], 2)
    other = worlds.neighbour_lists([[(3, 0.9), (2, 0.1)], [(3, 0.9), (0, 0.8)], [(0, 0.3)], []], 2)
    rows, columns = common_neighbours([one, other])
    assert list(zip(rows.tolist(), columns.tolist(), strict=True)) == [(0, 2), (1, 0), (1, 3)]
    assert len(common_neighbours([one])[0]) == 5
