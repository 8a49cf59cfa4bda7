"""VBPR by hand, and what it is without content."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.errors import DataError
from alnico.models.bpr_mf import BprMf
from alnico.models.vbpr import Vbpr

NAMES = {"image": 4, "text": 3, "audio": 2}


def by_hand():
    """One user (2, 3); items with one factor, an image of two numbers and a text of one; item 1 has no text."""
    content = worlds.features(
        3,
        image=worlds.modality([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]),
        text=worlds.modality([[1.0], [0.0], [3.0]], absent=[1]),
    )
    model = Vbpr(Vbpr.Config(width=1, l2=0.5), 1, content)
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[2.0, 3.0]]))
        model.items.weight.copy_(torch.tensor([[1.0], [4.0], [-1.0]]))
        model.projection.weight.copy_(torch.tensor([[1.0, 2.0, -1.0]]))
        model.projection.bias.copy_(torch.tensor([0.5]))
    return model


# Projected content: 1 - 1 + .5, 2 - 2 + .5 (the text of item 1 is the mean of 1 and 3), 2 + 4 - 3 + .5.
ITEMS = [(1.0, 0.5), (4.0, 0.5), (-1.0, 3.5)]
SCORES = [2 + 1.5, 8 + 1.5, -2 + 10.5]


def test_scores_by_hand():
    np.testing.assert_allclose(by_hand().scorer().scores(torch.tensor([0])), [SCORES], rtol=1e-6)


def test_loss_of_two_triples_by_hand():
    terms = by_hand().loss_terms(worlds.batch([(0, 0, 1), (0, 0, 2)], [1.0, 3.0])).terms
    # Margins 3.5 - 9.5 and 3.5 - 8.5, the second with three times the weight.
    losses = math.log1p(math.exp(6)) + 3 * math.log1p(math.exp(5))
    assert terms["bpr"].item() == pytest.approx(losses / 2)
    # Norms over both triples, not squared: the user twice, item 0 twice, items 1 and 2.
    users, positives = math.sqrt(2 * 13), math.sqrt(2 * 1.25)
    negatives = math.sqrt(16 + 0.25 + 1 + 12.25)
    assert terms["l2"].item() == pytest.approx(0.5 * (users + positives + negatives) / 2)


def test_without_content_it_is_matrix_factorisation():
    world = worlds.scattered()
    model = Vbpr.build(Vbpr.Config(width=4, l2=0.3), world.data, np.random.default_rng(0))
    plain = BprMf.build(BprMf.Config(width=4, l2=0.3), world.data, np.random.default_rng(0))
    with torch.no_grad():
        model.projection.weight.zero_()
        model.users.weight[:, 4:] = 0
        plain.users.weight.copy_(model.users.weight[:, :4])
        plain.items.weight.copy_(model.items.weight)
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    ours, theirs = model.loss_terms(batch).terms, plain.loss_terms(batch).terms
    torch.testing.assert_close(ours["bpr"], theirs["bpr"])
    torch.testing.assert_close(ours["l2"], theirs["l2"])
    everybody = torch.arange(12)
    torch.testing.assert_close(model.scorer().scores(everybody), plain.scorer().scores(everybody))


def test_content_is_one_matrix_over_all_modalities_one_after_another():
    world = worlds.scattered(widths=NAMES, absent_share=0.0)
    model = Vbpr.build(Vbpr.Config(width=4), world.data, np.random.default_rng(0))
    vectors = np.concatenate([world.features[name].vectors for name in NAMES], 1)
    told = vectors @ model.projection.weight.detach().numpy().T
    np.testing.assert_allclose(model.scorer().state().tensors["items"][:, 4:], told, rtol=1e-5, atol=1e-6)
    assert model.projection.bias.tolist() == [0.0] * 4


@pytest.mark.parametrize("trainable", [False, True])
def test_raw_vectors_are_trained_only_when_asked_for(trainable):
    world = worlds.scattered()
    config = Vbpr.Config(width=4, features_trainable=trainable)
    model = Vbpr.build(config, world.data, np.random.default_rng(0))
    trained = {name for name, _ in model.named_parameters()}
    assert ("features.0.vectors" in trained) == trainable


def test_it_asks_for_content():
    world = worlds.scattered(absent_share=1.0)
    with pytest.raises(DataError, match="vbpr reads item content"):
        Vbpr.build(Vbpr.Config(), world.data, np.random.default_rng(0))
