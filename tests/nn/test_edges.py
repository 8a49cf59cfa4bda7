"""Edges that models find and weigh, by hand and against the graphs that are made once."""

import numpy as np
import torch

import worlds
from alnico.graphs.items import item_graph
from alnico.kernels.edges import Pattern
from alnico.nn.edges import nearest_edges, scaled_by_row_sums


def test_nearest_edges_by_hand():
    # By direction 0 and 1 are closest, 2 is nearer to 1; length does not matter. Nobody knows row 3.
    table = torch.tensor([[1.0, 0.0], [5.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    present = np.array([True, True, True, False])
    rows, columns = nearest_edges({"text": table}, {"text": present}, 2)["text"]
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 1),
        (2, 2),
        (3, 3),
    ]


def test_a_neighbourhood_of_one_is_the_item_itself():
    found = nearest_edges({"text": torch.eye(3)}, {"text": np.ones(3, dtype=bool)}, 1)
    assert [side.tolist() for side in found["text"]] == [[0, 1, 2], [0, 1, 2]]


def test_without_tables_nothing_is_found():
    assert nearest_edges({}, {}, 3) == {}


def test_scaling_agrees_with_the_item_graph():
    # Item 0 lists 1, item 1 lists 2, item 2 lists nobody.
    graph = item_graph(worlds.neighbour_lists([[(1, 0.5)], [(2, 0.25)], []], 1), "cosine")
    rows, columns, expected = graph.edges()
    pattern, _ = Pattern.of(rows, columns, (3, 3))
    # Entries (0, 0), (0, 1), (1, 1), (1, 2), (2, 2).
    np.testing.assert_allclose(
        scaled_by_row_sums(pattern, torch.tensor([1, 0.5, 1, 0.25, 1])), expected, rtol=1e-6
    )


def test_scaling_has_a_gradient_through_the_sums():
    pattern, _ = Pattern.of(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]), (3, 3))
    values = torch.tensor([1.0, 0.5, 2.0, -0.25], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: scaled_by_row_sums(pattern, v), (values,))


def test_rows_whose_sum_is_not_positive_count_for_nothing():
    pattern, _ = Pattern.of(np.array([0, 0, 1]), np.array([0, 1, 0]), (2, 2))
    values = torch.tensor([4.0, 5.0, -3.0], requires_grad=True)
    scaled = scaled_by_row_sums(pattern, values)
    # Row 0 sums to 9: 4 / 9; the other two meet row 1.
    np.testing.assert_allclose(scaled.detach(), [4 / 9, 0, 0], rtol=1e-6)
    scaled.sum().backward()
    assert torch.isfinite(values.grad).all()
