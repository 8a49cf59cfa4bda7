"""SLMRec against plain loops, and what it is without its parts."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.models.lightgcn import LightGcn
from alnico.models.slmrec import SlmRec
from alnico.nn.losses import info_nce

N_USERS = 12
# Items 2 and 4 stand twice, user 1 three times.
TRIPLES = [(1, 2, 3), (1, 4, 3), (5, 2, 3), (1, 7, 3), (9, 4, 3)]


def built(world=None, **settings):
    """An untrained model of a small world."""
    world = world or worlds.scattered()
    return SlmRec.build(SlmRec.Config(**{"width": 4, **settings}), world.data, np.random.default_rng(0))


def mapped(layer, rows):
    """A linear layer in plain arithmetic."""
    return rows @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def final_tables(model, world):
    """Per modality, the identities first, what each LightGCN makes of users and items."""
    matrix = model.graph.propagate(torch.eye(27)).numpy()
    users, starts = model.users.weight.detach().numpy(), [model.items.weight.detach().numpy()]
    for name, project in zip(model.names, model.projections, strict=True):
        modality = world.features[name]
        vectors = np.array(modality.vectors)
        vectors[~modality.present] = vectors[modality.present].mean(0)
        starts.append(mapped(project, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)))
    tables = []
    for start in starts:
        layers = [np.concatenate([users, start])]
        for _ in range(model.config.layers):
            layers.append(matrix @ layers[-1])
        tables.append(np.mean(layers, axis=0))
    return tables


def softmax_loss(left, right):
    """Mean over rows of -log of the share of the own product among the row's products."""
    losses = []
    for row, vector in enumerate(left):
        terms = [math.exp(float(vector @ other)) for other in right]
        losses.append(-math.log(terms[row] / sum(terms)))
    return sum(losses) / len(losses)


def unit(rows):
    """Rows of length one."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_scores_are_products_of_joined_tables():
    world = worlds.scattered()
    model = built(world, layers=2)
    joined = np.concatenate(final_tables(model, world), 1)
    users, items = mapped(model.join_users, joined[:N_USERS]), mapped(model.join_items, joined[N_USERS:])
    np.testing.assert_allclose(model.scorer().scores(torch.arange(N_USERS)), users @ items.T, rtol=1e-4)


def test_loss_is_over_all_pairs_of_the_batch_repeated_items_included():
    world = worlds.scattered()
    settings = {"temperature": 0.3, "contrast": 0.5, "contrast_temperature": 0.7, "coarse_width": 2}
    model = built(world, layers=2, **settings)
    tables = final_tables(model, world)
    joined = np.concatenate(tables, 1)
    asked, positives = [u for u, _, _ in TRIPLES], [N_USERS + i for _, i, _ in TRIPLES]
    users, items = mapped(model.join_users, joined[asked]), mapped(model.join_items, joined[positives])
    terms = model.loss_terms(worlds.batch(TRIPLES)).terms
    ranking = softmax_loss(unit(users) / 0.3, unit(items))
    assert terms["softmax"].item() == pytest.approx(ranking, rel=1e-4)
    identity, image, text = (table[positives] for table in tables)
    fine = mapped(model.fine_identity, identity)
    expected = 0.5 * softmax_loss(fine / 0.7, mapped(model.fine_content, image))
    assert terms["contrast/image"].item() == pytest.approx(expected, rel=1e-4)
    coarse = mapped(model.coarse_identity[1], mapped(model.coarse_identity[0], fine))
    assert coarse.shape == (5, 2)
    expected = 0.5 * softmax_loss(coarse / 0.7, mapped(model.coarse_content[0], text))
    assert terms["contrast/text"].item() == pytest.approx(expected, rel=1e-4)


def test_event_strengths_weigh_pairs():
    model = built()
    single = [
        model.loss_terms(worlds.batch(TRIPLES, np.eye(5, dtype=np.float32)[row])).terms["softmax"].item()
        for row in range(5)
    ]
    weights = [1.0, 2.0, 0.5, 0.0, 3.0]
    both = model.loss_terms(worlds.batch(TRIPLES, weights)).terms["softmax"].item()
    assert both == pytest.approx(np.dot(single, weights), rel=1e-5)


def test_reading_identities_alone_it_is_lightgcn():
    world = worlds.scattered()
    model = built(world, layers=3, contrast=0.0)
    plain = LightGcn.build(LightGcn.Config(width=4, layers=3), world.data, np.random.default_rng(0))
    with torch.no_grad():
        plain.users.weight.copy_(model.users.weight)
        plain.items.weight.copy_(model.items.weight)
        for join in (model.join_users, model.join_items):
            join.weight.copy_(torch.eye(4, 12))
            join.bias.zero_()
    ours, theirs = model.scorer(), plain.scorer()
    torch.testing.assert_close(ours.scores(torch.arange(N_USERS)), theirs.scores(torch.arange(N_USERS)))
    tables = theirs.state().tensors
    asked, positives, _ = (list(column) for column in zip(*TRIPLES, strict=True))
    terms = model.loss_terms(worlds.batch(TRIPLES)).terms
    torch.testing.assert_close(
        terms["softmax"], info_nce(tables["users"][asked], tables["items"][positives], 0.2)
    )
    assert set(terms) == {"softmax"}


def test_negatives_are_not_read():
    model = built()
    one, other = (model.loss_terms(worlds.batch([(u, i, n) for u, i, _ in TRIPLES])).terms for n in (0, 11))
    assert {name: term.item() for name, term in one.items()} == {n: t.item() for n, t in other.items()}


@pytest.mark.parametrize(("widths", "coarse"), [({"sound": 2}, 0), ({"sound": 2, "smell": 3, "touch": 4}, 2)])
def test_the_first_modality_is_compared_in_the_fine_space_and_the_others_in_the_coarse(widths, coarse):
    world = worlds.scattered(widths=widths)
    model = built(world, coarse_width=3)
    assert model.join_users.in_features == 4 * (1 + len(widths))
    terms = model.loss_terms(worlds.batch(TRIPLES)).terms
    assert [name for name in terms if name != "softmax"] == [f"contrast/{name}" for name in widths]
    compared = [content.shape[1] for _, content in model._faces(torch.ones(2, 4 * (1 + len(widths))))]
    assert compared == [4] + [3] * coarse
    assert hasattr(model, "coarse_identity") == (coarse > 0)


def test_without_contrast_there_is_nothing_to_compare_in():
    names = {name.split(".")[0] for name, _ in built(contrast=0.0).named_parameters()}
    assert names == {"users", "items", "projections", "join_users", "join_items"}
