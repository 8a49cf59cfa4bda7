"""DRAGON by hand, and what it is without its parts."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.contracts import TrainingData
from alnico.models.dragon import Dragon

E, R2, R3, R6 = math.e, math.sqrt(2), math.sqrt(3), math.sqrt(6)


def three_users():
    """Users 0 and 2 take both items, user 1 item 1. Item 0 lists item 1; by their vectors they stand at 1 and -1."""
    train = worlds.interactions([(0, 0), (0, 1), (1, 1), (2, 0), (2, 1)], 3, 2)
    lists = {"text": worlds.neighbour_lists([[(1, 0.9)], []], 1)}
    data = TrainingData(train, worlds.features(2, text=worlds.modality([[3.0, 0.0], [-1.0, 0.0]])), lists)
    config = Dragon.Config(width=1, layers=1, neighbours=2, companions=2, l2=0.5)
    model = Dragon.build(config, data, np.random.default_rng(0))
    with torch.no_grad():
        model.user_preferences.weight.copy_(torch.tensor([[2.0], [4.0], [-1.0]]))
        model.user_weights.weight.copy_(torch.tensor([[2.0], [3.0], [5.0]]))
        for layer in (model.networks[0][0], model.networks[0][2]):
            layer.weight.fill_(1.0)
            layer.bias.fill_(0.0)
    return model


# Rows of length one are 1, 1, -1 for users and 1, -1 for items. Degrees 2, 1, 2 and 2, 3.
JOINED = [
    2 * (1 + 1 / 2 - 1 / R6),
    3 * (1 - 1 / R3),
    5 * (-1 + 1 / 2 - 1 / R6),
]
ITEMS = [1 + 1 / 2 - 1 / 2, -1 + 1 / R6 + 1 / R3 - 1 / R6]
# Users 0 and 2 share two items, all others one: weights e^2 and e, or even ones.
USERS = [
    JOINED[0] + (E * JOINED[2] + JOINED[1]) / (E + 1),
    JOINED[1] + (JOINED[0] + JOINED[2]) / 2,
    JOINED[2] + (E * JOINED[0] + JOINED[1]) / (E + 1),
]
# The item graph: item 0 has two entries, item 1 its own alone.
FINAL = [ITEMS[0] + ITEMS[0] / 2 + ITEMS[1] / R2, ITEMS[1] + ITEMS[1]]


def test_scores_by_hand():
    expected = [[user * item for item in FINAL] for user in USERS]
    np.testing.assert_allclose(three_users().scorer().scores(torch.arange(3)), expected, rtol=1e-5)


def test_loss_of_a_triple_by_hand():
    terms = three_users().loss_terms(worlds.batch([(1, 1, 0)])).terms
    gap = USERS[1] * (FINAL[1] - FINAL[0])
    assert terms["bpr"].item() == pytest.approx(math.log2(1 + math.exp(-gap)), rel=1e-5)
    # The preference of user 1 is 4; weights 2, 3 and 5 of all users.
    assert terms["l2"].item() == pytest.approx(0.5 * (16 + (4 + 9 + 25) / 3))


def unit(rows):
    """Rows of length one."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def joined_reference(model, world):
    """Users and items before their own graphs, from dense matrices."""
    train, width = world.split.train, model.config.width
    n_users = train.n_users
    adjacency = np.zeros((n_users + train.n_items,) * 2)
    for user, item in zip(train.users, train.items, strict=True):
        value = 1 / math.sqrt(train.user_degrees[user] * train.item_degrees[item])
        adjacency[user, n_users + item] = adjacency[n_users + item, user] = value
    preferences = model.user_preferences.weight.detach().numpy()
    weights = model.user_weights.weight.detach().numpy()
    users, items = [], []
    for m, (table, network) in enumerate(zip(model.features, model.networks, strict=True)):
        first, second = network[0], network[2]
        hidden = table().numpy() @ first.weight.detach().numpy().T + first.bias.detach().numpy()
        hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
        told = hidden @ second.weight.detach().numpy().T + second.bias.detach().numpy()
        start = np.concatenate([unit(preferences[:, m * width : (m + 1) * width]), unit(told)])
        walked = start + adjacency @ start + adjacency @ adjacency @ start
        users.append(weights[:, m : m + 1] * walked[:n_users])
        items.append(walked[n_users:])
    return np.concatenate(users, 1), np.concatenate(items, 1)


def matrix(graph):
    """The graph's matrix written out."""
    return graph.propagate(torch.eye(graph.shape[1])).numpy()


def test_scores_and_loss_of_two_modalities_are_the_published_formulas_written_densely():
    world = worlds.scattered(seed=3, idle_users=1)
    config = Dragon.Config(width=3, neighbours=4, companions=12, l2=0.2)
    model = Dragon.build(config, world.data, np.random.default_rng(0))
    users, items = joined_reference(model, world)
    items = items + matrix(model.item_graph) @ items
    np.testing.assert_allclose(
        model.scorer().scores(torch.arange(13)),
        (users + matrix(model.user_graph) @ users) @ items.T,
        rtol=1e-4,
        atol=1e-5,
    )
    model.begin_epoch(1, np.random.default_rng(1))
    assert not np.allclose(matrix(model.drawn), matrix(model.user_graph))
    users = users + matrix(model.drawn) @ users
    triples = [(1, 2, 3), (1, 4, 2), (5, 2, 3)]
    terms = model.loss_terms(worlds.batch(triples)).terms
    losses = [math.log2(1 + math.exp(users[u] @ (items[n] - items[p]))) for u, p, n in triples]
    assert terms["bpr"].item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    # User 1 stands twice in the batch and counts twice.
    chosen = model.user_preferences.weight.detach().numpy()[[1, 1, 5]]
    squares = (chosen[:, :3] ** 2).mean() + (chosen[:, 3:] ** 2).mean()
    squares += (model.user_weights.weight.detach().numpy() ** 2).mean()
    assert terms["l2"].item() == pytest.approx(0.2 * squares, rel=1e-5)


def test_short_lists_are_filled_up_for_training_only_and_anew_each_epoch():
    world = worlds.scattered(seed=3, n_users=30, n_items=20)
    model = Dragon.build(Dragon.Config(width=4), world.data, np.random.default_rng(0))
    before = model.scorer().scores(torch.arange(30))
    drawn = []
    for epoch in (1, 2, 1):
        model.begin_epoch(epoch, np.random.default_rng(epoch))
        drawn.append(model.drawn.matrix.values.tolist())
    assert drawn[0] == drawn[2] != drawn[1]
    torch.testing.assert_close(model.scorer().scores(torch.arange(30)), before, rtol=0, atol=0)


def test_users_start_near_an_even_share_of_the_modalities():
    world = worlds.scattered(n_users=200, n_items=40)
    weights = Dragon.build(Dragon.Config(), world.data, np.random.default_rng(0)).user_weights.weight
    torch.testing.assert_close(weights.sum(1), torch.ones(200))
    # Noise of deviation sqrt(2 / 202) in each of two places moves a share by about .035.
    assert 0.02 < weights[:, 0].std().item() < 0.05
    assert weights.mean().item() == pytest.approx(0.5)


def test_raw_vectors_are_trained_where_asked_for():
    world = worlds.checkerboard()
    frozen, trained = (
        Dragon.build(Dragon.Config(features_trainable=trainable), world.data, np.random.default_rng(0))
        for trainable in (False, True)
    )
    names = {name for name, _ in trained.named_parameters()} - {name for name, _ in frozen.named_parameters()}
    assert names == {"features.0.vectors", "features.1.vectors"}
