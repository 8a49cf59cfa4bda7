"""Losses by hand and against plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alnico.contracts import batch_mean
from alnico.nn import losses
from alnico.nn.losses import (
    bpr,
    cosine_gap,
    half_squared_l2,
    info_nce,
    moment_gaps,
    squared_l2,
    sum_of_squares,
    unsquared_l2,
)

POSITIVE, NEGATIVE = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 1.0])


def test_bpr_by_hand():
    # Differences 1 and -1: log(1 + e^-1) = 0.3132617 and log(1 + e) = 1.3132617.
    assert bpr(POSITIVE, NEGATIVE).item() == pytest.approx(0.8132617)
    assert bpr(POSITIVE, NEGATIVE, reduction="sum").item() == pytest.approx(1.6265234)


def test_bpr_weighs_pairs():
    # (2 * 0.3132617 + 1 * 1.3132617) / 2
    assert bpr(POSITIVE, NEGATIVE, torch.tensor([2.0, 1.0])).item() == pytest.approx(0.9698926)


def test_bpr_stays_finite_far_out():
    far = torch.tensor([1e4])
    assert bpr(far, -far).item() == 0
    # -log sigmoid(-20000) = 20000.
    assert bpr(-far, far).item() == pytest.approx(2e4)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=6))
def test_bpr_is_minus_log_sigmoid(pairs):
    positive, negative = (torch.tensor(side) for side in zip(*pairs, strict=True))
    expected = [-math.log(1 / (1 + math.exp(n - p))) for p, n in pairs]
    assert bpr(positive, negative).item() == pytest.approx(sum(expected) / len(pairs), rel=1e-4, abs=1e-6)


def test_info_nce_by_hand():
    # Two orthogonal rows, each its own partner: cosines 1 and 0; lengths do not matter.
    left = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    # -log(e / (e + 1)) = log(1 + e^-1); at temperature one half log(1 + e^-2).
    assert info_nce(left, torch.eye(2), 1.0).item() == pytest.approx(0.3132617)
    assert info_nce(left, torch.eye(2), 0.5).item() == pytest.approx(0.1269280)


@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([0.2, 0.5, 1.5]))
def test_info_nce_agrees_with_a_plain_loop(seed, n, temperature):
    rng = np.random.default_rng(seed)
    left, right = rng.standard_normal((2, n, 3)).astype(np.float32)
    losses = []
    for row in range(n):
        cosines = [
            float(left[row] @ other / (np.linalg.norm(left[row]) * np.linalg.norm(other))) for other in right
        ]
        terms = [math.exp(cosine / temperature) for cosine in cosines]
        losses.append(-math.log(terms[row] / sum(terms)))
    found = info_nce(torch.from_numpy(left), torch.from_numpy(right), temperature).item()
    assert found == pytest.approx(sum(losses) / n, rel=1e-4, abs=1e-6)


def test_unsquared_norm_by_hand():
    # Norms 5 and 13, divided by two rows.
    tables = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [5.0, 12.0]])
    assert unsquared_l2(*tables).item() == 9


def test_unsquared_norm_has_a_gradient_at_zero():
    table = torch.zeros(2, 2, requires_grad=True)
    unsquared_l2(table).backward()
    assert table.grad.tolist() == [[0, 0], [0, 0]]


def test_squared_norm_by_hand():
    tables = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [5.0, 12.0]])
    # (25 + 169) / 2
    assert squared_l2(*tables).item() == 97


def test_batch_mean_keeps_the_other_axes():
    assert batch_mean(torch.tensor([[1.0, 2.0], [3.0, 6.0]])).tolist() == [2, 4]


def test_info_nce_finds_the_own_candidate_among_more():
    left = torch.tensor([[1.0, 0.0]])
    candidates = torch.tensor([[0.0, 1.0], [3.0, 0.0], [0.0, -1.0]])
    # Cosines 0, 1, 0 and the second is its own: log(e + 2) - 1.
    found = info_nce(left, candidates, 1.0, own=torch.tensor([1]))
    assert found.item() == pytest.approx(math.log(math.e + 2) - 1)
    # Plain products: 0, 3, 0.
    plain = info_nce(left, candidates, 1.0, own=torch.tensor([1]), cosine=False)
    assert plain.item() == pytest.approx(math.log(math.exp(3) + 2) - 3, rel=1e-5)


def test_info_nce_both_ways_is_the_mean_of_the_two_directions():
    left, right = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(0))
    expected = (info_nce(left, right, 0.2) + info_nce(right, left, 0.2)) / 2
    torch.testing.assert_close(info_nce(left, right, 0.2, both_ways=True), expected)
    summed = info_nce(left, right, 0.2, reduction="sum")
    torch.testing.assert_close(summed, 7 * info_nce(left, right, 0.2))


def plain_info_nce(left, right, temperature, own, *, both_ways, cosine):
    """The same from torch's own operations."""
    if cosine:
        left, right = torch.nn.functional.normalize(left), torch.nn.functional.normalize(right)
    logits = left @ right.T / temperature
    forth = torch.nn.functional.cross_entropy(logits, own)
    return (forth + torch.nn.functional.cross_entropy(logits.T, own)) / 2 if both_ways else forth


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("temperature", [0.02, 0.2, 1.0])
@pytest.mark.parametrize("both_ways", [True, False])
def test_info_nce_has_the_value_and_gradient_of_cross_entropy(both_ways, temperature, cosine, monkeypatch):
    # Blocks of three rows.
    monkeypatch.setattr(losses, "_BLOCK", 33)
    monkeypatch.setattr(losses, "_NEAR_BLOCK", 33)
    generator = torch.Generator().manual_seed(0)
    tables = [torch.randn(11, 4, generator=generator, requires_grad=True) for _ in range(2)]
    own = torch.arange(11)
    expected = plain_info_nce(*tables, temperature, own, both_ways=both_ways, cosine=cosine)
    found = info_nce(*tables, temperature, both_ways=both_ways, cosine=cosine)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad(3 * found, tables), torch.autograd.grad(3 * expected, tables), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_info_nce_with_repeated_owners_and_a_table_that_does_not_learn():
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(5, 3, generator=generator, requires_grad=True)
    right = torch.randn(3, 3, generator=generator)
    own = torch.tensor([0, 2, 2, 1, 0])
    expected = plain_info_nce(left, right, 0.2, own, both_ways=False, cosine=True)
    found = info_nce(left, right, 0.2, own=own)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, left), torch.autograd.grad(expected, left))
    with pytest.raises(ValueError, match="face each other"):
        info_nce(left, right, 0.2, own=own, both_ways=True)


def test_moment_gaps_by_hand():
    # Means 2, 5 and 5; variances by n - 1 = 1: 2, 8 and 0. Gaps 3 + 6, 3 + 2 and 0 + 8.
    tables = [torch.tensor([row]) for row in ([1.0, 3.0], [3.0, 7.0], [5.0, 5.0])]
    assert moment_gaps(tables[:2]).item() == pytest.approx(9)
    assert moment_gaps(tables).item() == pytest.approx(22)


def test_moment_gaps_of_repeated_tables_are_those_of_the_tables_written_out():
    generator = torch.Generator().manual_seed(0)
    one, other, third = (torch.randn(3, width, generator=generator) + width for width in (4, 2, 4))
    expected = moment_gaps([one, torch.cat([other, other], 1), third])
    torch.testing.assert_close(moment_gaps([one, other, third], [1, 2, 1]), expected)


def test_half_squared_l2_divides_by_the_planned_batch():
    # (1 + 4 + 9) / (2 * 4)
    one, other = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0]])
    assert half_squared_l2(one, other, full_size=4).item() == pytest.approx(14 / 8)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("cosine", [True, False])
def test_info_nce_of_pairs_is_that_of_the_rows_written_out(cosine, reduction, monkeypatch):
    # Blocks of three rows.
    monkeypatch.setattr(losses, "_BLOCK", 21)
    monkeypatch.setattr(losses, "_NEAR_BLOCK", 21)
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(5, 4, generator=generator, requires_grad=True)
    right = torch.randn(7, 4, generator=generator, requires_grad=True)
    # Row 2 of the left and rows 1 and 5 of the right stand in no pair.
    pairs = torch.tensor([0, 3, 0, 4, 1, 0]), torch.tensor([6, 0, 2, 2, 3, 4])
    spread = [table.index_select(0, place) for table, place in zip((left, right), pairs, strict=True)]
    expected = info_nce(*spread, 0.3, cosine=cosine, reduction=reduction)
    found = info_nce(left, right, 0.3, cosine=cosine, reduction=reduction, pairs=pairs)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(
        torch.autograd.grad(3 * found, (left, right)),
        torch.autograd.grad(3 * expected, (left, right)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_info_nce_weighs_pairs_by_hand():
    # Left row 0 faces cosine 1 once and 0 twice in both of its pairs, weighed 2 and 0; row 1 faces 0 once, 1 twice.
    place = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    found = info_nce(torch.eye(2), torch.eye(2), 1.0, pairs=place, weights=torch.tensor([2.0, 0.0, 0.5]))
    of_first, of_last = math.log(math.e + 2) - 1, math.log(1 + 2 * math.e) - 1
    assert found.item() == pytest.approx((2 * of_first + 0.5 * of_last) / 3)
    with pytest.raises(ValueError, match="those of pairs"):
        info_nce(torch.eye(2), torch.eye(2), 1.0, weights=torch.ones(2))


def test_cosine_gap_by_hand():
    # Cosines 1, 0 and -1: gaps 0, 1 and 2.
    left = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    right = torch.tensor([[5.0, 0.0], [0.0, 2.0], [0.0, -1.0]])
    assert cosine_gap(left, right).item() == pytest.approx(1)
    assert cosine_gap(left, right, reduction="sum").item() == pytest.approx(3)
    assert cosine_gap(left, right, torch.tensor([7.0, 2.0, 0.5])).item() == pytest.approx(1)


def test_unsquared_norm_of_tables_of_different_heights():
    # Norms 5 and 10, divided by the rows of the last.
    assert unsquared_l2(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 6.0], [8.0, 0.0]])).item() == 7.5


def test_pairs_say_themselves_what_belongs_to_what():
    table, place = torch.eye(2), torch.tensor([0, 1])
    with pytest.raises(ValueError, match="what belongs to what, and go one way"):
        info_nce(table, table, 1.0, own=place, pairs=(place, place))
    with pytest.raises(ValueError, match="what belongs to what, and go one way"):
        info_nce(table, table, 1.0, both_ways=True, pairs=(place, place))


def test_cosines_as_far_apart_as_they_may_be_lose_nothing():
    # At the lowest temperature that counts as safe: 1 and -1, twenty either way.
    left = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    right = torch.tensor([[-1.0, 0.0], [-1.0, 0.0]])
    found = info_nce(left, right, 0.05, reduction="sum")
    # Each row has two equal candidates.
    assert found.item() == pytest.approx(2 * math.log(2), rel=1e-5)


def test_sum_of_squares_has_the_value_and_gradient_of_plain_squares(monkeypatch):
    # Tables of more than one block, of one, and one that does not learn.
    monkeypatch.setattr(losses, "_BLOCK", 5)
    tables = [torch.linspace(-1, 2, 12).reshape(3, 4), torch.ones(1), torch.tensor([3.0, 4.0])]
    fast = [table.clone().requires_grad_(number < 2) for number, table in enumerate(tables)]
    plain = [table.clone().requires_grad_(number < 2) for number, table in enumerate(tables)]
    found, expected = sum_of_squares(fast), torch.stack([table.pow(2).sum() for table in plain]).sum()
    torch.testing.assert_close(found, expected)
    (3 * found).backward()
    (3 * expected).backward()
    assert torch.equal(fast[0].grad, plain[0].grad)
    assert torch.equal(fast[1].grad, plain[1].grad)
    assert fast[2].grad is None
