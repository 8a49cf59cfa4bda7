"""What models beside LightGCN have in common, with the plainest of them."""

from dataclasses import replace

import numpy as np
import torch

import plain_beside as plain
import worlds
from alnico.contracts import Step
from alnico.graphs.graph import directed_graph
from alnico.models.beside import BesideBehaviour, BesideConfig
from alnico.nn.seeding import seeded

WORLD = worlds.scattered(seed=4, idle_users=1)
TRAIN = WORLD.split.train
BATCH = replace(worlds.random_batch(TRAIN, 20, seed=1), planned=32)


class Doubled(BesideBehaviour):
    """Views are sums of histories' identities and the identities; the side is twice the only one."""

    @classmethod
    def build(cls, config, data, rng):
        with seeded(rng):
            return cls(config, data.interactions)

    def _views(self, rows):
        return [self._with_users(self.items.weight, rows)]

    def _side(self, behaviour, views):
        return 2 * views[0]


class Talkative(Doubled):
    """Has a term of its own, which sees what the pass said."""

    def _more_terms(self, rows, told, side):
        torch.testing.assert_close(side, 2 * told.views[0])
        assert len(side) == len(rows.users) + len(rows.items)
        return Step({"more": told.behaviour.sum()}, {"nodes": float(len(side))})


def model(kind=Doubled, graph=None, histories=None, **settings):
    """A model of width 4 on the world."""
    with seeded(np.random.default_rng(0)):
        return kind(BesideConfig(width=4, layers=2, **settings), TRAIN, graph, histories)


def final(ours, matrix, block):
    """Behaviour and side by dense tables."""
    behaviour = plain.mean_of_layers(matrix, plain.identities(ours), 2)
    items = plain.numbers(ours.items.weight)
    return behaviour, 2 * np.concatenate([block @ items, items])


def graph_of(matrix):
    """A dense matrix as a graph."""
    rows, columns = matrix.nonzero()
    return directed_graph(rows, columns, matrix[rows, columns].astype(np.float32), matrix.shape, "none")


def test_loss_of_some_rows_is_that_of_the_whole_tables():
    ours = model(contrast=0.3, temperature=0.5, l2=0.05)
    matrix = plain.symmetric(plain.taken(TRAIN))
    behaviour, side = final(ours, matrix, matrix[:13, 13:])
    terms, triples = ours.loss_terms(BATCH).terms, plain.Triples(BATCH, 13)
    np.testing.assert_allclose(terms["bpr"].item(), triples.bpr(behaviour + side), rtol=1e-5)
    np.testing.assert_allclose(
        terms["contrast"].item(), 0.3 * triples.contrast(side, behaviour, 0.5), rtol=1e-5
    )
    np.testing.assert_allclose(terms["l2"].item(), 0.05 * triples.half_l2(behaviour + side), rtol=1e-5)


def test_graph_and_histories_may_be_others():
    rng = np.random.default_rng(0)
    # Directed, and with edges between items; histories have nothing to do with it.
    matrix = np.where(rng.random((28, 28)) < 0.2, rng.random((28, 28)), 0)
    block = np.where(rng.random((13, 15)) < 0.3, rng.random((13, 15)), 0)
    ours = model(graph=graph_of(matrix), histories=graph_of(block))
    behaviour, side = final(ours, matrix, block)
    table = behaviour + side
    scores = ours.scorer().scores(torch.arange(13))
    np.testing.assert_allclose(scores, table[:13] @ table[13:].T, rtol=1e-4, atol=1e-6)
    terms = ours.loss_terms(BATCH).terms
    np.testing.assert_allclose(terms["bpr"].item(), plain.Triples(BATCH, 13).bpr(table), rtol=1e-5)


def test_gradient_over_a_directed_graph_is_that_of_dense_tables():
    rng = np.random.default_rng(1)
    matrix = np.where(rng.random((28, 28)) < 0.2, rng.random((28, 28)), 0).astype(np.float32)
    # Users may not be joined to users, or no histories could be cut out.
    matrix[:13, :13] = 0
    ours = model(graph=graph_of(matrix), contrast=0.0, l2=0.0)
    ours.loss_terms(BATCH).terms["bpr"].backward()
    table = torch.cat([ours.users.weight, ours.items.weight]).detach().requires_grad_()
    dense, block = torch.from_numpy(matrix), ours.histories.propagate(torch.eye(15))
    behaviour = (table + dense @ table + dense @ (dense @ table)) / 3
    nodes = behaviour + 2 * torch.cat([block @ table[13:], table[13:]])
    users, positives, negatives = BATCH.users, BATCH.positives + 13, BATCH.negatives + 13
    margins = (nodes[users] * (nodes[positives] - nodes[negatives])).sum(1)
    torch.nn.functional.softplus(-margins).mean().backward()
    found = torch.cat([ours.users.weight.grad, ours.items.weight.grad])
    torch.testing.assert_close(found, table.grad, rtol=1e-4, atol=1e-7)


def test_terms_without_weight_are_left_out_and_others_join():
    assert set(model(contrast=0.0, l2=0.0).loss_terms(BATCH).terms) == {"bpr"}
    step = model(Talkative).loss_terms(BATCH)
    assert set(step.terms) == {"bpr", "contrast", "l2", "more"}
    items = torch.cat([BATCH.positives, BATCH.negatives])
    assert step.facts == {"nodes": len(BATCH.users.unique()) + len(items.unique())}
