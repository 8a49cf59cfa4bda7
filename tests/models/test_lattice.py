"""LATTICE by hand, against its published form with full tables, and what it is without its parts."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

import worlds
from alnico.contracts import TrainingData
from alnico.models.lattice import Lattice


def small():
    """One user between items 0 and 1; item 2 aside. Raw, item 2 is nearest to 1; projected, to 0."""
    train = worlds.interactions([(0, 0), (0, 1)], 1, 3)
    text = worlds.modality([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    config = Lattice.Config(width=2, layers=1, neighbours=2, original=0.75, l2=0.1)
    data = TrainingData(train, worlds.features(3, text=text))
    model = Lattice.build(config, data, np.random.default_rng(0))
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[3.0, 1.0]]))
        model.items.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [2.0, 1.0]]))
        model.projections[0].weight.copy_(torch.tensor([[4.0, 0.0], [0.0, 1.0]]))
        model.projections[0].bias.zero_()
    return model


def by_hand():
    """The user's and the items' final rows in ``small``."""
    # Raw cosines: .6 between 0 and 2, .8 between 1 and 2; lists 0 > 2, 1 > 2, 2 > 1. Row sums 1.6, 1.8, 1.8.
    raw = np.array(
        [
            [1 / 1.6, 0, 0.6 / math.sqrt(1.6 * 1.8)],
            [0, 1 / 1.8, 0.8 / 1.8],
            [0, 0.8 / 1.8, 1 / 1.8],
        ]
    )
    # Projected: (4, 0), (0, 1), (2.4, .8), whose length is .8 sqrt(10). Cosines 3 / sqrt(10) between 0 and 2,
    # 1 / sqrt(10) between 1 and 2; lists 0 > 2, 1 > 2, 2 > 0.
    near, far = 3 / math.sqrt(10), 1 / math.sqrt(10)
    learned = np.array(
        [
            [1 / (1 + near), 0, near / (1 + near)],
            [0, 1 / (1 + far), far / math.sqrt((1 + far) * (1 + near))],
            [near / (1 + near), 0, 1 / (1 + near)],
        ]
    )
    identities = np.array([[1.0, 0.0], [0.0, 2.0], [2.0, 1.0]])
    smoothed = (0.25 * learned + 0.75 * raw) @ identities
    side = smoothed / np.linalg.norm(smoothed, axis=1, keepdims=True)
    # One hop takes means: the user's over itself and both items, (4/3, 1); item 0's over itself and the user, (2, .5);
    # item 1's (1.5, 1.5); item 2 has only itself. Layers are averaged.
    user = (np.array([3, 1]) + np.array([4 / 3, 1])) / 2
    items = (identities + np.array([[2, 0.5], [1.5, 1.5], [2, 1]])) / 2
    return user, items + side


def test_scores_by_hand():
    user, items = by_hand()
    np.testing.assert_allclose(small().scorer().scores(torch.tensor([0])), [items @ user], rtol=1e-5)


def test_loss_of_a_triple_by_hand():
    user, items = by_hand()
    terms = small().loss_terms(worlds.batch([(0, 1, 2)])).terms
    gap = float((items[1] - items[2]) @ user)
    assert terms["bpr"].item() == pytest.approx(math.log1p(math.exp(-gap)), rel=1e-5)
    squares = (user**2).sum() + (items[1:] ** 2).sum()
    assert terms["l2"].item() == pytest.approx(0.1 * squares / 2, rel=1e-5)


def cosines_of_the_nearest(table, present, k):
    """Items x items: cosines, where not among the row's k largest 0. Absent items know themselves only."""
    unit = functional.normalize(table, dim=1)
    cosines, own = unit @ unit.T, torch.eye(len(table), dtype=torch.bool)
    ranked = cosines.detach().masked_fill(~(present[:, None] & present), -math.inf).masked_fill(own, 2)
    chosen = torch.zeros_like(own).scatter_(1, ranked.topk(k).indices, True) & (ranked > -math.inf)
    return cosines * chosen


def by_row_sums(table):
    """D^-1/2 W D^-1/2, D the sums of rows."""
    scale = table.sum(1).rsqrt()
    return scale[:, None] * table * scale


def dense_loss(model, world, batch):
    """The published computation with full tables."""
    config, shares = model.config, model.shares.softmax(0)
    learned = original = 0
    for share, table, project in zip(shares, model.features, model.projections, strict=True):
        raw = table.vectors.detach()
        learned = learned + share * cosines_of_the_nearest(
            project(table.vectors), table.present, config.neighbours
        )
        original = original + share * by_row_sums(
            cosines_of_the_nearest(raw, table.present, config.neighbours)
        )
    graph = (1 - config.original) * by_row_sums(learned) + config.original * original
    side = model.items.weight
    for _ in range(config.item_layers):
        side = graph @ side
    train = world.split.train
    n_users, n_nodes = train.n_users, train.n_users + train.n_items
    joined = torch.eye(n_nodes)
    users, items = torch.tensor(train.users), torch.tensor(train.items) + n_users
    joined[users, items] = joined[items, users] = 1
    layer = total = torch.cat([model.users.weight, model.items.weight])
    for _ in range(config.layers):
        layer = joined / joined.sum(1, keepdim=True) @ layer
        total = total + layer
    total = total / (config.layers + 1)
    users, items = total[:n_users], total[n_users:] + side / side.norm(dim=1, keepdim=True)
    user, positive, negative = users[batch.users], items[batch.positives], items[batch.negatives]
    ranking = -functional.logsigmoid((user * (positive - negative)).sum(1)).mean()
    norm = sum(part.pow(2).sum() for part in (user, positive, negative)) / (2 * len(batch))
    return ranking + config.l2 * norm, users @ items.T


def test_values_and_gradients_are_those_of_full_tables():
    world = worlds.scattered(seed=1, widths={"image": 6, "text": 5, "sound": 4})
    config = Lattice.Config(width=8, layers=2, item_layers=2, neighbours=4, original=0.6, l2=0.01)
    model = Lattice.build(config, world.data, np.random.default_rng(0))
    with torch.no_grad():
        model.shares.copy_(torch.tensor([0.1, 0.9, -0.4]))
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    found = []
    dense, scores = dense_loss(model, world, batch)
    for loss in (torch.stack(list(model.loss_terms(batch).terms.values())).sum(), dense):
        model.zero_grad()
        loss.backward()
        found.append((loss.detach(), {name: p.grad for name, p in model.named_parameters()}))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model.scorer().scores(torch.arange(12)), scores.detach(), rtol=1e-4, atol=1e-5)


def without_item_graph(**settings):
    """A model whose item graph is nothing, and its world."""
    world = worlds.scattered()
    config = Lattice.Config(width=4, original=1.0, **settings)
    model = Lattice.build(config, world.data, np.random.default_rng(0))
    for graph in model.item_graphs:
        graph.matrix.values.zero_()
    return model, world.split.train


def test_without_the_item_graph_it_takes_means_over_neighbours():
    model, train = without_item_graph(layers=2)
    joined = np.eye(27)
    joined[train.users, 12 + train.items] = joined[12 + train.items, train.users] = 1
    mean = joined / joined.sum(1, keepdims=True)
    table = torch.cat([model.users.weight, model.items.weight]).detach().numpy()
    expected = (table + mean @ table + mean @ mean @ table) / 3
    found = model.scorer().state().tensors
    np.testing.assert_allclose(found["users"], expected[:12], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["items"], expected[12:], rtol=1e-5, atol=1e-6)


def test_without_hops_and_item_graph_it_is_matrix_factorisation():
    model, _ = without_item_graph(layers=0)
    found = model.scorer().state().tensors
    assert torch.equal(found["users"], model.users.weight.detach())
    assert torch.equal(found["items"], model.items.weight.detach())
    assert {name for name, _ in model.named_parameters()} == {"users.weight", "items.weight", "shares"}


def test_content_learns_in_the_first_step_of_an_epoch_only():
    world = worlds.scattered()
    model = Lattice.build(Lattice.Config(width=4, neighbours=3), world.data, np.random.default_rng(0))
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    learned = []
    for epoch in (1, 2):
        model.begin_epoch(epoch, np.random.default_rng(epoch))
        for _ in range(3):
            model.zero_grad()
            step = model.loss_terms(batch)
            step.terms["bpr"].backward()
            model.observe(step.facts)
            learned.append(model.projections[0].weight.grad is not None)
    assert learned == [True, False, False, True, False, False]


def test_between_first_steps_the_item_graph_stands_but_evaluation_makes_it_anew():
    world = worlds.scattered()
    config = Lattice.Config(width=4, neighbours=3, original=0.0)
    model = Lattice.build(config, world.data, np.random.default_rng(0))
    batch = worlds.random_batch(world.split.train, 32, seed=1)

    def loss():
        return model.loss_terms(batch).terms["bpr"].item()

    model.begin_epoch(1, np.random.default_rng(0))
    first = loss()
    model.observe({})
    assert loss() == pytest.approx(first, rel=1e-6)
    scores = model.scorer().scores(torch.arange(12))
    with torch.no_grad():
        for project in model.projections:
            project.weight.neg_().add_(0.3)
    assert loss() == pytest.approx(first, rel=1e-6)
    assert not torch.allclose(model.scorer().scores(torch.arange(12)), scores)
    model.begin_epoch(2, np.random.default_rng(0))
    assert loss() != pytest.approx(first, rel=1e-6)


def test_with_one_modality_there_is_nothing_to_share():
    board = worlds.checkerboard(12)
    data = TrainingData(board.split.train, board.features.only("text"))
    model = Lattice.build(Lattice.Config(width=4, neighbours=3), data, np.random.default_rng(0))
    assert model.inert_parameters() == {"shares"}
    model.loss_terms(worlds.random_batch(data.interactions, 30, 0)).terms["bpr"].backward()
    assert not model.shares.grad.any()
    assert model.projections[0].weight.grad.any()
