"""Scores of the mixture over all pairs, against plain torch and a plain loop."""

import math

import numpy as np
import pytest
import torch

from alnico.kernels.routed_ranking import (
    USER_BLOCK,
    routed_concat_scores,
    routed_scores,
    routed_scores_reference,
)

CASES = [(1, 1), (2, 1), (2, 2), (9, 1), (9, 4), (9, 9), (18, 4), (18, 17), (18, 18)]


def tables(n_experts, n_users=5, n_items=7, width=4, tied=False, seed=0):
    """Random expert vectors and logits; tied logits are small whole numbers, so that sums tie exactly."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))

    def logits(n):
        whole = torch.from_numpy(rng.integers(0, 2, (n, n_experts)).astype(np.float32))
        return whole if tied else draw(n, n_experts)

    return draw(n_experts, n_users, width), draw(n_experts, n_items, width), logits(n_users), logits(n_items)


def in_a_plain_loop(users, items, user_logits, item_logits, k, readout=None):
    """The definition, pair by pair: the k largest logits, ties to the lower expert, softmax over them, mix."""
    n_experts = len(users)
    out = np.zeros((users.shape[1], items.shape[1]))
    for user in range(users.shape[1]):
        for item in range(items.shape[1]):
            logit = [float(user_logits[user, e] + item_logits[item, e]) for e in range(n_experts)]
            kept = sorted(range(n_experts), key=lambda e: (-logit[e], e))[:k]
            weight = [math.exp(logit[e] - logit[kept[0]]) for e in kept]
            for e, w in zip(kept, weight, strict=True):
                if readout is None:
                    score = float(users[e, user].double() @ items[e, item].double())
                else:
                    hidden = (users[e, user] + items[e, item]).double().clamp(min=0)
                    score = float(hidden @ readout.double())
                out[user, item] += w / sum(weight) * score
    return out


@pytest.mark.parametrize("tied", [False, True], ids=["any logits", "tied logits"])
@pytest.mark.parametrize(("n_experts", "k"), CASES)
def test_products_agree_with_reference_and_with_a_plain_loop(n_experts, k, tied):
    users, items, user_logits, item_logits = tables(n_experts, tied=tied)
    scores = routed_scores(users, items, user_logits, item_logits, k)
    logits = user_logits[:, None, :] + item_logits
    torch.testing.assert_close(scores, routed_scores_reference(users, items, logits, k), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(
        scores.numpy(), in_a_plain_loop(users, items, user_logits, item_logits, k), atol=1e-5
    )


@pytest.mark.parametrize("tied", [False, True], ids=["any logits", "tied logits"])
@pytest.mark.parametrize(("n_experts", "k"), CASES)
def test_concatenation_agrees_with_reference_and_with_a_plain_loop(n_experts, k, tied):
    users, items, user_logits, item_logits = tables(n_experts, tied=tied)
    readout = torch.tensor([0.5, -1.0, 2.0, 0.25])
    scores = routed_concat_scores(users, items, readout, user_logits, item_logits, k)
    logits = user_logits[:, None, :] + item_logits
    torch.testing.assert_close(
        scores, routed_scores_reference(users, items, logits, k, readout), atol=1e-5, rtol=1e-5
    )
    np.testing.assert_allclose(
        scores.numpy(), in_a_plain_loop(users, items, user_logits, item_logits, k, readout), atol=1e-5
    )


def test_two_experts_by_hand():
    # One number per vector. Expert 0 scores 2 * 3 = 6, expert 1 scores 1 * (-4) = -4.
    users, items = torch.tensor([[[2.0]], [[1.0]]]), torch.tensor([[[3.0]], [[-4.0]]])
    # Logits 0 + ln 3 and 0: the softmax is 3/4 and 1/4.
    user_logits, item_logits = torch.zeros(1, 2), torch.tensor([[math.log(3), 0.0]])
    both = routed_scores(users, items, user_logits, item_logits, 2)
    assert both.item() == pytest.approx(0.75 * 6 - 0.25 * 4)
    assert routed_scores(users, items, user_logits, item_logits, 1).item() == 6


def test_a_tie_at_the_border_goes_to_the_lower_expert():
    users = torch.ones(3, 1, 1)
    items = torch.tensor([[[10.0]], [[20.0]], [[30.0]]])
    tied = torch.tensor([[0.0, 1.0, 1.0]])
    zero = torch.zeros(1, 3)
    assert routed_scores(users, items, tied, zero, 1).item() == 20
    flat = torch.zeros(1, 3)
    assert routed_scores(users, items, flat, zero, 2).item() == pytest.approx(15)


def test_logits_far_apart_neither_overflow_nor_vanish():
    users, items = torch.ones(2, 1, 1), torch.tensor([[[1.0]], [[2.0]]])
    far = torch.tensor([[400.0, -400.0]])
    assert routed_scores(users, items, far, torch.zeros(1, 2), 2).item() == 1


def test_users_beyond_one_block_are_scored_like_the_others():
    n_users = 2 * USER_BLOCK + 3
    users, items, user_logits, item_logits = tables(9, n_users=n_users)
    scores = routed_scores(users, items, user_logits, item_logits, 4)
    reference = routed_scores_reference(users, items, user_logits[:, None, :] + item_logits, 4)
    torch.testing.assert_close(scores, reference, atol=1e-5, rtol=1e-5)


def test_the_same_question_has_the_same_bits():
    users, items, user_logits, item_logits = tables(9, n_users=70, n_items=90, width=16)
    readout = torch.linspace(-1, 1, 16)
    for ask in (
        lambda: routed_scores(users, items, user_logits, item_logits, 4),
        lambda: routed_concat_scores(users, items, readout, user_logits, item_logits, 4),
    ):
        first = ask()
        assert all(torch.equal(ask(), first) for _ in range(2))


def test_tables_that_are_not_contiguous_are_read_correctly():
    users, items, user_logits, item_logits = tables(2)
    turned = items.transpose(1, 2).contiguous().transpose(1, 2)
    readout = torch.ones(4)
    assert torch.equal(
        routed_scores(users, items, user_logits, item_logits, 1),
        routed_scores(users, turned, user_logits, item_logits, 1),
    )
    assert torch.equal(
        routed_concat_scores(users, items, readout, user_logits, item_logits, 1),
        routed_concat_scores(users, turned, readout, user_logits, item_logits, 1),
    )
