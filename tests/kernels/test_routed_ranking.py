"""Scores and lists of the mixture over all pairs, against plain torch, a plain loop and sorting."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from alnico.errors import ConfigError
from alnico.kernels.place import plain_torch
from alnico.kernels.routed_ranking import (
    Readout,
    RoutedItems,
    routed_scores,
    routed_scores_reference,
    routed_top,
    routed_top_reference,
)
from alnico.kernels.routed_tables import TILE, USERS_AT_ONCE
from alnico.kernels.top_items import top_items, top_items_reference
from routed_questions import KINDS, assert_equal_lists, nothing_seen, question, seen_arrays

# All numbers kept of one, few and many experts; five and more are sorted in several rounds.
CASES = [(1, 1), (2, 1), (2, 2), (9, 1), (9, 3), (9, 4), (9, 5), (9, 9), (18, 6), (18, 17), (45, 4), (45, 6)]


def reference(users, routing, items):
    """Scores from whole logits."""
    logits = items.logits(routing, items.routing)
    return routed_scores_reference(users, items.vectors, logits, items.kept, items.readout)


def in_a_plain_loop(users, routing, items):
    """The definition, pair by pair: the k largest logits, ties to the lower expert, softmax over them, mix."""
    n_experts = len(users)
    out = np.zeros((users.shape[1], items.n_items))
    for user in range(users.shape[1]):
        for item in range(items.n_items):
            logit = (routing[user] + items.routing[item]).tolist()
            if items.hidden is not None:
                hidden = [max(value, 0) for value in logit]
                logit = [sum(w * h for w, h in zip(row, hidden, strict=True)) for row in items.hidden.weights]
            kept = sorted(range(n_experts), key=lambda e: (-logit[e], e))[: items.kept]
            weight = [math.exp(logit[e] - logit[kept[0]]) for e in kept]
            for e, w in zip(kept, weight, strict=True):
                if items.readout is None:
                    score = float(users[e, user].double() @ items.vectors[e, item].double())
                else:
                    summed = (users[e, user] + items.vectors[e, item]).double().clamp(min=0)
                    score = float(summed @ items.readout.weights.double()) + items.readout.constant
                out[user, item] += w / sum(weight) * score
    return out


# -- scores ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("of_users", "of_items"), [(40, 1), (1, 40), (40, 40), (400, 400)])
@pytest.mark.parametrize("kept", [1, 3, 4, 9])
def test_logits_far_apart_weigh_as_in_the_reference(of_users, of_items, kept):
    users, routing, items = question(9, kept, n_users=20, n_items=150, width=16)
    wide = replace(items, routing=of_items * items.routing)
    # Some users keep to small distances, so that both ways of weighing meet in one call.
    routing = torch.cat([routing[:10], of_users * routing[10:]])
    expected = reference(users, routing, wide)
    torch.testing.assert_close(routed_scores(users, routing, wide), expected, atol=1e-5, rtol=1e-5)
    lists = routed_top(users, routing, wide, *nothing_seen(20), 5)
    assert_equal_lists(lists, top_items(routed_scores(users, routing, wide), *nothing_seen(20), 5))


@pytest.mark.parametrize("tied", [False, True], ids=["any logits", "tied logits"])
@KINDS
@pytest.mark.parametrize(("n_experts", "kept"), CASES)
def test_scores_agree_with_reference_and_with_a_plain_loop(n_experts, kept, head, router, tied):
    asked = question(n_experts, kept, head, router, tied=tied)
    scores = routed_scores(*asked)
    torch.testing.assert_close(scores, reference(*asked), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(scores.numpy(), in_a_plain_loop(*asked), atol=1e-5)


def of_two(users, vectors, routing, kept):
    """Scores of one user and item, one number per vector."""
    items = RoutedItems(torch.tensor(vectors)[:, None, None], torch.zeros(1, len(users)), kept)
    return routed_scores(torch.tensor(users)[:, None, None], torch.tensor([routing]), items).item()


def test_two_experts_by_hand():
    # Expert 0 scores 2 * 3 = 6, expert 1 scores 1 * (-4) = -4; logits ln 3 and 0: the softmax is 3/4 and 1/4.
    both = of_two([2.0, 1.0], [3.0, -4.0], [math.log(3), 0.0], 2)
    assert both == pytest.approx(0.75 * 6 - 0.25 * 4)
    assert of_two([2.0, 1.0], [3.0, -4.0], [math.log(3), 0.0], 1) == 6


def test_a_tie_at_the_border_goes_to_the_lower_expert():
    assert of_two([1.0, 1.0, 1.0], [10.0, 20.0, 30.0], [0.0, 1.0, 1.0], 1) == 20
    assert of_two([1.0, 1.0, 1.0], [10.0, 20.0, 30.0], [0.0, 0.0, 0.0], 2) == pytest.approx(15)


def test_logits_far_apart_neither_overflow_nor_vanish():
    assert of_two([1.0, 1.0], [1.0, 2.0], [400.0, -400.0], 2) == 1


@pytest.mark.parametrize("head", ["products", "concatenation"])
def test_tables_that_are_not_contiguous_are_read_correctly(head):
    users, routing, items = question(2, 1, head)
    turned = RoutedItems(
        items.vectors.transpose(1, 2).contiguous().transpose(1, 2),
        items.routing.T.contiguous().T,
        items.kept,
        items.readout,
    )
    turned_users = users.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(routed_scores(turned_users, routing, turned), routed_scores(users, routing, items))


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True], ids=["any logits", "tied logits"])
@KINDS
@pytest.mark.parametrize(("n_experts", "kept"), CASES)
@pytest.mark.parametrize("k", [1, 20])
def test_lists_are_the_sorted_scores_to_the_bit(n_experts, kept, head, router, tied, k):
    rng = np.random.default_rng(1)
    n_users, n_items = USERS_AT_ONCE + 3, 3 * TILE + 5
    asked = question(n_experts, kept, head, router, n_users, n_items, width=20, tied=tied)
    seen = seen_arrays(rng, n_users, n_items, 0.3)
    lists = routed_top(*asked, *seen, k)
    assert_equal_lists(lists, top_items(routed_scores(*asked), *seen, k))
    assert (lists[0][0] == -1).all()
    # The reference rounds otherwise: the scores agree, and an item differs only where scores all but tie.
    items, values = top_items_reference(reference(*asked), *seen, k)
    np.testing.assert_allclose(lists[1], values, rtol=1e-4, atol=1e-4)
    assert (lists[0] == items).mean() > 0.99


@pytest.mark.parametrize("head", ["products", "concatenation"])
@pytest.mark.parametrize("spread", [0.0, 3.0], ids=["items of one length", "items of all lengths"])
@pytest.mark.parametrize("k", [1, 10, 50])
def test_rough_scores_lose_nobody_on_a_large_table(k, spread, head):
    users, routing, items = question(9, 4, head, n_users=40, n_items=3000, width=64)
    lengths = torch.from_numpy(np.exp(spread * np.random.default_rng(2).standard_normal(3000)))
    items = replace(items, vectors=items.vectors * lengths.float()[:, None])
    scores, seen = routed_scores(users, routing, items), nothing_seen(40)
    assert_equal_lists(routed_top(users, routing, items, *seen, k), top_items(scores, *seen, k))


# Beyond the items' range a user's numbers are cut off; far inside it they are coarse beside the items'.
@pytest.mark.parametrize("of_users", [0.0, 1e-6, 0.01, 1.0, 100.0, 1e6])
@pytest.mark.parametrize("of_items", [0.0, 1.0])
def test_sides_of_other_sizes_lose_nobody_under_the_concatenation_head(of_users, of_items):
    users, routing, items = question(9, 4, "concatenation", n_users=20, n_items=400, width=24)
    assert items.readout is not None
    # Some axes do not speak, others only against a pair.
    weights = items.readout.weights.clone()
    weights[:3], weights[3:9] = 0, -weights[3:9].abs()
    items = replace(items, vectors=of_items * items.vectors, readout=Readout(weights, -3.0))
    users = of_users * users
    scores, seen = routed_scores(users, routing, items), nothing_seen(20)
    assert_equal_lists(routed_top(users, routing, items, *seen, 10), top_items(scores, *seen, 10))


@pytest.mark.parametrize("n_twins", [2, 40])
def test_of_twins_the_smaller_item_comes_first(n_twins):
    # More twins than room to wait: all of them reach the last place, and the later ones must not displace.
    users, routing, items = question(9, 4, n_items=50)
    twins = RoutedItems(items.vectors.repeat(1, n_twins, 1), items.routing.repeat(n_twins, 1), 4)
    seen = nothing_seen(5)
    lists = routed_top(users, routing, twins, *seen, 7)
    assert_equal_lists(lists, top_items(routed_scores(users, routing, twins), *seen, 7))
    assert (np.diff(lists[0][:, :2]) == 50).all()


def test_items_that_all_score_alike_are_listed_in_order():
    users, routing, items = question(9, 4, n_items=1000)
    flat = RoutedItems(torch.zeros_like(items.vectors), items.routing, 4)
    listed, values = routed_top(users, routing, flat, *nothing_seen(5), 20)
    assert (listed == np.arange(20)).all()
    assert (values == 0).all()


def test_more_places_than_items_are_filled_up():
    listed, values = routed_top(*question(9, 4), *nothing_seen(5), 10)
    assert (np.sort(listed[:, :7]) == np.arange(7)).all()
    assert (listed[:, 7:] == -1).all()
    assert np.isneginf(values[:, 7:]).all()


def test_nobody_asks():
    listed, values = routed_top(*question(9, 4, n_users=0), *nothing_seen(0), 3)
    assert listed.shape == values.shape == (0, 3)


def test_a_list_without_a_place_is_refused():
    with pytest.raises(ConfigError, match="a list needs at least one place; found k = 0"):
        routed_top(*question(2, 1), *nothing_seen(5), 0)


@KINDS
def test_the_same_question_has_the_same_bits(head, router):
    asked = question(9, 4, head, router, n_users=70, n_items=90, width=16)
    first, scores = routed_top(*asked, *nothing_seen(70), 10), routed_scores(*asked)
    assert torch.equal(routed_scores(*asked), scores)
    assert_equal_lists(routed_top(*asked, *nothing_seen(70), 10), first)


@KINDS
def test_a_users_list_does_not_depend_on_who_else_asks(head, router):
    users, routing, items = question(9, 4, head, router, n_users=70, n_items=200)
    together = routed_top(users, routing, items, *nothing_seen(70), 10)
    alone = routed_top(users[:, 41:42], routing[41:42], items, *nothing_seen(1), 10)
    assert_equal_lists(alone, (together[0][41:42], together[1][41:42]))


# -- plain torch, as it runs on other devices ------------------------------------------------------------


@pytest.mark.parametrize("numbers", [1, 500, 10_000, 2**27], ids="{} numbers at once".format)
@KINDS
def test_lists_by_blocks_are_the_sorted_reference(head, router, numbers):
    asked = question(9, 4, head, router, n_users=6, n_items=40)
    seen = seen_arrays(np.random.default_rng(1), 6, 40, 0.3)
    items, values = routed_top_reference(*asked, *seen, 12, numbers)
    expected = top_items_reference(reference(*asked), *seen, 12)
    np.testing.assert_array_equal(items, expected[0])
    np.testing.assert_allclose(values, expected[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("numbers", [1, 500, 2**27], ids="{} numbers at once".format)
def test_by_blocks_too_twins_are_listed_in_order(numbers):
    users, routing, items = question(9, 4, n_items=20)
    flat = RoutedItems(torch.zeros_like(items.vectors), items.routing, 4)
    listed, _ = routed_top_reference(users, routing, flat, *nothing_seen(5), 25, numbers)
    assert (listed[:, :20] == np.arange(20)).all()
    assert (listed[:, 20:] == -1).all()


@KINDS
def test_torch_alone_finds_the_same_scores_and_lists(head, router):
    users, routing, items = question(9, 4, head, router, n_users=6, n_items=40)
    seen = seen_arrays(np.random.default_rng(1), 6, 40, 0.3)
    with plain_torch():
        scores, lists = routed_scores(users, routing, items), routed_top(users, routing, items, *seen, 7)
        by_table = top_items(scores, *seen, 7)
    torch.testing.assert_close(scores, routed_scores(users, routing, items), atol=1e-5, rtol=1e-5)
    for found in (lists, by_table):
        own = routed_top(users, routing, items, *seen, 7)
        np.testing.assert_array_equal(found[0], own[0])
        np.testing.assert_allclose(found[1], own[1], atol=1e-5, rtol=1e-5)
