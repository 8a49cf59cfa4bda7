"""SOIL by hand, against its formulas written densely, and what it is without its parts."""

import math

import numpy as np
import pytest
import torch

import plain_beside as plain
import worlds
from alnico.contracts import TrainingData
from alnico.graphs.cache import GraphCache
from alnico.models.lightgcn import LightGcn
from alnico.models.soil import Soil

# User 0 has item 0, user 1 has items 0 and 1. By text, item 2 is like item 0 by .6 and like item 1 by .8.
TRAIN = worlds.interactions([(0, 0), (1, 0), (1, 1)], 2, 3)
CONTENT = worlds.features(3, text=worlds.modality([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]]))


def small(**settings):
    """A model of width 1 on this world, whose users are 4 and 6 and whose items are 2, 6 and 10."""
    config = Soil.Config(width=1, layers=1, neighbours=2, interests=2, added=1, **settings)
    model = Soil.build(config, TrainingData(TRAIN, CONTENT), np.random.default_rng(0))
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[4.0], [6.0]]))
        model.items.weight.copy_(torch.tensor([[2.0], [6.0], [10.0]]))
        # Whatever the content: a gate of one half.
        model.purifiers[0].gate.weight.zero_()
        model.purifiers[0].gate.bias.zero_()
    return model


def root(product):
    """1 / sqrt of a product of degrees."""
    return 1 / math.sqrt(product)


# The observed edges have the degrees 1 and 2 of users, 2, 1 and 0 of items.
OBSERVED = np.array([[root(1 * 2), 0, 0], [root(2 * 2), root(2 * 1), 0]])
# One more edge each, to item 2: of user 0 with .6, of user 1 with .8. Degrees 1.6 and 2.8; 2, 1 and 1.4.
ADDED = np.array(
    [
        [root(1.6 * 2), 0, 0.6 * root(1.6 * 1.4)],
        [root(2.8 * 2), root(2.8 * 1), 0.8 * root(2.8 * 1.4)],
    ]
)
# By mistake items 0 and 1 have the degrees of users 0 and 1; there is no user 2.
MISTAKEN = np.array(
    [
        [root(1.6 * 1.6), 0, 0.6 * root(1.6 * 1.4)],
        [root(2.8 * 1.6), root(2.8 * 2.8), 0.8 * root(2.8 * 1.4)],
    ]
)
# Interests are items 0 and 2 of both users. Edges: 0 to 0 twice 1, 0 to 2 twice .6, 1 to 0 once 0, 1 to 2 once .8.
# Row sums 3.2, .8 and 0; what is 0 is raised to 1e-7, which the sums below do not show.
INTERESTS = np.array([[2 / 3.2, 0, 0], [0, 0, 0], [0, 0, 0]])
# Items 0 and 1 are nearest to item 2, item 2 to item 1: row sums 1.6, 1.8 and 1.8.
ALIKE = np.array([[1 / 1.6, 0, 0.6 * root(1.6 * 1.8)], [0, 1 / 1.8, 0.8 / 1.8], [0, 0.8 / 1.8, 1 / 1.8]])


def by_hand(mistaken):
    """Behaviour and side of users, and of items."""
    users, items = np.array([4.0, 6.0]), np.array([2.0, 6.0, 10.0])
    block = OBSERVED + ADDED / 2
    behaviour = np.concatenate([users + block @ items, items + block.T @ users]) / 2
    view = (INTERESTS + ALIKE) @ (items / 2)
    gathered = (OBSERVED + (MISTAKEN if mistaken else ADDED) / 2) @ view
    # With one modality all is shared: the side is half of it.
    return behaviour, np.concatenate([gathered, view]) / 2


@pytest.mark.parametrize("mistaken", [True, False])
def test_scores_by_hand(mistaken):
    behaviour, side = by_hand(mistaken)
    final = behaviour + side
    scores = small(user_degrees_at_both_ends=mistaken).scorer().scores(torch.tensor([0, 1]))
    np.testing.assert_allclose(scores, np.outer(final[:2], final[2:]), rtol=1e-5)


def test_the_official_degrees_are_the_default():
    assert Soil.Config().user_degrees_at_both_ends
    assert not Soil.Config().features_trainable
    assert Soil.Config().l2 == 0


def test_loss_of_two_triples_by_hand():
    model = small(contrast=0.5, interest_contrast=0.25)
    behaviour, side = by_hand(True)
    final = behaviour + side
    terms = model.loss_terms(worlds.batch([(1, 0, 2), (1, 1, 2)])).terms
    losses = [math.log1p(math.exp(-final[1] * (item - final[4]))) for item in final[2:4]]
    assert terms["bpr"].item() == pytest.approx(sum(losses) / 2, rel=1e-4)
    # All numbers are above 0, so all cosines are 1: of two equal candidates each is right with log 2.
    assert terms["contrast"].item() == pytest.approx(0.5 * 2 * math.log(2), rel=1e-5)
    assert terms["interest contrast"].item() == pytest.approx(0.25 * 2 * math.log(2), rel=1e-5)
    assert set(terms) == {"bpr", "contrast", "interest contrast"}


@pytest.mark.parametrize("mistaken", [True, False])
def test_scores_and_loss_are_the_formulas(mistaken):
    # More items than users, so that some items are no user's namesake, and a user without edges.
    world = worlds.scattered(seed=2, n_users=8, idle_users=1, n_items=20, per_user=4)
    train, content = world.split.train, world.features
    n_users = 9
    config = Soil.Config(
        width=4,
        layers=2,
        item_layers=2,
        neighbours=4,
        interests=3,
        added=3,
        contrast=0.3,
        interest_contrast=0.2,
        user_degrees_at_both_ends=mistaken,
    )
    model = Soil.build(config, world.data, np.random.default_rng(0))

    edges = plain.second_order(train, content, 3)
    second = plain.symmetric(edges)
    matrix = plain.symmetric(plain.taken(train)) + second / 2
    block = second[:n_users, n_users:]
    if mistaken:
        degrees = edges.sum(1)
        namesakes = [
            degrees[item] if item < n_users and degrees[item] > 0 else edges[:, item].sum()
            for item in range(20)
        ]
        products = np.outer(degrees, namesakes)
        block = np.divide(edges, np.sqrt(products), out=np.zeros_like(edges), where=edges > 0)
    block = plain.symmetric(plain.taken(train))[:n_users, n_users:] + block / 2
    sums, there = plain.interests(train, content, 3)
    graphs = [
        np.where(there[name], np.maximum(plain.by_row_sums(sums[name]), 1e-7), 0)
        + plain.nearest_graph(modality, 4, 1e-7)
        for name, modality in content.items()
    ]

    behaviour = plain.mean_of_layers(matrix, plain.identities(model), 2)
    views = plain.gated_views(model, content, graphs, block)
    side = (views[0] + views[1] - plain.attention(model.attention, views)) / 3
    final = behaviour + side
    scores = model.scorer().scores(torch.arange(n_users))
    np.testing.assert_allclose(scores, final[:n_users] @ final[n_users:].T, rtol=1e-4, atol=1e-6)

    batch = worlds.random_batch(train, 24, seed=1)
    triples, terms = plain.Triples(batch, n_users), model.loss_terms(batch).terms
    assert terms["bpr"].item() == pytest.approx(triples.bpr(final), rel=1e-5)
    assert terms["contrast"].item() == pytest.approx(0.3 * triples.contrast(side, behaviour, 0.2), rel=1e-4)
    users, positives = final[triples.users], triples.positives
    across = plain.contrast(users, behaviour[positives], 0.2) + plain.contrast(users, side[positives], 0.2)
    assert terms["interest contrast"].item() == pytest.approx(0.2 * across, rel=1e-4)


def test_without_second_order_and_content_it_is_lightgcn():
    world = worlds.scattered()
    config = Soil.Config(width=4, layers=2, added=0, interest_contrast=0.0)
    model = Soil.build(config, world.data, np.random.default_rng(0))
    lightgcn = LightGcn.build(
        LightGcn.Config(width=4, layers=2, l2=0.0), world.data, np.random.default_rng(0)
    )
    # With no edge beyond the history's own, half of the same graph is added once more.
    torch.testing.assert_close(model.graph.matrix.values, 1.5 * lightgcn.graph.matrix.values)
    assert torch.equal(model.graph.matrix.columns, lightgcn.graph.matrix.columns)
    model.graph = lightgcn.graph
    with torch.no_grad():
        lightgcn.users.weight.copy_(model.users.weight)
        lightgcn.items.weight.copy_(model.items.weight)
        for purify in model.purifiers:
            purify.gate.bias.fill_(-1e4)
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    ours, theirs = model.loss_terms(batch).terms, lightgcn.loss_terms(batch).terms
    torch.testing.assert_close(ours["bpr"], theirs["bpr"])
    assert "interest contrast" not in ours
    everybody = torch.arange(12)
    torch.testing.assert_close(model.scorer().scores(everybody), lightgcn.scorer().scores(everybody))


def test_graphs_are_built_once_per_data(tmp_path):
    world = worlds.scattered()
    data = TrainingData(world.split.train, world.features, graphs=GraphCache(tmp_path))
    models = [Soil.build(Soil.Config(width=4), data, np.random.default_rng(seed)) for seed in (0, 1)]
    # Neighbours of each modality, interests of both together, and edges of the second order.
    kinds = sorted(path.name.split("-")[0] for path in tmp_path.iterdir())
    assert kinds == ["interest_edges", "nearest_neighbours", "nearest_neighbours", "second_order_edges"]
    for one, other in zip(models[0].item_graphs, models[1].item_graphs, strict=True):
        assert torch.equal(one.matrix.values, other.matrix.values)
