"""MMGCN by hand, and what its parts have no influence on."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.contracts import TrainingData
from alnico.models.mmgcn import Mmgcn


def fill(parameter, values):
    """Put these numbers into a tensor."""
    with torch.no_grad():
        parameter.copy_(torch.tensor(values))


def path():
    """One user between two items, one modality of two numbers, two layers, identities of one number."""
    train = worlds.interactions([(0, 0), (0, 1)], 1, 2)
    data = TrainingData(train, worlds.features(2, text=worlds.modality([[3.0, 4.0], [0.0, -5.0]])))
    model = Mmgcn.build(Mmgcn.Config(width=1, layers=2), data, np.random.default_rng(0))
    fill(model.users.weight, [[0.1]])
    fill(model.items.weight, [[0.2], [0.3]])
    view = model.views[0]
    fill(model.user_preferences[0].weight, [[0.0, 1.0]])
    first, second = view.layers
    fill(first.gather.weight, [[1.0, 0.0], [0.0, 1.0]])
    fill(first.keep.weight, [[1.0, 1.0]])
    fill(first.keep.bias, [0.5])
    fill(first.join.weight, [[1.0, 10.0, 2.0]])
    fill(first.join.bias, [-0.2])
    fill(second.gather.weight, [[0.5]])
    fill(second.keep.weight, [[-1.0]])
    fill(second.keep.bias, [0.0])
    fill(second.join.weight, [[1.0, 1.0]])
    fill(second.join.bias, [0.0])
    return model


# Start: the user at (0, 1), items at (.6, .8) and (0, -1).
# Layer 1. Means: user (.3, -.1), which leaks to (.3, -.001); items (0, 1).
#   Kept: user 1 + .5 + .1 = 1.6; items 1.4 + .5 + .2 = 2.1 and leak(-.5) + .3 = .295.
#   Joined: user .3 - .01 + 3.2 - .2 = 3.29; items 10 + 4.2 - .2 = 14 and 10 + .59 - .2 = 10.39.
# Layer 2. Means halved: user (14 + 10.39) / 4 = 6.0975; items 1.645.
#   Kept: user -.0329 + .1; items -.14 + .2 and -.1039 + .3.
USER = 6.0975 + 0.0671
ITEMS = [1.645 + 0.06, 1.645 + 0.1961]


def test_scores_by_hand():
    found = path().scorer().scores(torch.tensor([0]))
    np.testing.assert_allclose(found, [[USER * item for item in ITEMS]], rtol=1e-5)


def test_loss_of_a_triple_by_hand():
    terms = path().loss_terms(worlds.batch([(0, 0, 1)])).terms
    assert set(terms) == {"bpr"}
    assert terms["bpr"].item() == pytest.approx(math.log1p(math.exp(USER * (ITEMS[1] - ITEMS[0]))), rel=1e-5)


def leaky(x):
    """The activation."""
    return np.where(x > 0, x, 0.01 * x)


def plain(model, world, names):
    """The published formula with dense matrices: users and items after all layers."""
    train = world.split.train
    n_users, n_items = train.n_users, train.n_items
    taken = np.zeros((n_users, n_items))
    taken[train.users, train.items] = 1
    adjacency = np.block([[np.zeros((n_users, n_users)), taken], [taken.T, np.zeros((n_items, n_items))]])
    mean = adjacency / np.maximum(adjacency.sum(1, keepdims=True), 1)
    weights = {name: value.numpy().astype(float) for name, value in model.state_dict().items()}
    identities = np.concatenate([weights["users.weight"], weights["items.weight"]])
    found = []
    for number, name in enumerate(names):
        start = f"views.{number}"
        vectors = model.views[number].table().detach().numpy().astype(float)
        if name in model.config.reduced:
            vectors = vectors @ weights[f"{start}.reduce.weight"].T + weights[f"{start}.reduce.bias"]
        x = np.concatenate([weights[f"user_preferences.{number}.weight"], vectors])
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        for layer in range(model.config.layers):
            here = f"{start}.layers.{layer}"
            gathered = leaky(mean @ (x @ weights[f"{here}.gather.weight"].T))
            kept = leaky(x @ weights[f"{here}.keep.weight"].T + weights[f"{here}.keep.bias"]) + identities
            both = np.concatenate([gathered, kept], axis=1)
            x = leaky(both @ weights[f"{here}.join.weight"].T + weights[f"{here}.join.bias"])
        found.append(x)
    final = sum(found) / len(found)
    return final[:n_users], final[n_users:]


@pytest.mark.parametrize("train_ids", [False, True])
def test_scores_and_loss_are_the_published_formula(train_ids):
    world = worlds.scattered(idle_users=1)
    config = Mmgcn.Config(width=4, reduced={"image": 6}, train_ids=train_ids)
    model = Mmgcn.build(config, world.data, np.random.default_rng(0))
    users, items = plain(model, world, ["image", "text"])
    found = model.scorer().scores(torch.arange(13))
    np.testing.assert_allclose(found, users @ items.T, rtol=1e-4, atol=1e-6)
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    gaps = users[batch.users] * (items[batch.positives] - items[batch.negatives])
    expected = np.log1p(np.exp(-gaps.sum(1))).mean()
    assert model.loss_terms(batch).terms["bpr"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("reduced", [{}, {"image": 6}, {"image": 6, "text": 2}])
@pytest.mark.parametrize("train_ids", [False, True])
def test_averages_taken_once_an_epoch_change_neither_loss_nor_gradient(reduced, train_ids):
    world = worlds.scattered()
    config = Mmgcn.Config(width=4, reduced=reduced, train_ids=train_ids)
    model = Mmgcn.build(config, world.data, np.random.default_rng(0))
    batch = worlds.random_batch(world.split.train, 32, seed=1)

    def learned():
        loss = model.loss_terms(batch).terms["bpr"]
        return loss, *torch.autograd.grad(loss, list(model.parameters()))

    before = learned()
    model.begin_epoch(1, np.random.default_rng(0))
    assert any(model.constants) == (not train_ids or "text" not in reduced)
    for ours, theirs in zip(learned(), before, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_identities_and_preferences_stay_where_they_start_and_are_stored():
    world = worlds.scattered()
    model = Mmgcn.build(Mmgcn.Config(width=4), world.data, np.random.default_rng(0))
    stay = {"users.weight", "items.weight", "user_preferences.0.weight", "user_preferences.1.weight"}
    assert not stay & {name for name, _ in model.named_parameters()}
    assert stay <= set(model.state_dict())
    other = Mmgcn.build(Mmgcn.Config(width=4), world.data, np.random.default_rng(1))
    everybody = torch.arange(12)
    assert not torch.equal(other.scorer().scores(everybody), model.scorer().scores(everybody))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.scorer().scores(everybody), model.scorer().scores(everybody))
    trained = Mmgcn.build(Mmgcn.Config(width=4, train_ids=True), world.data, np.random.default_rng(0))
    assert stay <= {name for name, _ in trained.named_parameters()}


def test_regulariser_by_hand():
    world = worlds.scattered()
    config = Mmgcn.Config(width=4, train_ids=True, l2=0.5)
    model = Mmgcn.build(config, world.data, np.random.default_rng(0))
    triples = [(1, 2, 3), (1, 4, 2), (5, 2, 3)]
    users, items = model.users.weight.detach().numpy(), model.items.weight.detach().numpy()
    squares = [(users[user] ** 2 + items[item] ** 2).mean() for user, *pair in triples for item in pair]
    of_image = (model.user_preferences[0].weight.detach().numpy() ** 2).mean()
    expected = 0.5 * (sum(squares) / 6 + of_image)
    assert model.loss_terms(worlds.batch(triples)).terms["l2"].item() == pytest.approx(expected, rel=1e-5)
    still = Mmgcn.build(Mmgcn.Config(width=4, l2=0.5), world.data, np.random.default_rng(0))
    assert set(still.loss_terms(worlds.batch(triples)).terms) == {"bpr"}


def test_the_start_is_drawn_for_users_and_items_together():
    world = worlds.scattered(n_users=300, n_items=100)
    model = Mmgcn.build(Mmgcn.Config(width=100), world.data, np.random.default_rng(0))
    # Deviation sqrt(2 / (400 + 100)) for both.
    for table in (model.users, model.items):
        assert table.weight.std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.03)
