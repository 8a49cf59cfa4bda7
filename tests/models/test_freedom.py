"""FREEDOM by hand, and what it is without its parts."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.contracts import TrainingData
from alnico.errors import ConfigError
from alnico.models.freedom import Freedom
from alnico.models.lightgcn import LightGcn

ROOT = math.sqrt(2)


def path():
    """One user between items 0 and 1; item 2 aside. By text, item 2 looks like item 0 and item 1 stands alone."""
    train = worlds.interactions([(0, 0), (0, 1)], 1, 3)
    vectors = worlds.modality([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    lists = {"text": worlds.neighbour_lists([[(2, 0.9)], [], [(0, 0.9)]], 1)}
    data = TrainingData(train, worlds.features(3, text=vectors), lists)
    config = Freedom.Config(width=1, layers=1, neighbours=2, pruning=0.0, content_weight=0.5)
    model = Freedom.build(config, data, np.random.default_rng(0))
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[4.0]]))
        model.items.weight.copy_(torch.tensor([[2.0], [6.0], [10.0]]))
        model.projections[0].weight.copy_(torch.tensor([[3.0, 1.0]]))
        model.projections[0].bias.copy_(torch.tensor([0.5]))
    return model


# One hop over users and items, means with the first layer, as in LightGCN.
USER = (4 + 8 / ROOT) / 2
# One hop over the item graph: items 0 and 2 halve their own and each other's row, item 1 keeps its own.
ITEMS = [(2 + 4 / ROOT) / 2 + (2 + 10) / 2, (6 + 4 / ROOT) / 2 + 6, 10 / 2 + (2 + 10) / 2]


def test_scores_by_hand():
    np.testing.assert_allclose(
        path().scorer().scores(torch.tensor([0])), [[USER * item for item in ITEMS]], rtol=1e-6
    )


def test_loss_of_a_triple_by_hand():
    terms = path().loss_terms(worlds.batch([(0, 0, 2)])).terms
    assert terms["bpr"].item() == pytest.approx(math.log1p(math.exp(-USER * (ITEMS[0] - ITEMS[2]))))
    # Projections of the vectors: 3 + .5 and 3 + .1 + .5.
    gap = USER * (3.5 - 3.6)
    assert terms["content/text"].item() == pytest.approx(0.5 * math.log1p(math.exp(-gap)), rel=1e-5)


def test_without_pruning_and_item_graph_it_is_lightgcn():
    world = worlds.scattered()
    config = Freedom.Config(width=4, layers=3, pruning=0.0, content_weight=0.0)
    model = Freedom.build(config, world.data, np.random.default_rng(0))
    plain = LightGcn.build(LightGcn.Config(width=4, layers=3, l2=0.0), world.data, np.random.default_rng(0))
    with torch.no_grad():
        plain.users.weight.copy_(model.users.weight)
        plain.items.weight.copy_(model.items.weight)
    model.item_graph.matrix.values.zero_()
    model.item_graph.transposed.values.zero_()
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    ours, theirs = model.loss_terms(batch).terms, plain.loss_terms(batch).terms
    torch.testing.assert_close(ours["bpr"], theirs["bpr"])
    everybody = torch.arange(12)
    torch.testing.assert_close(model.scorer().scores(everybody), plain.scorer().scores(everybody))


def test_edges_are_drawn_for_training_only_and_anew_each_epoch():
    world = worlds.scattered(seed=3, n_users=30, n_items=20)
    model = Freedom.build(Freedom.Config(width=4, pruning=0.5), world.data, np.random.default_rng(0))
    before = model.scorer().scores(torch.arange(30))
    drawn = []
    for epoch in (1, 2, 1):
        model.begin_epoch(epoch, np.random.default_rng(epoch))
        drawn.append(model.pruned.matrix.columns.tolist())
    assert drawn[0] == drawn[2] != drawn[1]
    torch.testing.assert_close(model.scorer().scores(torch.arange(30)), before, rtol=0, atol=0)


def test_without_its_losses_no_content_is_trained():
    world = worlds.checkerboard()
    model = Freedom.build(Freedom.Config(content_weight=0.0), world.data, np.random.default_rng(0))
    assert {name for name, _ in model.named_parameters()} == {"users.weight", "items.weight"}


def test_a_given_item_graph_needs_no_content():
    train = worlds.interactions([(0, 0), (0, 1)], 1, 3)
    lists = {"published": worlds.neighbour_lists([[(2, 0.5)], [], [(0, 0.5)]], 1)}
    data = TrainingData(train, worlds.features(3), lists)
    config = Freedom.Config(width=1, layers=1, given_graph="published", pruning=0.0, content_weight=0.0)
    model = Freedom.build(config, data, np.random.default_rng(0))
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[4.0]]))
        model.items.weight.copy_(torch.tensor([[2.0], [6.0], [10.0]]))
    scores = model.scorer().scores(torch.tensor([0]))
    np.testing.assert_allclose(scores, [[USER * item for item in ITEMS]], rtol=1e-6)
    with pytest.raises(ConfigError, match=r"no item graph 'publisht' .*did you mean 'published'"):
        Freedom.build(config.model_copy(update={"given_graph": "publisht"}), data, np.random.default_rng(0))


def test_the_loss_is_over_the_pruned_graph():
    world = worlds.scattered(seed=3, n_users=30, n_items=20)
    config = Freedom.Config(width=4, layers=2, pruning=0.5, content_weight=0.0)
    model = Freedom.build(config, world.data, np.random.default_rng(0))
    model.begin_epoch(1, np.random.default_rng(1))
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    found = model.loss_terms(batch).terms["bpr"].item()
    matrix = model.pruned.matrix.as_torch.to_dense().numpy()
    table = torch.cat([model.users.weight, model.items.weight]).detach().numpy()
    final = (table + matrix @ table + matrix @ matrix @ table) / 3
    final[30:] += model.item_graph.matrix.as_torch.to_dense().numpy() @ table[30:]
    users, positives, negatives = (
        final[rows.numpy()] for rows in (batch.users, batch.positives + 30, batch.negatives + 30)
    )
    gaps = (users * positives).sum(1) - (users * negatives).sum(1)
    assert found == pytest.approx(np.log1p(np.exp(-gaps)).mean(), rel=1e-4)
