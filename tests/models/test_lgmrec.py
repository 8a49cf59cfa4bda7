"""LGMRec by plain formulas, and what it is without its parts."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.models.lgmrec import LgmRec
from alnico.models.lightgcn import LightGcn

SETTINGS = {
    "width": 3,
    "layers": 2,
    "content_layers": 2,
    "hyperedges": 2,
    "hyper_layers": 2,
    "global_weight": 0.4,
    "contrast": 0.01,
    "l2": 0.1,
}


def build(world, seed=0, **changes):
    """A small LGMRec; in evaluation there is neither noise nor dropout."""
    config = LgmRec.Config(**{**SETTINGS, **changes})
    return LgmRec.build(config, world.data, np.random.default_rng(seed)).eval()


def unit(table):
    """Rows of length one; a zero row stays zero."""
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)


def softmax(table):
    """Of each row."""
    powers = np.exp(table - table.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def plainly(model, world):
    """Final embeddings of users and items and each modality's global ones, with dense matrices and loops."""
    train, config = world.split.train, model.config
    taken = np.zeros((train.n_users, train.n_items))
    taken[train.users, train.items] = 1
    lengths, takers = taken.sum(1, keepdims=True), taken.sum(0, keepdims=True)
    edge = taken / np.sqrt(np.maximum(lengths, 1) * np.maximum(takers, 1))
    n = train.n_users
    graph = np.block([[np.zeros((n, n)), edge], [edge.T, np.zeros((train.n_items, train.n_items))]])
    identities = np.concatenate([t.weight.detach().numpy() for t in (model.users, model.items)])
    behaviour = (identities + graph @ identities + graph @ graph @ identities) / 3
    final, told = behaviour.copy(), []
    for part in model.content:
        vectors = part.table().numpy()
        embed, lean = (weights.detach().numpy().T for weights in part.maps)
        items = vectors @ embed
        users = taken @ items / np.maximum(lengths, 1)
        final += unit(graph @ graph @ np.concatenate([users, items]))
        leanings = vectors @ lean
        of_items = softmax(leanings / config.sharpness)
        of_users = softmax(taken @ leanings / config.sharpness)
        known = behaviour[n:]
        for _ in range(config.hyper_layers):
            held = of_items.T @ known
            known, users = of_items @ held, of_users @ held
        told.append((users, known))
    if config.global_weight:
        final += config.global_weight * unit(sum(np.concatenate(pair) for pair in told))
    return final[:n], final[n:], told


def test_scores_are_those_of_the_formulas_written_plainly():
    world = worlds.scattered(seed=3)
    model = build(world)
    users, items, _ = plainly(model, world)
    np.testing.assert_allclose(model.scorer().scores(torch.arange(12)), users @ items.T, rtol=1e-4, atol=1e-5)


def test_loss_is_that_of_the_formulas_written_plainly():
    world = worlds.scattered(seed=3)
    model = build(world)
    users, items, told = plainly(model, world)
    # User 5 stands in two triples and counts twice in the sum.
    triples = [(1, 2, 3), (5, 4, 2), (5, 2, 3)]
    terms = model.loss_terms(worlds.batch(triples)).terms
    losses = [math.log1p(math.exp(-users[u] @ (items[p] - items[n]))) for u, p, n in triples]
    assert terms["bpr"].item() == pytest.approx(np.mean(losses), rel=1e-4)
    rows = [
        users[[u for u, _, _ in triples]],
        items[[p for _, p, _ in triples]],
        items[[n for _, _, n in triples]],
    ]
    assert terms["l2"].item() == pytest.approx(0.1 * sum(np.linalg.norm(row) for row in rows) / 3, rel=1e-4)
    (image_users, image_items), (text_users, text_items) = told
    total = 0.0
    for user, positive, _ in triples:
        for one, other, own in ((image_users, text_users, user), (image_items, text_items, positive)):
            powers = np.exp(unit(other) @ unit(one)[own] / 0.2)
            total -= math.log(powers[own] / powers.sum())
    assert terms["contrast"].item() == pytest.approx(0.01 * total, rel=1e-4)


def test_without_content_and_hyperedges_it_is_lightgcn():
    world = worlds.scattered()
    model = build(world, global_weight=0.0, contrast=0.0, l2=0.0)
    plain = LightGcn.build(LightGcn.Config(width=3, layers=2, l2=0.0), world.data, np.random.default_rng(0))
    with torch.no_grad():
        plain.users.weight.copy_(model.users.weight)
        plain.items.weight.copy_(model.items.weight)
        for part in model.content:
            part.maps[0].zero_()
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    torch.testing.assert_close(model.loss_terms(batch).terms["bpr"], plain.loss_terms(batch).terms["bpr"])
    everybody = torch.arange(12)
    torch.testing.assert_close(model.scorer().scores(everybody), plain.scorer().scores(everybody))


def test_hyperedges_are_made_only_where_score_or_loss_reads_them():
    def per_modality(**changes):
        return [len(part.maps) for part in build(worlds.scattered(), **changes).content]

    assert per_modality() == per_modality(global_weight=0.0) == per_modality(contrast=0.0) == [2, 2]
    assert per_modality(global_weight=0.0, contrast=0.0) == [1, 1]


def test_training_draws_noise_and_the_scorer_does_not():
    world = worlds.scattered()
    model = build(world, keep=1.0).train()
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    torch.manual_seed(0)
    first, second = (model.loss_terms(batch).terms["bpr"].item() for _ in range(2))
    assert first != second
    one, other = (model.scorer().scores(torch.arange(12)) for _ in range(2))
    assert torch.equal(one, other)
    model.eval()
    assert torch.equal(model.scorer().scores(torch.arange(12)), one)


def test_memberships_are_dropped_in_training_only():
    world = worlds.scattered()
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    found = []
    for keep in (1.0, 0.3):
        model = build(world, keep=keep)
        still = model.loss_terms(batch).terms["bpr"].item()
        torch.manual_seed(0)
        found.append((still, model.train().loss_terms(batch).terms["bpr"].item()))
    assert found[0][0] == found[1][0]
    assert found[0][1] != found[1][1]


@pytest.mark.parametrize("names", [("text",), ("text", "image", "sound")])
def test_any_number_of_modalities(names):
    world = worlds.scattered(widths={name: 3 + number for number, name in enumerate(names)})
    model = build(world)
    users, items, _ = plainly(model, world)
    np.testing.assert_allclose(model.scorer().scores(torch.arange(12)), users @ items.T, rtol=1e-4, atol=1e-5)
    terms = model.loss_terms(worlds.random_batch(world.split.train, 8, seed=1)).terms
    assert ("contrast" in terms) == (len(names) > 1)
