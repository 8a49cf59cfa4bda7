"""Linear propagation by hand and against dense matrices."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.graphs.graph import symmetric_graph
from alnico.nn.propagation import light_propagate, xavier_table


def test_two_hops_on_a_path_of_three_nodes_by_hand():
    # One user between two items: degrees 2, 1, 1, so that both edges weigh 1 / sqrt(2).
    graph = symmetric_graph(np.array([0, 0]), np.array([0, 1]), 1, 2)
    table = torch.tensor([[4.0], [2.0], [0.0]])
    # Layer 1: user (2 + 0) / sqrt 2 = sqrt 2, items 4 / sqrt 2 = 2 sqrt 2 each.
    # Layer 2: user (2 sqrt 2 + 2 sqrt 2) / sqrt 2 = 4, items sqrt 2 / sqrt 2 = 1 each.
    root = math.sqrt(2)
    expected = [[(4 + root + 4) / 3], [(2 + 2 * root + 1) / 3], [(0 + 2 * root + 1) / 3]]
    torch.testing.assert_close(light_propagate(graph, table, 2), torch.tensor(expected))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_propagation_is_the_mean_of_powers(layers):
    train = worlds.scattered(seed=1).split.train
    graph = symmetric_graph(train.users, train.items, 12, 15)
    table = torch.from_numpy(np.random.default_rng(0).standard_normal((27, 4)).astype(np.float32))
    matrix = graph.propagate(torch.eye(27)).double()
    powers = [torch.linalg.matrix_power(matrix, layer) @ table.double() for layer in range(layers + 1)]
    expected = torch.stack(powers).mean(0).float()
    torch.testing.assert_close(light_propagate(graph, table, layers), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_chosen_rows_have_the_values_and_gradients_of_the_whole(layers):
    train = worlds.scattered(seed=2).split.train
    graph = symmetric_graph(train.users, train.items, 12, 15)
    start = torch.from_numpy(np.random.default_rng(0).standard_normal((27, 4)).astype(np.float32))
    rows = torch.tensor([3, 26, 0, 14])
    weights = torch.linspace(-1, 1, 16).reshape(4, 4)
    some, whole = start.clone().requires_grad_(), start.clone().requires_grad_()
    chosen = light_propagate(graph, some, layers, rows)
    full = light_propagate(graph, whole, layers)[rows]
    torch.testing.assert_close(chosen, full)
    (chosen * weights).sum().backward()
    (full * weights).sum().backward()
    torch.testing.assert_close(some.grad, whole.grad)


def test_a_node_without_edges_keeps_its_first_layer():
    graph = symmetric_graph(np.array([0]), np.array([0]), 2, 1)
    table = torch.tensor([[1.0], [6.0], [3.0]])
    # Node 1 has no edge: its mean over layers 0 to 2 is a third of its own row.
    assert light_propagate(graph, table, 2)[1].item() == 2


def test_tables_start_by_the_law_of_glorot():
    torch.manual_seed(0)
    uniform = xavier_table(400, 200).weight
    # Bound sqrt(6 / 600) = 0.1, deviation 0.1 / sqrt 3; the normal law has deviation sqrt(2 / 600).
    assert uniform.abs().max() <= 0.1
    assert uniform.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)
    assert xavier_table(400, 200, "normal").weight.std().item() == pytest.approx(math.sqrt(2 / 600), rel=0.02)
