"""Lists in two stages are those of the exact kernel, and the first stage leaves little to the second."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from alnico.errors import ConfigError
from alnico.kernels import routed_stages
from alnico.kernels.place import plain_torch
from alnico.kernels.routed_ranking import Readout, RoutedItems, routed_top
from alnico.kernels.routed_stages import TwoStages
from routed_questions import KINDS, assert_equal_lists, nothing_seen, question, seen_arrays

HEADS = pytest.mark.parametrize("head", ["products", "concatenation"])


def assert_same_as_exact(users, routing, items, seen, k):
    """The lists of both ways agree to the bit; returns how many candidates each user had."""
    found = TwoStages(items).top(users, routing, *seen, k)
    assert_equal_lists(found[:2], routed_top(users, routing, items, *seen, k))
    return found.candidates


@pytest.mark.parametrize("tied", [False, True], ids=["any logits", "tied logits"])
@KINDS
@pytest.mark.parametrize(("n_experts", "kept"), [(1, 1), (2, 1), (9, 4), (9, 9), (18, 6)])
def test_lists_are_those_of_the_exact_kernel_to_the_bit(n_experts, kept, head, router, tied):
    asked = question(n_experts, kept, head, router, n_users=4, n_items=517, width=20, tied=tied)
    seen = seen_arrays(np.random.default_rng(1), 4, 517, 0.3)
    for k in (1, 20):
        assert_same_as_exact(*asked, seen, k)


def test_candidates_by_hand():
    # One expert, items (i, 0), one user (1, 0): item i scores i. A step of item i is i / 127, and the bounds lie
    # 1/2 (half a step, weighed by 1) + 64 * 8 / 32767 (the user's own half steps) + 1e-6 * 9 * 128 * sqrt(8) = 0.519
    # steps around the score, so at i (1 -+ 0.00409). The third largest lower bound is 297 * 0.99591 = 295.8, and
    # 294 * 1.00409 = 295.2 stays below it while 295 * 1.00409 = 296.2 does not: 295 to 299 are candidates.
    vectors = torch.zeros(1, 300, 2)
    vectors[0, :, 0] = torch.arange(300.0)
    items = RoutedItems(vectors, torch.zeros(300, 1), 1)
    found = TwoStages(items).top(torch.tensor([[[1.0, 0.0]]]), torch.zeros(1, 1), *nothing_seen(1), 3)
    assert found.items.tolist() == [[299, 298, 297]]
    assert found.values.tolist() == [[299, 298, 297]]
    assert found.candidates.tolist() == [5]


@KINDS
@pytest.mark.parametrize("spread", [0.0, 3.0], ids=["items of one length", "items of all lengths"])
def test_few_items_of_many_become_candidates(head, router, spread):
    users, routing, items = question(9, 4, head, router, n_users=8, n_items=5000, width=64)
    lengths = torch.from_numpy(np.exp(spread * np.random.default_rng(2).standard_normal(5000)))
    items = replace(items, vectors=items.vectors * lengths.float()[:, None])
    counts = assert_same_as_exact(users, routing, items, nothing_seen(8), 20)
    # The concatenation head has one step for all items, and so wide bounds for short ones.
    assert (counts >= 20).all()
    if head == "products":
        assert (counts < 100).all()
    elif not spread:
        assert (counts < 2000).all()


@pytest.mark.parametrize("of_users", [0.0, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("of_items", [0.0, 1e-31, 1.0])
@HEADS
def test_sides_of_other_sizes_lose_nobody(of_users, of_items, head):
    users, routing, items = question(9, 4, head, n_users=5, n_items=400, width=24)
    if items.readout is not None:
        weights = items.readout.weights.clone()
        weights[:3], weights[3:9] = 0, -weights[3:9].abs()
        items = replace(items, readout=Readout(weights, -3.0))
    items = replace(items, vectors=of_items * items.vectors)
    assert_same_as_exact(of_users * users, routing, items, nothing_seen(5), 10)


@pytest.mark.parametrize(("of_users", "of_items"), [(40, 1), (1, 40), (400, 400)])
def test_logits_far_apart_lose_nobody(of_users, of_items):
    users, routing, items = question(9, 4, n_users=5, n_items=400, width=16)
    wide = replace(items, routing=of_items * items.routing)
    assert_same_as_exact(users, of_users * routing, wide, nothing_seen(5), 10)


def test_of_twins_the_smaller_item_comes_first():
    users, routing, items = question(9, 4, n_items=50)
    twins = RoutedItems(items.vectors.repeat(1, 20, 1), items.routing.repeat(20, 1), 4)
    counts = assert_same_as_exact(users, routing, twins, nothing_seen(5), 7)
    assert (counts >= 20).all()


@HEADS
def test_where_few_items_may_be_listed_all_of_them_are_candidates(head):
    users, routing, items = question(9, 4, head, n_users=1, n_items=900)
    allowed = np.arange(3, 900, 7)
    seen = np.setdiff1d(np.arange(900), allowed)
    assert assert_same_as_exact(users, routing, items, (np.array([0, len(seen)]), seen), 20) == len(allowed)


@HEADS
def test_groups_that_are_left_out_altogether_stay_out(head):
    users, routing, items = question(9, 4, head, n_users=1, n_items=900)
    seen = np.arange(100, 600)
    assert_same_as_exact(users, routing, items, (np.array([0, len(seen)]), seen), 20)


def test_more_places_than_items_and_nobody_at_all():
    asked = question(9, 4)
    found = TwoStages(asked[2]).top(*asked[:2], *nothing_seen(5), 10)
    assert_equal_lists(found[:2], routed_top(*asked, *nothing_seen(5), 10))
    nobody = question(9, 4, n_users=0)
    assert TwoStages(nobody[2]).top(*nobody[:2], *nothing_seen(0), 3).items.shape == (0, 3)


def test_the_first_stage_may_be_asked_for_every_place(monkeypatch):
    monkeypatch.setattr(routed_stages, "FEW", 0)
    users, routing, items = question(9, 4, n_users=3, n_items=97)
    assert_same_as_exact(users, routing, items, nothing_seen(3), 24)


def test_torch_alone_has_one_stage():
    users, routing, items = question(9, 4, n_users=3, n_items=300)
    with plain_torch():
        found = TwoStages(items).top(users, routing, *nothing_seen(3), 5)
        assert_equal_lists(found[:2], routed_top(users, routing, items, *nothing_seen(3), 5))
    assert found.candidates.tolist() == [300] * 3


def test_a_list_without_a_place_is_refused():
    users, routing, items = question(2, 1)
    with pytest.raises(ConfigError, match="a list needs at least one place; found k = 0"):
        TwoStages(items).top(users, routing, *nothing_seen(5), 0)
