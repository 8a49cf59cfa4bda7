"""Losses by hand and against plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alnico.contracts import batch_mean
from alnico.nn.losses import bpr, info_nce, squared_l2, unsquared_l2

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
