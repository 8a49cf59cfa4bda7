"""SGL and SimGCL: what they add to LightGCN, by hand, and that without it they are LightGCN."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.models.lightgcn import LightGcn
from alnico.models.sgl import Sgl
from alnico.models.simgcl import SimGcl
from alnico.nn.noise import perturbed


def cosine(one, other):
    """Cosine of two vectors."""
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def contrast(left, right, temperature):
    """InfoNCE in a plain loop."""
    losses = []
    for row, vector in enumerate(left):
        terms = [math.exp(cosine(vector, other) / temperature) for other in right]
        losses.append(-math.log(terms[row] / sum(terms)))
    return sum(losses) / len(losses)


def lightgcn_like(model, world, layers):
    """LightGCN with the model's embeddings."""
    plain = LightGcn.build(
        LightGcn.Config(width=4, layers=layers, l2=0.0), world.data, np.random.default_rng(0)
    )
    with torch.no_grad():
        plain.users.weight.copy_(model.users.weight)
        plain.items.weight.copy_(model.items.weight)
    return plain


@pytest.mark.parametrize("kind", [Sgl, SimGcl])
def test_ranking_is_that_of_lightgcn(kind):
    world = worlds.scattered()
    model = kind.build(kind.Config(width=4, layers=2), world.data, np.random.default_rng(0))
    plain = lightgcn_like(model, world, 2)
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    torch.testing.assert_close(model.loss_terms(batch).terms["bpr"], plain.loss_terms(batch).terms["bpr"])
    everybody = torch.arange(12)
    torch.testing.assert_close(model.scorer().scores(everybody), plain.scorer().scores(everybody))


def test_contrast_of_sgl_is_between_the_two_views_and_over_distinct_rows():
    world = worlds.scattered()
    config = Sgl.Config(width=4, layers=1, dropped=0.3, contrast=0.5, temperature=0.4)
    model = Sgl.build(config, world.data, np.random.default_rng(0))
    model.begin_epoch(1, np.random.default_rng(3))
    table = torch.cat([model.users.weight, model.items.weight]).detach().numpy()
    views = []
    for graph in model.views:
        matrix = graph.propagate(torch.eye(27)).numpy()
        views.append((table + matrix @ table) / 2)
    assert not np.allclose(*views)
    batch = worlds.batch([(1, 2, 3), (1, 4, 2), (5, 2, 3)])
    users, items = [1, 5], [12 + i for i in (2, 3, 4)]
    expected = 0.5 * sum(contrast(views[0][rows], views[1][rows], 0.4) for rows in (users, items))
    assert model.loss_terms(batch).terms["contrast"].item() == pytest.approx(expected, rel=1e-4)


def test_views_of_sgl_lack_about_the_stated_share_of_edges():
    world = worlds.scattered(seed=3, n_users=200, n_items=60)
    model = Sgl.build(Sgl.Config(width=4, dropped=0.25), world.data, np.random.default_rng(0))
    model.begin_epoch(1, np.random.default_rng(0))
    n = len(world.split.train)
    for view in model.views:
        # Four deviations of a binomial share.
        assert view.n_entries / 2 / n == pytest.approx(0.75, abs=4 * math.sqrt(0.25 * 0.75 / n))


def test_without_noise_the_passes_of_simgcl_agree():
    world = worlds.scattered()
    config = SimGcl.Config(width=4, layers=1, noise=0.0, contrast=0.5, temperature=0.4)
    model = SimGcl.build(config, world.data, np.random.default_rng(0))
    table = lightgcn_like(model, world, 1).scorer().state().tensors
    users, items = table["users"].numpy()[[1, 5]], table["items"].numpy()[[2, 3, 4]]
    batch = worlds.batch([(1, 2, 3), (1, 4, 2), (5, 2, 3)])
    expected = 0.5 * (contrast(users, users, 0.4) + contrast(items, items, 0.4))
    assert model.loss_terms(batch).terms["contrast"].item() == pytest.approx(expected, rel=1e-4)


def test_simgcl_may_leave_out_the_layer_before_the_first_hop():
    world = worlds.scattered()
    config = SimGcl.Config(width=4, layers=1, identity_layer=False)
    model = SimGcl.build(config, world.data, np.random.default_rng(0))
    table = torch.cat([model.users.weight, model.items.weight]).detach()
    hop = model.graph.propagate(table)
    torch.testing.assert_close(model.scorer().scores(torch.arange(12)), hop[:12] @ hop[12:].T)


def test_contrast_of_simgcl_is_between_two_passes_with_noise_after_every_hop():
    world = worlds.scattered()
    config = SimGcl.Config(width=4, layers=2, noise=0.3, contrast=0.5, temperature=0.4)
    model = SimGcl.build(config, world.data, np.random.default_rng(0))
    batch = worlds.batch([(1, 2, 3), (1, 4, 2), (5, 2, 3)])
    torch.manual_seed(6)
    found = model.loss_terms(batch).terms["contrast"].item()
    torch.manual_seed(6)
    start = torch.cat([model.users.weight, model.items.weight]).detach()
    passes = []
    for _ in range(2):
        layers = [start]
        for _ in range(2):
            layers.append(perturbed(model.graph.propagate(layers[-1]), 0.3))
        passes.append((sum(layers) / 3).numpy())
    users, items = [1, 5], [12 + i for i in (2, 3, 4)]
    expected = 0.5 * sum(contrast(passes[0][rows], passes[1][rows], 0.4) for rows in (users, items))
    assert found == pytest.approx(expected, rel=1e-4)
    assert not np.allclose(*passes)
