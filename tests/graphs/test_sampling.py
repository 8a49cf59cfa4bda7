"""Graphs with a few neighbours per node."""

import numpy as np
import pytest
import torch

import worlds
from alnico.graphs.graph import symmetric_graph
from alnico.graphs.sampling import sample_neighbours


def small_graph():
    train = worlds.scattered(seed=1).split.train
    return symmetric_graph(train.users, train.items, 12, 15)


def test_kept_neighbours_are_neighbours_and_their_values_are_scaled_by_the_share_left_out():
    graph = small_graph()
    sampled = sample_neighbours(graph, 2, np.random.default_rng(0))
    whole, some = graph.matrix.as_torch.to_dense(), sampled.matrix.as_torch.to_dense()
    wanted, kept = (whole != 0).sum(1), (some != 0).sum(1)
    assert torch.equal(kept, wanted.clamp(max=2))
    scale = (wanted / kept.clamp(min=1))[:, None]
    torch.testing.assert_close(some, torch.where(some != 0, whole * scale, 0))
    torch.testing.assert_close(sampled.transposed.as_torch.to_dense(), some.T)


def test_a_node_gathers_on_average_what_it_gathers_from_all():
    graph = small_graph()
    rng = np.random.default_rng(0)
    total = sum(sample_neighbours(graph, 2, rng).matrix.as_torch.to_dense() for _ in range(3000))
    torch.testing.assert_close(total / 3000, graph.matrix.as_torch.to_dense(), atol=0.03, rtol=0)


@pytest.mark.parametrize("fanout", [1, 3])
def test_the_same_generator_state_gives_the_same_graph(fanout):
    first, second = (sample_neighbours(small_graph(), fanout, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(first.matrix.columns, second.matrix.columns)
    assert torch.equal(first.matrix.values, second.matrix.values)
