"""MGCN by hand, against its formulas written densely, and what it is without its parts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import plain_beside as plain
import worlds
from alnico.contracts import TrainingData
from alnico.models.lightgcn import LightGcn
from alnico.models.mgcn import Mgcn

ROOT = math.sqrt(2)


def path():
    """One user between items 0 and 1; item 2 aside. By text, item 2 looks like item 0 and item 1 stands alone."""
    train = worlds.interactions([(0, 0), (0, 1)], 1, 3)
    vectors = worlds.modality([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    lists = {"text": worlds.neighbour_lists([[(2, 0.9)], [], [(0, 0.9)]], 1)}
    data = TrainingData(train, worlds.features(3, text=vectors), lists)
    config = Mgcn.Config(width=1, layers=1, neighbours=2, contrast=0.5, l2=0.1)
    model = Mgcn.build(config, data, np.random.default_rng(0))
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[4.0]]))
        model.items.weight.copy_(torch.tensor([[2.0], [6.0], [10.0]]))
        # Whatever the content: a gate of one half.
        model.purifiers[0].gate.weight.zero_()
        model.purifiers[0].gate.bias.zero_()
    return model


# LightGCN with one hop: means with the first layer.
BEHAVIOUR = [(4 + 8 / ROOT) / 2, (2 + 4 / ROOT) / 2, (6 + 4 / ROOT) / 2, 10 / 2]
# Identities come through as 1, 3 and 5. Rows 0 and 2 of the item graph have the sum 1 + .9; the user divides both
# items by the root of 2 and of 1. With one modality all is shared: the side is half of it.
ITEMS = [(1 + 0.9 * 5) / 1.9, 3, (5 + 0.9 * 1) / 1.9]
SIDE = [(ITEMS[0] + ITEMS[1]) / ROOT / 2, *(item / 2 for item in ITEMS)]
FINAL = [behaviour + side for behaviour, side in zip(BEHAVIOUR, SIDE, strict=True)]


def test_scores_by_hand():
    expected = [[FINAL[0] * item for item in FINAL[1:]]]
    np.testing.assert_allclose(path().scorer().scores(torch.tensor([0])), expected, rtol=1e-6)


def test_loss_of_two_triples_by_hand():
    batch = replace(worlds.batch([(0, 0, 2), (0, 1, 2)]), planned=5)
    terms = path().loss_terms(batch).terms
    losses = [math.log1p(math.exp(-FINAL[0] * (item - FINAL[3]))) for item in FINAL[1:3]]
    assert terms["bpr"].item() == pytest.approx(sum(losses) / 2, rel=1e-5)
    # Numbers above 0 have the cosine 1: of two equal candidates each is right with log 2. The user counts twice.
    assert terms["contrast"].item() == pytest.approx(0.5 * 2 * math.log(2), rel=1e-5)
    squares = 2 * FINAL[0] ** 2 + FINAL[1] ** 2 + FINAL[2] ** 2 + 2 * FINAL[3] ** 2
    assert terms["l2"].item() == pytest.approx(0.1 * squares / (2 * 5), rel=1e-5)


@pytest.mark.parametrize("trainable", [True, False])
def test_scores_and_loss_are_the_formulas(trainable):
    world = worlds.scattered(seed=2, idle_users=1)
    train = world.split.train
    config = Mgcn.Config(
        width=4, layers=2, item_layers=2, neighbours=4, contrast=0.3, l2=0.05, features_trainable=trainable
    )
    model = Mgcn.build(config, world.data, np.random.default_rng(0))
    matrix = plain.symmetric(plain.taken(train))
    graphs = [plain.nearest_graph(modality, 4) for modality in world.features.values()]
    behaviour = plain.mean_of_layers(matrix, plain.identities(model), 2)
    views = plain.gated_views(model, world.features, graphs, matrix[:13, 13:])
    shared = plain.attention(model.attention, views)
    gates = [plain.logistic(plain.linear(gate, behaviour)) for gate in model.gates]
    alone = [gate * (view - shared) for gate, view in zip(gates, views, strict=True)]
    side = (alone[0] + alone[1] + shared) / 3
    final = behaviour + side
    scores = model.scorer().scores(torch.arange(13))
    np.testing.assert_allclose(scores, final[:13] @ final[13:].T, rtol=1e-4, atol=1e-6)

    batch = replace(worlds.random_batch(train, 24, seed=1), planned=32)
    triples, terms = plain.Triples(batch, 13), model.loss_terms(batch).terms
    assert terms["bpr"].item() == pytest.approx(triples.bpr(final), rel=1e-5)
    assert terms["contrast"].item() == pytest.approx(0.3 * triples.contrast(side, behaviour, 0.2), rel=1e-4)
    assert terms["l2"].item() == pytest.approx(0.05 * triples.half_l2(final), rel=1e-4)


def test_where_nothing_comes_through_it_is_lightgcn():
    world = worlds.scattered()
    model = Mgcn.build(Mgcn.Config(width=4, layers=2), world.data, np.random.default_rng(0))
    lightgcn = LightGcn.build(
        LightGcn.Config(width=4, layers=2, l2=0.0), world.data, np.random.default_rng(0)
    )
    with torch.no_grad():
        lightgcn.users.weight.copy_(model.users.weight)
        lightgcn.items.weight.copy_(model.items.weight)
        for purify in model.purifiers:
            purify.gate.bias.fill_(-1e4)
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    ours, theirs = model.loss_terms(batch).terms, lightgcn.loss_terms(batch).terms
    torch.testing.assert_close(ours["bpr"], theirs["bpr"])
    everybody = torch.arange(12)
    torch.testing.assert_close(model.scorer().scores(everybody), lightgcn.scorer().scores(everybody))


def test_raw_vectors_are_trained_unless_told_otherwise():
    world = worlds.scattered()
    names = {}
    for trainable in (True, False):
        config = Mgcn.Config(width=4, features_trainable=trainable)
        model = Mgcn.build(config, world.data, np.random.default_rng(0))
        names[trainable] = {name for name, _ in model.named_parameters()}
    assert names[True] - names[False] == {"purifiers.0.table.vectors", "purifiers.1.table.vectors"}
    assert Mgcn.Config().features_trainable
