"""Linear propagation by hand and against dense matrices."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.graphs.graph import Graph, symmetric_graph
from alnico.kernels.propagation import csr_from_edges
from alnico.nn.propagation import (
    damped_propagate,
    light_propagate,
    light_propagate_rows,
    xavier_linear,
    xavier_table,
    xavier_tables,
)


def test_two_hops_on_a_path_of_three_nodes_by_hand():
    # One user between two items: degrees 2, 1, 1, so that both edges weigh 1 / sqrt(2).
    graph = symmetric_graph(np.array([0, 0]), np.array([0, 1]), 1, 2)
    table = torch.tensor([[4.0], [2.0], [0.0]])
    # Layer 1: user (2 + 0) / sqrt 2 = sqrt 2, items 4 / sqrt 2 = 2 sqrt 2 each.
    # Layer 2: user (2 sqrt 2 + 2 sqrt 2) / sqrt 2 = 4, items sqrt 2 / sqrt 2 = 1 each.
    root = math.sqrt(2)
    expected = [[(4 + root + 4) / 3], [(2 + 2 * root + 1) / 3], [(0 + 2 * root + 1) / 3]]
    torch.testing.assert_close(light_propagate([graph] * 2, table), torch.tensor(expected))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_propagation_is_the_mean_of_powers(layers):
    train = worlds.scattered(seed=1).split.train
    graph = symmetric_graph(train.users, train.items, 12, 15)
    table = torch.from_numpy(np.random.default_rng(0).standard_normal((27, 4)).astype(np.float32))
    matrix = graph.propagate(torch.eye(27)).double()
    powers = [torch.linalg.matrix_power(matrix, layer) @ table.double() for layer in range(layers + 1)]
    expected = torch.stack(powers).mean(0).float()
    torch.testing.assert_close(light_propagate([graph] * layers, table), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_chosen_rows_have_the_values_and_gradients_of_the_whole(layers):
    train = worlds.scattered(seed=2).split.train
    graph = symmetric_graph(train.users, train.items, 12, 15)
    start = torch.from_numpy(np.random.default_rng(0).standard_normal((27, 4)).astype(np.float32))
    rows = torch.tensor([3, 26, 0, 14])
    weights = torch.linspace(-1, 1, 16).reshape(4, 4)
    some, whole = start.clone().requires_grad_(), start.clone().requires_grad_()
    chosen, first = light_propagate_rows([graph] * layers, some, rows)
    assert torch.equal(first, start[rows])
    full = light_propagate([graph] * layers, whole)[rows]
    torch.testing.assert_close(chosen, full)
    (chosen * weights).sum().backward()
    (full * weights).sum().backward()
    torch.testing.assert_close(some.grad, whole.grad)


def thin_graphs(layers):
    """Different directed graphs over 200 nodes, about one edge per node: two hops reach a small part."""
    graphs = []
    for seed in range(layers):
        rng = np.random.default_rng(seed)
        places = rng.choice(200 * 200, 200, replace=False)
        values = rng.standard_normal(200).astype(np.float32)
        rows, columns = places // 200, places % 200
        graphs.append(
            Graph(
                csr_from_edges(rows, columns, values, (200, 200)),
                csr_from_edges(columns, rows, values, (200, 200)),
                "none",
            )
        )
    return graphs


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("chosen", [None, [17, 3, 150], range(0, 200, 2)], ids=["all", "few", "half"])
def test_a_graph_of_its_own_for_each_hop_agrees_with_dense_matrices(layers, chosen):
    graphs = thin_graphs(layers)
    rows = None if chosen is None else torch.tensor(list(chosen))
    start = torch.from_numpy(np.random.default_rng(9).standard_normal((200, 3)).astype(np.float32))
    fast, plain = start.clone().requires_grad_(), start.clone().requires_grad_()
    first = start if rows is None else start[rows]
    found = light_propagate(graphs, fast)
    if rows is not None:
        found, first = light_propagate_rows(graphs, fast, rows)
    layer, total = plain, plain
    for graph in graphs:
        layer = graph.matrix.as_torch.to_dense() @ layer
        total = total + layer
    expected = total / (layers + 1)
    expected = expected if rows is None else expected[rows]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = torch.linspace(-1, 1, expected.numel()).reshape(expected.shape)
    own = plain if rows is None else plain[rows]
    (found * weights + (0 if rows is None else first.pow(2))).sum().backward()
    (expected * weights + (0 if rows is None else own.pow(2))).sum().backward()
    torch.testing.assert_close(fast.grad, plain.grad, atol=1e-5, rtol=1e-5)


def test_a_second_derivative_is_refused_instead_of_wrong():
    table, graphs = torch.ones(200, 3, requires_grad=True), thin_graphs(1)
    for found in (light_propagate(graphs, table), light_propagate_rows(graphs, table, torch.tensor([3]))[0]):
        (gradient,) = torch.autograd.grad(found.pow(2).sum(), table, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.sum().backward()


def test_a_node_without_edges_keeps_its_first_layer():
    graph = symmetric_graph(np.array([0]), np.array([0]), 2, 1)
    table = torch.tensor([[1.0], [6.0], [3.0]])
    # Node 1 has no edge: its mean over layers 0 to 2 is a third of its own row.
    assert light_propagate([graph] * 2, table)[1].item() == 2


def test_tables_start_by_the_law_of_glorot():
    torch.manual_seed(0)
    uniform = xavier_table(400, 200).weight
    # Bound sqrt(6 / 600) = 0.1, deviation 0.1 / sqrt 3; the normal law has deviation sqrt(2 / 600).
    assert uniform.abs().max() <= 0.1
    assert uniform.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)
    assert xavier_table(400, 200, "normal").weight.std().item() == pytest.approx(math.sqrt(2 / 600), rel=0.02)


def test_damped_hops_by_hand():
    # One edge of weight 1: each hop takes the other's row.
    graph = symmetric_graph(np.array([0]), np.array([0]), 1, 1)
    table = torch.tensor([[8.0], [0.0]])
    # h1 = .5 * (0, 8) + .25 * (8, 0) = (2, 4); h2 = .5 * (4, 2) + (2, 0) = (4, 1); gamma = .25 + .25 * 1.5 = .625.
    found = damped_propagate(graph, table, 2, alpha=0.25, beta=0.5)
    torch.testing.assert_close(found, torch.tensor([[6.4], [1.6]]))
    torch.testing.assert_close(damped_propagate(graph, table, 0, alpha=0.25, beta=0.5), table)


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_damped_hops_have_the_values_and_gradients_of_dense_matrices(hops):
    (graph,) = thin_graphs(1)
    start = torch.from_numpy(np.random.default_rng(9).standard_normal((200, 3)).astype(np.float32))
    fast, plain = start.clone().requires_grad_(), start.clone().requires_grad_()
    found = damped_propagate(graph, fast, hops, alpha=0.1, beta=0.9)
    matrix, layer = graph.matrix.as_torch.to_dense(), plain
    for _ in range(hops):
        layer = 0.9 * matrix @ layer + 0.1 * plain
    expected = layer / (0.9**hops + 0.1 * sum(0.9**j for j in range(hops)))
    torch.testing.assert_close(found, expected)
    weights = torch.linspace(-1, 1, 600).reshape(200, 3)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(fast.grad, plain.grad)
    (gradient,) = torch.autograd.grad(
        damped_propagate(graph, fast, hops, alpha=0.1, beta=0.9).pow(2).sum(), fast, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_tables_of_users_and_items_may_start_as_one():
    torch.manual_seed(0)
    users, items = xavier_tables(300, 100, 200)
    torch.manual_seed(0)
    whole = xavier_table(400, 200).weight
    assert torch.equal(torch.cat([users.weight, items.weight]), whole)
    assert users.weight.requires_grad
    assert items.weight.requires_grad


def test_linear_layers_start_by_the_law_of_glorot():
    torch.manual_seed(0)
    uniform = xavier_linear(400, 200)
    assert uniform.weight.abs().max() <= 0.1
    assert uniform.weight.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)
    # torch's own bias: uniform within 1 / sqrt(400).
    assert 0.04 < uniform.bias.abs().max() <= 0.05
    normal = xavier_linear(400, 200, "normal", zero_bias=True)
    assert normal.weight.std().item() == pytest.approx(math.sqrt(2 / 600), rel=0.02)
    assert not normal.bias.any()
