"""LightGCN by hand."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.contracts import TrainingData
from alnico.models.lightgcn import LightGcn


def path():
    """One user between items 0 and 1, item 2 aside; width one, one hop."""
    train = worlds.interactions([(0, 0), (0, 1)], 1, 3)
    data = TrainingData(train, worlds.features(3))
    model = LightGcn.build(LightGcn.Config(width=1, layers=1, l2=0.5), data, np.random.default_rng(0))
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[4.0]]))
        model.items.weight.copy_(torch.tensor([[2.0], [6.0], [10.0]]))
    return model


ROOT = math.sqrt(2)
# One hop: user (2 + 6) / sqrt 2, items 4 / sqrt 2 each; means with the first layer. Item 2 has no edge.
USER = (4 + 8 / ROOT) / 2
ITEMS = [(2 + 4 / ROOT) / 2, (6 + 4 / ROOT) / 2, 10 / 2]


def test_scores_by_hand():
    expected = [[USER * item for item in ITEMS]]
    np.testing.assert_allclose(path().scorer().scores(torch.tensor([0])), expected, rtol=1e-6)


def test_loss_of_a_triple_by_hand():
    terms = path().loss_terms(worlds.batch([(0, 1, 2)])).terms
    gap = USER * (ITEMS[1] - ITEMS[2])
    assert terms["bpr"].item() == pytest.approx(math.log1p(math.exp(-gap)), rel=1e-6)
    # The regulariser reads embeddings before propagation: 4, 6 and 10.
    assert terms["l2"].item() == pytest.approx(0.5 * (4 + 6 + 10))


def test_a_batch_with_repeated_nodes_scores_each_triple_by_the_whole_table():
    world = worlds.scattered()
    model = LightGcn.build(LightGcn.Config(width=4, layers=3), world.data, np.random.default_rng(0))
    triples = [(1, 2, 3), (1, 3, 2), (1, 2, 2), (5, 2, 3)]
    scores = model.scorer().scores(torch.arange(12))
    losses = [math.log1p(math.exp(float(scores[u, n] - scores[u, p]))) for u, p, n in triples]
    found = model.loss_terms(worlds.batch(triples)).terms["bpr"].item()
    assert found == pytest.approx(sum(losses) / 4, rel=1e-5)
