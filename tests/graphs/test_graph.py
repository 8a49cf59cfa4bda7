"""Normalisation and pooling, by hand and against the published formula."""

import numpy as np
import pytest
import torch
from scipy import sparse

import worlds
from alnico.errors import DataError
from alnico.graphs.graph import (
    averaging_graph,
    directed_graph,
    edge_pattern,
    mean_pooling,
    pruned_graph,
    row_sum_graph,
    symmetric_graph,
    symmetric_graph_with_own,
    user_block,
    user_item_graph_with_links,
    with_dropped_values,
)


def dense(graph):
    """The graph's matrix written out."""
    return graph.propagate(torch.eye(graph.shape[1])).numpy()


def ints(*values):
    """Node numbers."""
    return np.array(values, dtype=np.int64)


def test_two_users_and_two_items_by_hand():
    # User 0 took both items, user 1 took item 0: degrees 2, 1 and 2, 1.
    graph = symmetric_graph(ints(0, 0, 1), ints(0, 1, 0), 2, 2)
    # Edge (0, 0): 1 / sqrt(2 * 2). Edge (0, 1): 1 / sqrt(2 * 1). Edge (1, 0): 1 / sqrt(1 * 2).
    half, root = 0.5, 1 / np.sqrt(2)
    expected = [
        [0, 0, half, root],
        [0, 0, root, 0],
        [half, root, 0, 0],
        [root, 0, 0, 0],
    ]
    np.testing.assert_allclose(dense(graph), expected, rtol=1e-6)
    assert graph.normalisation == "symmetric"
    assert graph.n_entries == 6


def test_graph_is_the_published_formula():
    train = worlds.scattered(seed=3, n_users=30, n_items=20).split.train
    graph = symmetric_graph(train.users, train.items, 30, 20)
    # D^-1/2 A D^-1/2 with the bipartite adjacency A, as LightGCN prints it.
    taken = sparse.csr_matrix((np.ones(len(train)), (train.users, train.items)), shape=(30, 20))
    adjacency = sparse.bmat([[None, taken], [taken.T, None]]).toarray()
    degrees = adjacency.sum(1)
    roots = np.divide(1, np.sqrt(degrees), out=np.zeros(50), where=degrees > 0)
    np.testing.assert_allclose(dense(graph), roots[:, None] * adjacency * roots[None, :], atol=1e-6)


def test_nodes_without_edges_stay_without_and_nothing_stands_on_the_diagonal():
    graph = symmetric_graph(ints(0), ints(1), 2, 3)
    matrix = dense(graph)
    assert matrix.diagonal().tolist() == [0] * 5
    assert not matrix[[1, 2, 4]].any()
    assert matrix[0, 3] == matrix[3, 0] == 1


def test_a_graph_without_edges_carries_nothing():
    assert not dense(symmetric_graph(ints(), ints(), 2, 3)).any()


def test_weighted_degrees_are_sums_of_weights():
    # User 0 took items 0 and 1 with weights 1 and 3, user 1 took item 1 with weight 1.
    weights = np.array([1, 3, 1], dtype=np.float32)
    matrix = dense(symmetric_graph(ints(0, 0, 1), ints(0, 1, 1), 2, 2, weights))
    # Degrees: users 4 and 1, items 1 and 4.
    np.testing.assert_allclose(matrix[0, 2:], [1 / np.sqrt(4 * 1), 3 / np.sqrt(4 * 4)], rtol=1e-6)
    np.testing.assert_allclose(matrix[1, 2:], [0, 1 / np.sqrt(1 * 4)], rtol=1e-6)


def test_unit_weights_change_nothing():
    train = worlds.scattered().split.train
    plain = symmetric_graph(train.users, train.items, 12, 15)
    ones = symmetric_graph(train.users, train.items, 12, 15, np.ones(len(train), np.float32))
    assert torch.equal(plain.matrix.values, ones.matrix.values)
    assert torch.equal(plain.matrix.columns, ones.matrix.columns)


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_weights_that_are_not_positive_are_refused(weight):
    with pytest.raises(DataError, match="edge weights must be positive; found"):
        symmetric_graph(ints(0), ints(0), 1, 1, np.array([weight], dtype=np.float32))


def test_order_of_edges_does_not_matter():
    train = worlds.scattered(seed=5).split.train
    order = np.random.default_rng(0).permutation(len(train))
    one = symmetric_graph(train.users, train.items, 12, 15)
    other = symmetric_graph(train.users[order], train.items[order], 12, 15)
    assert torch.equal(one.matrix.values, other.matrix.values)
    assert torch.equal(one.matrix.columns, other.matrix.columns)


def test_mean_pooling_by_hand():
    pool = mean_pooling(ints(0, 0, 2), ints(0, 2, 1), 3, 3)
    table = torch.tensor([[1.0, 2.0], [10.0, 20.0], [3.0, 6.0]])
    # User 0 has items 0 and 2, user 1 none, user 2 item 1.
    assert pool.propagate(table).tolist() == [[2, 4], [0, 0], [10, 20]]


def test_mean_pooling_without_any_edge_is_zero():
    pool = mean_pooling(ints(), ints(), 2, 3)
    assert pool.propagate(torch.ones(3, 2)).tolist() == [[0, 0], [0, 0]]


def test_gradient_of_mean_pooling_flows_back_to_the_items():
    pool = mean_pooling(ints(0, 0), ints(0, 1), 1, 3)
    table = torch.zeros(3, 1, requires_grad=True)
    pool.propagate(table).sum().backward()
    assert table.grad.tolist() == [[0.5], [0.5], [0.0]]


def test_a_directed_graph_is_the_matrix_as_it_is_forth_and_back():
    rows, columns, values = ints(2, 0, 1), ints(0, 1, 1), np.array([3, 2, 5], np.float32)
    graph = directed_graph(rows, columns, values, (3, 2), "none")
    matrix = np.array([[0, 2], [0, 5], [3, 0]], np.float32)
    np.testing.assert_array_equal(dense(graph), matrix)
    table = torch.ones(2, 1, requires_grad=True)
    graph.propagate(table).sum().backward()
    np.testing.assert_array_equal(table.grad[:, 0], matrix.sum(0))
    found = sorted(zip(*(part.tolist() for part in graph.edges()), strict=True))
    assert found == [(0, 1, 2.0), (1, 1, 5.0), (2, 0, 3.0)]


def test_the_block_of_users_is_the_upper_right_of_the_graph():
    train = worlds.scattered(seed=3, n_users=30, n_items=20).split.train
    graph = symmetric_graph(train.users, train.items, 30, 20)
    np.testing.assert_array_equal(dense(user_block(graph, 30)), dense(graph)[:30, 30:])
    with pytest.raises(DataError, match="joins users to users"):
        user_block(graph, 40)


def test_pruning_keeps_the_stated_number_of_edges_and_counts_degrees_anew():
    train = worlds.scattered(seed=3, n_users=30, n_items=20).split.train
    graph = pruned_graph(train.users, train.items, 30, 20, 0.4, np.random.default_rng(0))
    rows, columns, _ = graph.edges()
    upper = rows < 30
    assert upper.sum() == int(0.6 * len(train))
    kept = set(zip(rows[upper].tolist(), (columns[upper] - 30).tolist(), strict=True))
    assert kept <= set(zip(train.users.tolist(), train.items.tolist(), strict=True))
    anew = symmetric_graph(rows[upper], columns[upper] - 30, 30, 20)
    np.testing.assert_array_equal(dense(graph), dense(anew))


def test_nothing_pruned_is_the_whole_graph():
    train = worlds.scattered().split.train
    whole = symmetric_graph(train.users, train.items, 12, 15)
    same = pruned_graph(train.users, train.items, 12, 15, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(dense(same), dense(whole))


def test_edges_are_drawn_by_the_roots_of_their_degrees():
    # User 0 took items 0 to 3; user 1 took item 4 alone: weights 1/2 four times and 1. One edge of five is kept.
    users, items = ints(0, 0, 0, 0, 1), ints(0, 1, 2, 3, 4)
    rng = np.random.default_rng(0)
    drawn = [int(pruned_graph(users, items, 2, 5, 0.75, rng).edges()[0][0]) for _ in range(3000)]
    # The lonely edge has 1 of 1 + 4/2: a third; 3000 draws lie within 4 deviations of 0.0086.
    assert np.mean(drawn) == pytest.approx(1 / 3, abs=0.035)


def test_averaging_by_hand():
    # User 0 took both items, user 1 none, item 1 has user 0 alone.
    users, items = ints(0, 0), ints(0, 1)
    half, third = 1 / 2, 1 / 3
    without = [[0, 0, half, half], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_allclose(dense(averaging_graph(users, items, 2, 2, own=False)), without, rtol=1e-6)
    with_own = [[third, 0, third, third], [0, 1, 0, 0], [half, 0, half, 0], [half, 0, 0, half]]
    graph = averaging_graph(users, items, 2, 2, own=True)
    np.testing.assert_allclose(dense(graph), with_own, rtol=1e-6)
    # Not symmetric, so gradients need the transpose.
    table = torch.ones(4, 1, requires_grad=True)
    graph.propagate(table)[0, 0].backward()
    np.testing.assert_allclose(table.grad[:, 0], with_own[0], rtol=1e-6)


def test_edges_to_oneself_count_in_degrees():
    # Degrees with themselves: user 0 three, user 1 one, items two each.
    root = 1 / np.sqrt(6)
    expected = [[1 / 3, 0, root, root], [0, 1, 0, 0], [root, 0, 0.5, 0], [root, 0, 0, 0.5]]
    graph = symmetric_graph_with_own(ints(0, 0), ints(0, 1), 2, 2)
    np.testing.assert_allclose(dense(graph), expected, rtol=1e-6)
    assert graph.transposed is graph.matrix


def test_dropped_values_are_zero_or_grow_and_gradients_see_the_same():
    train = worlds.scattered(seed=3, n_users=60, n_items=40, per_user=8).split.train
    for graph in (
        symmetric_graph_with_own(train.users, train.items, 60, 40),
        averaging_graph(train.users, train.items, 60, 40, own=False),
    ):
        torch.manual_seed(0)
        thin = with_dropped_values(graph, 0.25)
        whole, left = dense(graph), dense(thin)
        np.testing.assert_allclose(left[left != 0], (whole / 0.75)[left != 0], rtol=1e-6)
        entries = whole != 0
        # Four deviations of a binomial share.
        n = entries.sum()
        assert (left[entries] == 0).mean() == pytest.approx(0.25, abs=4 * np.sqrt(0.25 * 0.75 / n))
        # The two directions of an edge are dropped apart.
        assert ((left == 0) & (left.T != 0) & entries).any()
        table = torch.zeros(100, 100, requires_grad=True)
        thin.propagate(table).backward(torch.eye(100))
        np.testing.assert_array_equal(table.grad.numpy(), left.T)


def test_values_are_dropped_anew_each_time_and_the_graph_stays_whole():
    graph = symmetric_graph(ints(*range(30)), ints(*range(30)), 30, 30)
    before = dense(graph)
    one, other = with_dropped_values(graph, 0.5), with_dropped_values(graph, 0.5)
    assert not np.array_equal(dense(one), dense(other))
    np.testing.assert_array_equal(dense(graph), before)


def test_the_pattern_of_a_graph_is_where_it_has_entries():
    # User 0 took both items, user 1 none.
    pattern = edge_pattern(ints(0, 0), ints(1, 0), 2, 2)
    assert list(zip(pattern.rows.tolist(), pattern.columns.tolist(), strict=True)) == [
        (0, 2),
        (0, 3),
        (2, 0),
        (3, 0),
    ]
    assert pattern.shape == (4, 4)


def test_row_sums_scale_both_ends():
    # Row sums 4, 1 and -2: the entries of a row or column whose sum is not positive are 0.
    graph = row_sum_graph(ints(0, 0, 1, 2, 2), ints(0, 1, 0, 1, 2), np.float32([1, 3, 1, -3, 1]), 3)
    expected = [[1 / 4, 3 / np.sqrt(4 * 1), 0], [1 / np.sqrt(1 * 4), 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(dense(graph), expected, rtol=1e-6)


def test_entries_that_are_there_may_be_raised_to_a_least_value():
    graph = row_sum_graph(ints(0, 0, 1), ints(0, 1, 1), np.float32([2, -1, 0]), 2, least=0.25)
    # Row sums 1 and 0: entries 2, 0 and 0, of which the fourth place holds none.
    np.testing.assert_allclose(dense(graph), [[2, 0.25], [0, 0.25]], rtol=1e-6)


def test_links_between_items_count_in_the_degree_of_where_they_leave():
    # User 0 took both items, user 1 item 0: degrees 2 and 1.
    graph = user_item_graph_with_links(ints(0, 0, 1), ints(0, 1, 0), 2, 3, (ints(0, 1), ints(1, 0)))
    matrix = dense(graph)
    # Items 0 and 1 link to each other: degrees 2 + 1 and 1 + 1.
    np.testing.assert_allclose(matrix[0, 2:], [1 / np.sqrt(2 * 3), 1 / np.sqrt(2 * 2), 0], rtol=1e-6)
    np.testing.assert_allclose(matrix[2:, 0], matrix[0, 2:], rtol=1e-6)
    np.testing.assert_allclose(matrix[2, 2:], [0, 1 / np.sqrt(3 * 2), 0], rtol=1e-6)
    one_way = dense(user_item_graph_with_links(ints(0, 0, 1), ints(0, 1, 0), 2, 3, (ints(0), ints(1))))
    np.testing.assert_allclose(one_way[2, 2:], [0, 1 / np.sqrt(3 * 1), 0], rtol=1e-6)
    np.testing.assert_allclose(one_way[3], [1 / np.sqrt(1 * 2), 0, 0, 0, 0], rtol=1e-6)


def test_without_links_the_graph_is_the_symmetric_one():
    train = worlds.scattered(seed=3, n_users=30, n_items=20).split.train
    plain = symmetric_graph(train.users, train.items, 30, 20)
    linked = user_item_graph_with_links(train.users, train.items, 30, 20, (ints(), ints()))
    np.testing.assert_allclose(dense(linked), dense(plain), rtol=1e-6)
