"""BM3 by hand, and what it is without its parts."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.contracts import TrainingData
from alnico.models.bm3 import Bm3
from alnico.models.lightgcn import LightGcn

ROOT = math.sqrt(2)
USER, ITEMS = np.array([4.0, 1.0]), np.array([[2.0, -1.0], [6.0, 3.0], [1.0, 1.0]])
SQUARE, SHIFT = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([0.5, -1.0])
TEXTS, TURN, LIFT = np.array([[1.0], [2.0], [-1.0]]), np.array([[3.0], [1.0]]), np.array([0.0, 2.0])
TRIPLES = [(0, 0, 2), (0, 1, 2), (0, 0, 2)]


def path(**settings):
    """One user between items 0 and 1, item 2 aside, one modality of one number."""
    content = worlds.features(3, text=worlds.modality(TEXTS))
    data = TrainingData(worlds.interactions([(0, 0), (0, 1)], 1, 3), content)
    model = Bm3.build(Bm3.Config(**{"width": 2, "dropout": 0.0, **settings}), data, np.random.default_rng(0))
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor(USER)[None])
        model.items.weight.copy_(torch.tensor(ITEMS))
        model.predictor.weight.copy_(torch.tensor(SQUARE))
        model.predictor.bias.copy_(torch.tensor(SHIFT))
        for project in model.projections:
            project.weight.copy_(torch.tensor(TURN))
            project.bias.copy_(torch.tensor(LIFT))
    return model


def predicted(rows):
    """q of these rows."""
    return rows @ SQUARE.T + SHIFT


def gap(one, other):
    """One minus the cosine."""
    return 1 - float(one @ other) / (np.linalg.norm(one) * np.linalg.norm(other))


# One hop and the mean with the first layer; items get their identity once more.
FINAL_USER = (USER + (ITEMS[0] + ITEMS[1]) / ROOT) / 2
FINAL_ITEMS = (ITEMS + np.array([[1], [1], [0]]) * USER / ROOT) / 2 + ITEMS
CONTENT = TEXTS @ TURN.T + LIFT


def test_scores_by_hand():
    scores = predicted(FINAL_ITEMS) @ predicted(FINAL_USER)
    np.testing.assert_allclose(path().scorer().scores(torch.tensor([0]))[0], scores, rtol=1e-5)


def test_loss_by_hand():
    terms = path(content_weight=1.5, l2=0.3).loss_terms(worlds.batch(TRIPLES, [1.0, 2.0, 4.0])).terms
    interactions, content = 0.0, 0.0
    for item, weight in zip([0, 1, 0], [1.0, 2.0, 4.0], strict=True):
        interactions += weight * gap(predicted(FINAL_USER), FINAL_ITEMS[item])
        interactions += weight * gap(predicted(FINAL_ITEMS[item]), FINAL_USER)
        told = predicted(CONTENT[item])
        content += weight * (gap(told, FINAL_ITEMS[item]) + gap(told, CONTENT[item]))
    assert terms["interactions"].item() == pytest.approx(interactions / 3, rel=1e-4)
    assert terms["content/text"].item() == pytest.approx(1.5 * content / 3, rel=1e-4)
    # Over all users and items, not squared, divided by the number of items.
    norms = np.linalg.norm(FINAL_USER) + np.linalg.norm(FINAL_ITEMS)
    assert terms["l2"].item() == pytest.approx(0.3 * norms / 3, rel=1e-5)


def test_negatives_are_not_read():
    model = path()
    one, other = (model.loss_terms(worlds.batch([(0, 0, n), (0, 1, n)])).terms for n in (1, 2))
    assert {name: term.item() for name, term in one.items()} == {n: t.item() for n, t in other.items()}


def test_targets_send_no_gradient_back():
    model = path(content_weight=0.0, l2=0.0)
    model.loss_terms(worlds.batch([(0, 0, 2)])).terms["interactions"].backward()
    user = torch.tensor(USER, dtype=torch.float32, requires_grad=True)
    items = torch.tensor(ITEMS, dtype=torch.float32)
    final_user = (user + (items[0] + items[1]) / ROOT) / 2
    final_item = (items[0] + user / ROOT) / 2 + items[0]
    square, shift = (torch.tensor(part, dtype=torch.float32) for part in (SQUARE, SHIFT))
    for source, target in ((final_user, final_item), (final_item, final_user)):
        told = square @ source + shift
        (-torch.cosine_similarity(told, target.detach(), dim=0)).backward(retain_graph=True)
    torch.testing.assert_close(model.users.weight.grad[0], user.grad)


def test_a_node_has_one_target_however_often_it_stands():
    model = path(dropout=0.5, width=2).train()
    found = []
    for times in (1, 5):
        torch.manual_seed(3)
        found.append(model.loss_terms(worlds.batch([(0, 0, 2)] * times)).terms)
    for name, term in found[0].items():
        torch.testing.assert_close(term, found[1][name])


def test_targets_lose_entries_in_training_only():
    world = worlds.scattered()
    config = Bm3.Config(width=8, dropout=0.5)
    model = Bm3.build(config, world.data, np.random.default_rng(0))
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    whole = model.eval().loss_terms(batch).terms["interactions"]
    blurred = [model.train().loss_terms(batch).terms["interactions"].item() for _ in range(2)]
    assert len({*blurred, whole.item()}) == 3
    torch.testing.assert_close(model.eval().loss_terms(batch).terms["interactions"], whole)


def test_without_norms_only_the_rows_of_the_batch_are_computed_to_the_same_end():
    world = worlds.scattered()
    batch = worlds.random_batch(world.split.train, 8, seed=1)
    found = []
    for l2 in (0.0, 0.1):
        config = Bm3.Config(width=4, layers=2, dropout=0.0, l2=l2)
        terms = dict(Bm3.build(config, world.data, np.random.default_rng(0)).loss_terms(batch).terms)
        assert ("l2" in terms) == (l2 > 0)
        terms.pop("l2", None)
        found.append(terms)
    for name, term in found[0].items():
        torch.testing.assert_close(term, found[1][name])


def test_with_a_predictor_that_changes_nothing_it_ranks_as_lightgcn_with_identities_added():
    world = worlds.scattered()
    config = Bm3.Config(width=4, layers=2, content_weight=0.0)
    model = Bm3.build(config, world.data, np.random.default_rng(0))
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"users", "items", "predictor"}
    plain = LightGcn.build(LightGcn.Config(width=4, layers=2), world.data, np.random.default_rng(0))
    with torch.no_grad():
        model.predictor.weight.copy_(torch.eye(4))
        model.predictor.bias.zero_()
        plain.users.weight.copy_(model.users.weight)
        plain.items.weight.copy_(model.items.weight)
    ours, theirs = model.scorer().state().tensors, plain.scorer().state().tensors
    torch.testing.assert_close(ours["users"], theirs["users"])
    torch.testing.assert_close(ours["items"], theirs["items"] + model.items.weight.detach())


def test_every_modality_has_terms_of_its_own():
    world = worlds.scattered(widths={"sound": 2, "smell": 3, "touch": 4})
    model = Bm3.build(Bm3.Config(width=4), world.data, np.random.default_rng(0))
    terms = model.loss_terms(worlds.random_batch(world.split.train, 8, seed=1)).terms
    assert set(terms) == {"l2", "interactions", "content/sound", "content/smell", "content/touch"}
