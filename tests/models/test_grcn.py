"""GRCN by hand, and against its formulas with full tables."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

import worlds
from alnico.contracts import TrainingData
from alnico.models.grcn import Grcn


def small(**settings):
    """One user who took items 0 and 1; item 2 aside."""
    train = worlds.interactions([(0, 0), (0, 1)], 1, 3)
    text = worlds.modality([[2.0, 0.0], [0.0, 3.0], [-100.0, 1.0]])
    data = TrainingData(train, worlds.features(3, text=text))
    model = Grcn.build(Grcn.Config(width=2, **settings), data, np.random.default_rng(0))
    with torch.no_grad():
        model.projections[0].weight.copy_(torch.eye(2))
        model.projections[0].bias.zero_()
        model.user_preferences[0].weight.copy_(torch.tensor([[5.0, 0.0]]))
        model.users.weight.copy_(torch.tensor([[2.0, 0.0]]))
        model.items.weight.copy_(torch.tensor([[0.0, 4.0], [3.0, 0.0], [0.0, -1.0]]))
        model.user_confidence.weight.copy_(torch.tensor([[0.5]]))
        model.item_confidence.weight.copy_(torch.tensor([[0.25], [-1.0], [9.0]]))
    return model


# Content of length one: preference (1, 0), items (1, 0), (0, 1), and leaky (-1, 1) / sqrt(2). The user hears item 0
# with e / (e + 1) and item 1 with the rest; each item hears its only user with 1.
SHARE = math.e / (math.e + 1)
# Added to what they have: (1 + SHARE, 1 - SHARE), (1, 0) + (1, 0), (0, 1) + (1, 0), and item 2 as it is.
CONTENT = [[1 + SHARE, 1 - SHARE], [2, 0], [1, 1], [-1 / math.sqrt(2), 1 / math.sqrt(2)]]
# Weights: to the user .25 SHARE from item 0 and nothing from item 1, whom nobody trusts; to each item .5 from the user.
# Identities of length one (1, 0), (0, 1), (1, 0), (0, -1); first hop of the user (0, .25 SHARE), of items (.5, 0);
# second hop of the user (.125 SHARE, 0), of items (0, .125 SHARE).
HOP = 0.25 * SHARE
IDENTITY = [[1 + HOP / 2, HOP], [0.5, 1 + HOP / 2], [1.5, HOP / 2], [0, -1]]
FINAL = np.hstack([IDENTITY, CONTENT])


def test_scores_by_hand():
    np.testing.assert_allclose(small().scorer().scores(torch.tensor([0])), [FINAL[1:] @ FINAL[0]], rtol=1e-5)


def test_loss_of_a_triple_by_hand():
    terms = small(l2=0.1).loss_terms(worlds.batch([(0, 1, 2)])).terms
    gap = float((FINAL[2] - FINAL[3]) @ FINAL[0])
    assert terms["bpr"].item() == pytest.approx(math.log1p(math.exp(-gap)), rel=1e-5)
    # Mean squares of the raw tables: user 4 / 2, positive 9 / 2 and negative 1 / 2, each pair of them with the user's;
    # preferences 25 / 2, once for the whole table and once for the batch.
    assert terms["l2"].item() == pytest.approx(0.1 * (2 + (4.5 + 0.5) / 2 + 12.5 + 12.5), rel=1e-6)


def test_rounds_of_routing_to_items_leave_preferences_as_they_are():
    one, five = (small(rounds=rounds).scorer().scores(torch.tensor([0])) for rounds in (1, 5))
    assert torch.equal(one, five)


def test_routing_to_users_turns_preferences_to_what_they_took():
    model = small(routed="users", rounds=1)
    # (1, 0) + SHARE (1, 0) + (1 - SHARE) (0, 1), of length one.
    turned = np.array([1 + SHARE, 1 - SHARE])
    turned /= np.linalg.norm(turned)
    np.testing.assert_allclose(model._content()[0][0].detach(), turned, rtol=1e-5)


def attended(mask, left, right):
    """Softmax of products over where the mask is, zero elsewhere."""
    raised = (left @ right.T).exp() * mask
    return raised / raised.sum(1, keepdim=True).clamp_min(1e-30)


def dense_scores(model, train):
    """The same formulas with tables of nodes x nodes."""
    n_users, n_nodes = train.n_users, train.n_users + train.n_items
    joined = torch.zeros(n_nodes, n_nodes)
    users, items = torch.tensor(train.users), torch.tensor(train.items) + n_users
    joined[users, items] = joined[items, users] = 1
    confidence = torch.cat([model.user_confidence.weight, model.item_confidence.weight])
    sides, weights = [], []
    parts = zip(model.features, model.projections, model.user_preferences, strict=True)
    for place, (table, project, prefer) in enumerate(parts):
        items = functional.leaky_relu(project(table.vectors))
        items, users = items / items.norm(dim=1, keepdim=True), prefer.weight
        for _ in range(model.config.rounds):
            users = users / users.norm(dim=1, keepdim=True)
            if model.config.routed == "users":
                users = users + attended(joined[:n_users, n_users:], users, items) @ items
        nodes = torch.cat([users / users.norm(dim=1, keepdim=True), items])
        shares = attended(joined, nodes, nodes)
        sides.append(nodes + shares @ nodes)
        # Of the node that speaks: the column.
        weights.append(shares * confidence[:, place])
    refined = torch.stack(weights).max(0).values.relu()
    layer = torch.cat([model.users.weight, model.items.weight])
    layer = total = layer / layer.norm(dim=1, keepdim=True)
    for _ in range(model.config.layers):
        layer = refined @ layer
        total = total + layer
    final = torch.cat([total, *sides], dim=1)
    return final[:n_users] @ final[n_users:].T


@pytest.mark.parametrize("routed", ["items", "users"])
@pytest.mark.parametrize("layers", [1, 3])
def test_values_and_gradients_are_those_of_full_tables(routed, layers):
    world = worlds.scattered(seed=1, widths={"image": 6, "text": 5, "sound": 4}, idle_users=1)
    config = Grcn.Config(width=8, layers=layers, routed=routed, rounds=2, features_trainable=True)
    model = Grcn.build(config, world.data, np.random.default_rng(0))
    with torch.no_grad():
        # Large enough for second hops to matter.
        model.user_confidence.weight.mul_(4)
        model.item_confidence.weight.mul_(4)
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    dense = dense_scores(model, world.split.train)
    gaps = dense[batch.users, batch.positives] - dense[batch.users, batch.negatives]
    found = []
    for loss in (model.loss_terms(batch).terms["bpr"], -functional.logsigmoid(gaps).mean()):
        model.zero_grad()
        loss.backward()
        found.append((loss.detach(), {name: p.grad for name, p in model.named_parameters()}))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model.scorer().scores(torch.arange(13)), dense.detach(), rtol=1e-4, atol=1e-5)


def test_where_nobody_is_trusted_identities_stand_alone():
    world = worlds.scattered()
    model = Grcn.build(Grcn.Config(width=4), world.data, np.random.default_rng(0))
    with torch.no_grad():
        model.user_confidence.weight.fill_(-1)
        model.item_confidence.weight.fill_(-1)
    found = model.scorer().state().tensors
    np.testing.assert_allclose(
        found["users"][:, :4], functional.normalize(model.users.weight, dim=1).detach(), rtol=1e-6
    )
    np.testing.assert_allclose(
        found["items"][:, :4], functional.normalize(model.items.weight, dim=1).detach(), rtol=1e-6
    )


def test_vectors_are_frozen_unless_asked_for():
    world = worlds.scattered()
    names = [
        {name for name, _ in Grcn.build(config, world.data, np.random.default_rng(0)).named_parameters()}
        for config in (Grcn.Config(width=4), Grcn.Config(width=4, features_trainable=True))
    ]
    assert names[1] - names[0] == {"features.0.vectors", "features.1.vectors"}
