"""GUME by hand, against its formulas written densely, and what it is without its parts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import plain_beside as plain
import worlds
from alnico.contracts import TrainingData
from alnico.models.gume import Gume
from alnico.models.mgcn import Mgcn

QUIET = {"contrast": 0.0, "moments": 0.0, "user_contrast": 0.0, "l2": 0.0, "extended_l2": 0.0}


def path(**settings):
    """One user between items 0 and 1; item 2 aside. By text, items 2 and 0 are alike and item 1 stands alone."""
    train = worlds.interactions([(0, 0), (0, 1)], 1, 3)
    vectors = worlds.modality([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    lists = {"text": worlds.neighbour_lists([[(2, 0.9)], [], [(0, 0.9)]], 1)}
    data = TrainingData(train, worlds.features(3, text=vectors), lists)
    config = Gume.Config(width=1, layers=1, item_layers=1, neighbours=2, linked=2, **settings)
    model = Gume.build(config, data, np.random.default_rng(0))
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[4.0]]))
        model.items.weight.copy_(torch.tensor([[2.0], [6.0], [10.0]]))
        # Whatever the content: a gate of one half.
        model.purifiers[0].gate.weight.zero_()
        model.purifiers[0].gate.bias.zero_()
        for table in model.users_by_modality:
            table.weight.copy_(torch.tensor([[8.0]]))
    return model


def root(product):
    """1 / sqrt of a product of degrees."""
    return 1 / math.sqrt(product)


# Degrees: 2 of the user, 2, 1 and 1 of the items, since items 0 and 2 link to each other.
GRAPH = np.array(
    [
        [0, root(2 * 2), root(2 * 1), 0],
        [root(2 * 2), 0, 0, root(2 * 1)],
        [root(2 * 1), 0, 0, 0],
        [0, root(2 * 1), 0, 0],
    ]
)
TABLE = np.array([4.0, 2.0, 6.0, 10.0])
BEHAVIOUR = (TABLE + GRAPH @ TABLE) / 2
# Identities come through as 1, 3 and 5. Rows 0 and 2 of the item graph have the sum 1 + .9.
ITEMS = np.array([(1 + 0.9 * 5) / 1.9, 3, (5 + 0.9 * 1) / 1.9])
# With one modality all is shared: the side is half of it.
SIDE = np.concatenate([GRAPH[:1, 1:] @ ITEMS, ITEMS]) / 2
FINAL = BEHAVIOUR + SIDE
EXTENDED_TABLE = np.concatenate([[8.0], ITEMS])
EXTENDED = (EXTENDED_TABLE + GRAPH @ EXTENDED_TABLE) / 2


def test_scores_by_hand():
    scores = path().scorer().scores(torch.tensor([0]))
    np.testing.assert_allclose(scores, [FINAL[0] * FINAL[1:]], rtol=1e-6)


def test_loss_of_two_triples_by_hand():
    model = path(contrast=0.5, moments=0.7, user_contrast=0.3, l2=0.1, extended_l2=0.2)
    batch = replace(worlds.batch([(0, 0, 2), (0, 1, 2)]), planned=5)
    terms = model.loss_terms(batch).terms
    losses = [math.log1p(math.exp(-FINAL[0] * (item - FINAL[3]))) for item in FINAL[1:3]]
    assert terms["bpr"].item() == pytest.approx(sum(losses) / 2, rel=1e-5)
    # All numbers are above 0 and noise keeps their sign, so all cosines are 1: of two equal candidates each is right
    # with log 2. Two contrasts of the first kind, three of users.
    assert terms["contrast"].item() == pytest.approx(0.5 * 2 * math.log(2), rel=1e-5)
    assert terms["user contrast"].item() == pytest.approx(0.3 * 3 * math.log(2), rel=1e-5)
    squares = 2 * FINAL[0] ** 2 + FINAL[1] ** 2 + FINAL[2] ** 2 + 2 * FINAL[3] ** 2
    assert terms["l2"].item() == pytest.approx(0.1 * squares / (2 * 5), rel=1e-5)
    positives = EXTENDED[1] ** 2 + EXTENDED[2] ** 2
    assert terms["extended l2"].item() == pytest.approx(0.2 * positives / (2 * 5), rel=1e-5)
    # One modality has no other to differ from.
    assert "moments" not in terms


def formulas(model, world, config):
    """Behaviour, views, side and users' own tables on the whole graph, each modality propagated by itself."""
    train, content = world.split.train, world.features
    n_users = train.n_users
    block = plain.taken(train)
    links = np.logical_and.reduce(
        [plain.nearest_graph(modality, config.linked) != 0 for modality in content.values()]
    )
    np.fill_diagonal(links, False)
    matrix = np.zeros((n_users + train.n_items,) * 2)
    matrix[:n_users, n_users:], matrix[n_users:, :n_users] = block, block.T
    matrix[n_users:, n_users:] = links
    matrix = plain.by_row_sums(matrix)
    graphs = [plain.nearest_graph(modality, config.neighbours) for modality in content.values()]
    behaviour = plain.mean_of_layers(matrix, plain.identities(model), config.layers)
    views = plain.gated_views(model, content, graphs, matrix[:n_users, n_users:])
    shared = plain.attention(model.attention, views)
    gates = [plain.logistic(plain.linear(gate, behaviour)) for gate in model.gates]
    alone = [gate * (view - shared) for gate, view in zip(gates, views, strict=True)]
    side = (sum(alone) + shared) / (len(views) + 1)
    tables = [
        np.concatenate([plain.numbers(table.weight), view[n_users:]])
        for table, view in zip(model.users_by_modality, views, strict=True)
    ]
    extended = sum(plain.mean_of_layers(matrix, table, config.layers) for table in tables) / len(tables)
    return links, behaviour, views, side, extended


def test_scores_and_loss_are_the_formulas():
    world = worlds.scattered(seed=2, idle_users=1)
    config = Gume.Config(
        width=4,
        layers=3,
        item_layers=2,
        neighbours=4,
        linked=6,
        contrast=0.3,
        temperature=0.4,
        moments=0.7,
        user_contrast=0.2,
        user_temperature=0.5,
        noise=0.0,
        l2=0.05,
        extended_l2=0.6,
    )
    model = Gume.build(config, world.data, np.random.default_rng(0))
    links, behaviour, views, side, extended = formulas(model, world, config)
    # There are edges between items, and some go one way only.
    assert links.any()
    assert (links != links.T).any()
    final = behaviour + side
    scores = model.scorer().scores(torch.arange(13))
    np.testing.assert_allclose(scores, final[:13] @ final[13:].T, rtol=1e-4, atol=1e-6)

    batch = replace(worlds.random_batch(world.split.train, 24, seed=1), planned=32)
    triples, terms = plain.Triples(batch, 13), model.loss_terms(batch).terms
    users = triples.users
    gap = abs(views[0].var(ddof=1) - views[1].var(ddof=1)) + abs(views[0].mean() - views[1].mean())
    of_users = [
        plain.contrast(one[users], other[users], 0.5)
        for one, other in ((extended, side), (side, side), (extended, extended))
    ]
    expected = {
        "bpr": triples.bpr(final),
        "contrast": 0.3 * triples.contrast(side, behaviour, 0.4),
        "l2": 0.05 * triples.half_l2(final),
        "moments": 0.7 * gap,
        "user contrast": 0.2 * sum(of_users),
        "extended l2": 0.6 * triples.half_l2(extended, triples.positives),
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-4)


def test_three_modalities_have_the_mean_gap_of_their_pairs():
    world = worlds.scattered(seed=2, widths={"image": 4, "text": 3, "sound": 2})
    config = Gume.Config(width=4, neighbours=3, linked=8)
    model = Gume.build(config, world.data, np.random.default_rng(0))
    _, _, views, _, _ = formulas(model, world, config)
    gaps = [
        abs(views[one].var(ddof=1) - views[other].var(ddof=1)) + abs(views[one].mean() - views[other].mean())
        for one, other in ((0, 1), (0, 2), (1, 2))
    ]
    found = model.loss_terms(worlds.random_batch(world.split.train, 24, seed=1)).terms["moments"].item()
    assert found == pytest.approx(0.1 * sum(gaps) / 3, rel=1e-4)


def test_users_are_contrasted_under_noise_that_is_drawn_anew():
    world = worlds.scattered(seed=2)
    batch = worlds.random_batch(world.split.train, 24, seed=1)

    def loss(noise):
        config = Gume.Config(width=4, user_contrast=1.0, noise=noise)
        torch.manual_seed(0)
        model = Gume.build(config, world.data, np.random.default_rng(0))
        return [model.loss_terms(batch).terms["user contrast"].item() for _ in range(2)]

    still, moved = loss(0.0), loss(0.5)
    assert still[0] == still[1]
    assert moved[0] != moved[1]


def test_without_links_and_its_own_losses_it_is_mgcn():
    world = worlds.scattered()
    shape = {"width": 4, "layers": 2, "item_layers": 1, "neighbours": 4, "l2": 0.1, "contrast": 0.3}
    shape["temperature"] = 0.2
    mgcn = Mgcn.build(Mgcn.Config(**shape), world.data, np.random.default_rng(0))
    # A neighbourhood of one is the item alone, and two have nothing else in common.
    config = Gume.Config(**{**QUIET, **shape}, linked=1)
    gume = Gume.build(config, world.data, np.random.default_rng(0))
    assert {name for name, _ in gume.named_parameters()} == {name for name, _ in mgcn.named_parameters()}
    gume.load_state_dict(mgcn.state_dict())
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    ours, theirs = gume.loss_terms(batch).terms, mgcn.loss_terms(batch).terms
    assert set(ours) == set(theirs)
    for name, term in theirs.items():
        torch.testing.assert_close(ours[name], term)
    everybody = torch.arange(12)
    torch.testing.assert_close(gume.scorer().scores(everybody), mgcn.scorer().scores(everybody))
