"""Routing, gates and their statistics, by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from alnico.models.magnet.router import (
    Router,
    confidence_loss,
    coverage_loss,
    entropy,
    routing_facts,
    sparse_gate,
)


@st.composite
def some_logits(draw):
    """Logits of a few pairs, often tied, and a K that fits."""
    n_pairs, n_experts = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    row = st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=n_experts, max_size=n_experts)
    rows = draw(st.lists(row, min_size=n_pairs, max_size=n_pairs))
    return torch.tensor(rows), draw(st.integers(1, n_experts))


@given(some_logits())
def test_gate_is_softmax_then_top_k_then_renormalised(case):
    logits, k = case
    expected = np.zeros(logits.shape)
    for pair, row in enumerate(logits.softmax(1).double().tolist()):
        kept = sorted(range(len(row)), key=lambda e: (-logits[pair, e].item(), e))[:k]
        for expert in kept:
            expected[pair, expert] = row[expert] / sum(row[e] for e in kept)
    np.testing.assert_allclose(sparse_gate(logits, k).numpy(), expected, atol=1e-6)


@given(some_logits())
def test_a_gate_that_keeps_all_is_the_softmax(case):
    logits, _ = case
    assert torch.equal(sparse_gate(logits, logits.shape[1]), logits.softmax(1))
    assert torch.equal(sparse_gate(logits, 50), logits.softmax(1))


def test_gate_by_hand():
    # e^0, e^ln2, e^ln3 = 1, 2, 3: the two largest are 2/5 and 3/5.
    logits = torch.tensor([[0.0, math.log(2), math.log(3)]])
    assert sparse_gate(logits, 2).tolist() == [pytest.approx([0, 0.4, 0.6])]


def test_ties_go_to_the_lower_expert():
    assert sparse_gate(torch.zeros(1, 20), 2).tolist() == [[0.5, 0.5] + [0.0] * 18]


def test_gradient_reaches_the_kept_logits_only():
    logits = torch.tensor([[0.0, 1.0, 2.0]], requires_grad=True)
    (sparse_gate(logits, 2) * torch.tensor([[5.0, 1.0, 2.0]])).sum().backward()
    assert logits.grad[0, 0] == 0
    assert (logits.grad[0, 1:] != 0).all()


def test_linear_router_is_one_layer_on_the_concatenation():
    torch.manual_seed(0)
    router = Router(3, 2, 4, hidden=None, scale=2.5, dropout=0.0)
    users, items = torch.randn(5, 3), torch.randn(5, 2)
    expected = 2.5 * router.first(torch.cat([users, items], dim=1))
    torch.testing.assert_close(router.logits(router.user_part(users) + router.item_part(items)), expected)


def test_router_with_a_hidden_layer_is_a_small_network_on_the_concatenation():
    torch.manual_seed(0)
    router = Router(3, 2, 4, hidden=6, scale=0.5, dropout=0.0)
    users, items = torch.randn(5, 3), torch.randn(5, 2)
    network = nn.Sequential(router.first, nn.ReLU(), router.second)
    expected = 0.5 * network(torch.cat([users, items], dim=1))
    torch.testing.assert_close(router.logits(router.user_part(users) + router.item_part(items)), expected)


def test_router_starts_as_torchs_own_layer_does():
    torch.manual_seed(3)
    own = nn.Linear(5, 4)
    torch.manual_seed(3)
    router = Router(3, 2, 4, hidden=None, scale=1.0, dropout=0.0)
    assert torch.equal(router.first.weight, own.weight)
    assert torch.equal(router.first.bias, own.bias)


def test_entropy_by_hand():
    rows = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.75, 0.25, 0.0]])
    # ln 2; 0; .75 ln(4/3) + .25 ln 4 = 0.5623351.
    assert entropy(rows).tolist() == pytest.approx([math.log(2), 0, 0.5623351], abs=1e-6)


def test_coverage_by_hand():
    # KL to uniform: 0 where even, ln 4 where one expert has all, ln 2 where two of four share.
    assert coverage_loss(torch.full((4,), 0.25)).item() == pytest.approx(0, abs=1e-6)
    assert coverage_loss(torch.tensor([1.0, 0, 0, 0])).item() == pytest.approx(math.log(4))
    assert coverage_loss(torch.tensor([0.5, 0.5, 0, 0])).item() == pytest.approx(math.log(2))


def test_confidence_by_hand():
    # Mean of the entropies 0 and ln 2.
    routing = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    assert confidence_loss(routing).item() == pytest.approx(math.log(2) / 2)


def test_facts_of_two_opposite_pairs_by_hand():
    routing = torch.tensor([[0.75, 0.25], [0.25, 0.75]])
    gate = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    facts = routing_facts(routing, gate)
    # The mean is even: entropy 1, two effective experts, no concentration. Each pair has entropy 0.5623351.
    assert facts == pytest.approx(
        {
            "entropy": 1,
            "effective_experts": 2,
            "specialisation": 1 - 0.5623351 / math.log(2),
            "top3_mass": 1,
            "top_gap": 0.5,
            "winner_share": 0.75,
            "max_load": 1,
            "hhi": 0,
            # Each pair: (.5625 + .0625 - .5) / .5.
            "hhi_pairs": 0.25,
        },
        abs=1e-6,
    )


def test_facts_of_four_experts_by_hand():
    routing = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    facts = routing_facts(routing, torch.tensor([[0.625, 0.375, 0, 0]]))
    assert facts["top3_mass"] == pytest.approx(0.95)
    assert facts["top_gap"] == pytest.approx(0.2)
    assert facts["max_load"] == pytest.approx(0.625)
    # .25 + .09 + .0225 + .0025 = .365; (.365 - .25) / .75.
    assert facts["hhi"] == pytest.approx(0.115 / 0.75)
    assert facts["hhi_pairs"] == pytest.approx(0.115 / 0.75)
    total = -sum(p * math.log(p) for p in (0.5, 0.3, 0.15, 0.05))
    assert facts["entropy"] == pytest.approx(total / math.log(4))
    assert facts["effective_experts"] == pytest.approx(math.exp(total))
    # With one pair the mean is the pair.
    assert facts["specialisation"] == pytest.approx(1 - facts["entropy"])


def test_facts_of_a_single_expert_are_finite():
    facts = routing_facts(torch.ones(3, 1), torch.ones(3, 1))
    assert all(math.isfinite(value) for value in facts.values())
    assert facts["entropy"] == 0
