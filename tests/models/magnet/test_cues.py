"""Cues of items and pools of users, by hand and against pooling in a loop."""

import itertools

import numpy as np
import pytest
import torch

import worlds
from alnico.graphs.content import unit_rows
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.cues import ModalityCues, Scale, mean_length, prepared, scaled_cue

WAYS = pytest.mark.parametrize(
    "settings",
    [{}, {"projection": "mlp"}, {"features_trainable": True, "router_input": "behaviour"}],
    ids=["linear", "network", "trained features"],
)


def world():
    """Random pairs; a quarter of the items lack the image."""
    return worlds.scattered(seed=3, absent_share=0.25)


def cues_of(settings=None, name="image"):
    """The cues of one modality of the world, with random biases."""
    torch.manual_seed(0)
    made = world()
    config = MagnetConfig(
        **{"preset": "projected", "width": 6, "router_input": "coherence", **(settings or {})}
    )
    cues = ModalityCues(made.features[name], made.split.train, config)
    with torch.no_grad():
        for parameter in cues.projection.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return cues, made


def test_cue_of_an_item_by_hand():
    modality = worlds.modality([[3.0, 4.0], [0.0, 2.0]])
    cues = ModalityCues(
        modality, worlds.interactions([(0, 0)], 1, 2), MagnetConfig(preset="projected", width=1)
    )
    with torch.no_grad():
        cues.projection.weight.copy_(torch.tensor([[10.0, 100.0]]))
        cues.projection.bias.copy_(torch.tensor([1.0]))
    # Rows of length one: [.6, .8] and [0, 1]; 10 * .6 + 100 * .8 + 1 and 100 + 1.
    assert cues.items(torch.tensor([0, 1])).vectors.flatten().tolist() == pytest.approx([87, 101])


@WAYS
def test_pool_is_the_mean_of_the_projected_items_that_have_the_modality(settings):
    cues, made = cues_of(settings)
    train, present = made.split.train, made.features["image"].present
    found = cues.users(torch.arange(train.n_users))
    for user in range(train.n_users):
        pool = [item for item in train.of_user(user).tolist() if present[item]]
        assert bool(found.present[user]) == bool(pool)
        if pool:
            expected = cues.items(torch.tensor(pool)).vectors.mean(0)
            torch.testing.assert_close(found.vectors[user], expected, atol=1e-5, rtol=1e-5)


@WAYS
def test_pool_without_one_item_is_pooled_anew(settings):
    cues, made = cues_of(settings)
    train, present = made.split.train, made.features["image"].present
    users, items = torch.tensor(train.users), torch.tensor(train.items)
    found = cues.users(users, items)
    for row, (user, left_out) in enumerate(zip(users.tolist(), items.tolist(), strict=True)):
        pool = [item for item in train.of_user(user).tolist() if present[item] and item != left_out]
        assert bool(found.present[row]) == bool(pool)
        if pool:
            expected = cues.items(torch.tensor(pool)).vectors.mean(0)
            torch.testing.assert_close(found.vectors[row], expected, atol=1e-5, rtol=1e-5)


def test_a_pool_of_one_item_without_it_is_absent():
    modality = worlds.modality([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], absent=[2])
    train = worlds.interactions([(0, 0), (0, 2), (1, 2)], 3, 3)
    cues = ModalityCues(modality, train, MagnetConfig(preset="projected", width=2))
    # User 0 has one item with the modality, user 1 only one without, user 2 nothing.
    assert cues.users(torch.tensor([0, 1, 2])).present.tolist() == [True, False, False]
    assert cues.users(torch.tensor([0, 0]), torch.tensor([0, 2])).present.tolist() == [False, True]


def test_absent_items_have_no_cue():
    cues, made = cues_of()
    everything = torch.arange(15)
    assert cues.items(everything).present.tolist() == made.features["image"].present.tolist()


def test_gradients_of_pool_and_items_reach_the_projection():
    for settings in ({}, {"projection": "mlp"}):
        cues, _ = cues_of(settings)
        cues.users(torch.tensor([1, 2]), torch.tensor([0, 1])).vectors.sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in cues.projection.parameters())


def test_trained_features_get_gradient_where_the_item_is_there():
    cues, made = cues_of({"features_trainable": True, "router_input": "behaviour"})
    cues.users(torch.arange(12)).vectors.pow(2).sum().backward()
    moved = cues.vectors.grad.abs().sum(1) > 0
    assert not moved[torch.from_numpy(~made.features["image"].present)].any()
    assert moved.any()


def naive_coherence(vectors, pool):
    """Mean cosine over all pairs of different items."""
    unit = unit_rows(vectors)
    pairs = list(itertools.combinations(pool, 2))
    return float(np.mean([unit[a] @ unit[b] for a, b in pairs])) if pairs else 0.0


def test_coherence_is_the_mean_cosine_between_different_items():
    cues, made = cues_of()
    train, image = made.split.train, made.features["image"]
    found = cues.users(torch.arange(12)).coherence
    for user in range(12):
        pool = [item for item in train.of_user(user).tolist() if image.present[item]]
        assert found[user].item() == pytest.approx(naive_coherence(image.vectors, pool), abs=1e-5)


def test_coherence_without_one_item_is_that_of_the_others():
    cues, made = cues_of()
    train, image = made.split.train, made.features["image"]
    found = cues.users(torch.tensor(train.users), torch.tensor(train.items)).coherence
    for row, (user, left_out) in enumerate(zip(train.users.tolist(), train.items.tolist(), strict=True)):
        pool = [item for item in train.of_user(user).tolist() if image.present[item] and item != left_out]
        assert found[row].item() == pytest.approx(naive_coherence(image.vectors, pool), abs=1e-5)


def test_coherence_by_hand():
    # Three items: two alike, one at a right angle. Cosines 1, 0, 0; their mean is a third.
    modality = worlds.modality([[2.0, 0.0], [5.0, 0.0], [0.0, 3.0]])
    train = worlds.interactions([(0, 0), (0, 1), (0, 2), (1, 0)], 2, 3)
    cues = ModalityCues(modality, train, MagnetConfig(preset="projected", width=2))
    assert cues.users(torch.tensor([0, 1])).coherence.tolist() == pytest.approx([1 / 3, 0])
    # Without the odd one the others are alike; without one of the twins the rest is not.
    without = cues.users(torch.tensor([0, 0]), torch.tensor([2, 0]))
    assert without.coherence.tolist() == pytest.approx([1, 0], abs=1e-6)


def test_raw_vectors_as_the_projection_reads_them():
    modality = worlds.modality([[3, 4], [1, 4], [9, 9]], absent=[2])
    unit = prepared(modality, "unit", Scale.of(modality, "unit"))
    np.testing.assert_allclose(unit, [[0.6, 0.8], [1 / 17**0.5, 4 / 17**0.5], [0, 0]], rtol=1e-6)
    assert prepared(modality, "raw", Scale.of(modality, "raw")).tolist() == [[3, 4], [1, 4], [0, 0]]
    # First column: mean 2, deviation 1 over the present rows. The second does not vary and stays undivided.
    scaled = prepared(modality, "standardised", Scale.of(modality, "standardised"))
    assert scaled.tolist() == [[1, 0], [-1, 0], [0, 0]]


def test_scaling_where_no_item_has_the_modality_changes_nothing():
    scale = Scale.of(worlds.modality([[1, 2]], absent=[0]), "standardised")
    assert (scale.centre.tolist(), scale.spread.tolist()) == ([0, 0], [1, 1])


def test_mean_length_weighs_rows_and_leaves_out_the_absent():
    vectors = torch.tensor([[3.0, 4.0], [0.0, 1.0], [100.0, 0.0]], requires_grad=True)
    present, share = torch.tensor([True, True, False]), torch.tensor([1.0, 3.0, 9.0])
    # (1 * 5 + 3 * 1) / 4
    length = mean_length(vectors, present, share)
    assert length.item() == 2
    assert not length.requires_grad
    assert mean_length(vectors, torch.tensor([False] * 3), share).item() == 0


def test_scaled_cues_by_hand():
    cues = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    length, own = torch.tensor(6.0), torch.tensor(3.0)
    assert scaled_cue(cues, "none", length, own).tolist() == cues.tolist()
    assert scaled_cue(cues, "balanced", length, own).tolist() == [[6, 8], [0, 2]]
    np.testing.assert_allclose(scaled_cue(cues, "unit", length, own), [[3.6, 4.8], [0, 6]], rtol=1e-6)


def test_a_cue_that_training_never_measured_gets_the_length_of_the_identities():
    cues = torch.tensor([[3.0, 4.0]])
    found = scaled_cue(cues, "balanced", torch.tensor(2.0), torch.tensor(0.0))
    np.testing.assert_allclose(found, [[1.2, 1.6]], rtol=1e-6)


def test_scaling_a_zero_cue_stays_finite():
    for how in ("unit", "balanced"):
        assert scaled_cue(torch.zeros(1, 2), how, torch.tensor(1.0), torch.tensor(0.0)).tolist() == [[0, 0]]
