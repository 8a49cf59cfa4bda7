"""Products with picked rows and sums of them, by hand and against plain gathering."""

import pytest
import torch

from alnico.nn import picks
from alnico.nn.picks import Picks

TABLE = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def test_products_and_sums_by_hand():
    chosen = Picks(torch.tensor([[2, 0], [1, 1]]), 3)
    left = torch.tensor([[1.0, 10.0], [2.0, 0.0]])
    # 5 + 60, 1 + 20; twice 2 * 3.
    assert chosen.products(left, TABLE).tolist() == [[65, 21], [6, 6]]
    # 2 * (5, 6) - (1, 2); (3, 4) + 0.5 * (3, 4).
    weights = torch.tensor([[2.0, -1.0], [1.0, 0.5]])
    assert chosen.sums(weights, TABLE).tolist() == [[9, 10], [4.5, 6]]


@pytest.mark.parametrize("width", [4, 64])
@pytest.mark.parametrize("n_picks", [1, 3])
def test_values_and_gradients_are_those_of_gathered_rows(width, n_picks, monkeypatch):
    # Blocks of a few rows.
    monkeypatch.setattr(picks, "_BLOCK", 5 * n_picks * width)
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(9, (17, n_picks), generator=generator)
    left, table, weights = (
        torch.randn(*shape, generator=generator, requires_grad=True)
        for shape in ((17, width), (9, width), (17, n_picks))
    )
    chosen, picked = Picks(places, 9), table[places]
    for found, expected, inputs in (
        (chosen.products(left, table), (left[:, None] * picked).sum(2), (left, table)),
        (chosen.sums(weights, table), (weights[:, :, None] * picked).sum(1), (weights, table)),
    ):
        torch.testing.assert_close(found, expected)
        back = torch.randn(found.shape, generator=generator)
        for ours, theirs in zip(
            torch.autograd.grad(found, inputs, back, retain_graph=True),
            torch.autograd.grad(expected, inputs, back, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_second_derivative_is_refused_instead_of_wrong():
    chosen, table = Picks(torch.tensor([[0], [2]]), 3), TABLE.clone().requires_grad_()
    for found in (chosen.products(TABLE[:2], table), chosen.sums(torch.ones(2, 1), table)):
        (gradient,) = torch.autograd.grad(found.pow(2).sum(), table, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.sum().backward()
