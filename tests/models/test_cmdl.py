"""CMDL written out, whom its terms move, and what it is without its parts."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

import worlds
from alnico.models.cmdl import Cmdl
from alnico.models.lightgcn import LightGcn
from alnico.models.mgcn import Mgcn

WORLD = worlds.scattered(seed=1)
BATCH = worlds.batch([(1, 2, 3), (1, 4, 2), (5, 2, 8), (7, 6, 3)])
EVERYBODY = torch.arange(12)


def build(kind=Cmdl, world=WORLD, **settings):
    """A model of width 4 on a world of 12 users and 15 items."""
    config = kind.Config(width=4, neighbours=4, **settings)
    return kind.build(config, world.data, np.random.default_rng(0))


def dense(graph):
    """A graph as a matrix."""
    return graph.propagate(torch.eye(graph.shape[1]))


def written_out(model):
    """C, the modalities' Y, S and the side of all users and items, as the paper has them."""
    table = torch.cat([model.users.weight, model.items.weight])
    adjacency = dense(model.graph)
    first = adjacency @ table
    behaviour = (table + first + adjacency @ first) / 3
    views = []
    for graph, purify in zip(model.item_graphs, model.purifiers, strict=True):
        gate = torch.sigmoid(purify.gate(purify.project(purify.table.vectors)))
        items = dense(graph) @ (model.items.weight * gate)
        views.append(torch.cat([adjacency[:12, 12:] @ items, items]))
    query = model.attention.query
    strength = torch.cat([query(view) for view in views], 1).exp()
    shared = sum((strength[:, m] / strength.sum(1))[:, None] * view for m, view in enumerate(views))
    w1, b, w2 = model.mixture[0].weight, model.mixture[0].bias, model.mixture[2].weight
    highest = (torch.tanh(behaviour @ w1.T + b) @ w2.T).max(0).values.detach()
    shares = highest.exp() / highest.exp().sum()
    gates = [torch.sigmoid(behaviour @ gate.weight.T + gate.bias) for gate in model.gates]
    parts = [*(view - shared for view in views), shared]
    side = sum(share * gate * part for share, gate, part in zip(shares, gates, parts, strict=True))
    return behaviour, views, shared, side


def table(critic, x, y):
    """f of every x (down) with every y (across), from the tiled concatenation."""
    n = len(x)
    tiled = torch.cat([x[:, None].expand(n, n, -1), y[None].expand(n, n, -1)], 2)
    return critic.scale(torch.relu(critic.read(tiled)))[..., 0]


def lower(critic, x, y):
    """The InfoNCE bound, the normaliser over x."""
    f = table(critic, x, y)
    return f.diagonal().mean() - (f.logsumexp(0) - math.log(len(x))).mean()


def upper(critic, x, y):
    """CLUB."""
    f = table(critic, x, y)
    return f.diagonal().mean() - f.mean()


def pairs_written_out(views, shared):
    """Which bound, of which x and y, in the order of the model's critics."""
    (one, other), s = views, shared
    return [
        (lower, one, s),
        (lower, other, s),
        (upper, one - s, s),
        (upper, other - s, s),
        (upper, torch.cat([s, one], 1), other),
        (upper, torch.cat([s, other], 1), one),
    ]


def information_written_out(model):
    """The bounds that the model is moved by, and those that its critics are fitted by, without weights."""
    _, views, shared, _ = written_out(model)
    moved, fitted = 0, 0
    for items in (BATCH.positives, BATCH.negatives):
        rows = [view[12 + items] for view in (*views, shared)]
        told = pairs_written_out(rows[:-1], rows[-1])
        for critic, (bound, x, y) in zip(model.critics.critics, told, strict=True):
            moved += upper(critic, x, y) if bound is upper else -lower(critic, x, y)
            fitted -= lower(critic, x.detach(), y.detach())
    return moved, fitted


def test_scores_are_those_of_the_formulas_written_out():
    model = build()
    behaviour, _, _, side = written_out(model)
    final = behaviour + side
    torch.testing.assert_close(model.scorer().scores(EVERYBODY), (final[:12] @ final[12:].T).detach())


def test_loss_is_that_of_the_formulas_written_out():
    model = build(
        information=0.3, contrast=0.5, temperature=0.4, user_temperature=0.7, l2=0.2, critic_bias="zero"
    )
    behaviour, _, _, side = written_out(model)
    final = behaviour + side
    u, p, n = BATCH.users, 12 + BATCH.positives, 12 + BATCH.negatives
    margins = (final[u] * (final[p] - final[n])).sum(1)

    def contrast(rows, temperature):
        cosines = functional.normalize(side[rows]) @ functional.normalize(behaviour[rows]).T
        return -(cosines / temperature).log_softmax(1).diagonal().mean()

    moved, fitted = information_written_out(model)
    expected = {
        "bpr": -torch.sigmoid(margins).log().mean(),
        "contrast": 0.5 * (contrast(p, 0.4) + contrast(u, 0.7)),
        "l2": 0.2 * sum(final[rows].pow(2).sum() for rows in (u, p, n)) / (2 * 4),
        "information": 0.3 * moved,
        "critics": fitted,
    }
    terms = model.loss_terms(BATCH).terms
    assert set(terms) == set(expected)
    for name, term in terms.items():
        torch.testing.assert_close(term, expected[name], rtol=1e-4, atol=1e-6)


def test_one_pass_gives_the_gradients_of_a_step_of_the_model_and_a_step_of_the_critics():
    model = build(information=0.3, critic_bias="zero")
    groups = model.parameter_groups()
    rest = [parameter for parameter in groups["model"] if parameter.requires_grad]
    moved, fitted = information_written_out(model)
    others = sum(term for name, term in build_terms(model).items() if name in ("bpr", "contrast", "l2"))
    # Each by itself, with what the other moves held still.
    expected = [
        *torch.autograd.grad(others + 0.3 * moved, rest),
        *torch.autograd.grad(fitted, groups["critics"]),
    ]
    assert all(gradient.any() for gradient in expected)
    torch.stack(list(build_terms(model).values())).sum().backward()
    for parameter, gradient in zip([*rest, *groups["critics"]], expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-6)


def build_terms(model):
    """The terms of the loss of the batch."""
    return model.loss_terms(BATCH).terms


@pytest.mark.parametrize("name", ["bpr", "contrast", "l2", "information", "critics"])
def test_critics_are_reached_by_their_own_loss_only_and_it_reaches_nothing_else(name):
    model = build(critic_bias="zero")
    build_terms(model)[name].backward()
    reached = {key for key, parameter in model.named_parameters() if parameter.grad is not None}
    critics = {key for key, _ in model.named_parameters() if key.startswith("critics.")}
    assert reached == critics if name == "critics" else reached and not reached & critics


def test_the_critics_loss_fits_them():
    # Only critics step: their bounds grow, so that a bound of I is above zero.
    model = build(critic_bias="zero")
    critics = torch.optim.Adam(model.parameter_groups()["critics"], lr=0.05)
    values = []
    for _ in range(150):
        critics.zero_grad()
        term = build_terms(model)["critics"]
        term.backward()
        critics.step()
        values.append(term.item())
    assert values[-1] < -0.5
    assert values[-1] < values[50] < values[0]


def test_shares_are_read_from_all_nodes_and_keep_their_first_weights():
    model = build()
    before = model._shares()
    with torch.no_grad():
        model.users.weight[11] += 3.0
    assert not torch.allclose(model._shares(), before)
    assert model._shares().sum().item() == pytest.approx(1)
    assert model.inert_parameters() == {"mixture.0.weight", "mixture.0.bias", "mixture.2.weight"}


def test_a_critic_that_passes_no_pair_is_still():
    model = build()
    dead = model.critics.critics[0]
    with torch.no_grad():
        dead.read.bias.fill_(-100.0)
    build_terms(model)["critics"].backward()
    assert not any(parameter.grad.any() for parameter in dead.parameters())


def test_without_information_there_are_no_critics():
    model = build(information=0.0)
    assert set(build_terms(model)) == {"bpr", "contrast", "l2"}
    assert set(model.parameter_groups()) == {"model"}
    assert not [name for name, _ in model.named_parameters() if name.startswith("critics")]


def test_without_information_and_side_it_is_lightgcn():
    model = build(information=0.0)
    for graph in model.item_graphs:
        graph.matrix.values.zero_()
        graph.transposed.values.zero_()
    plain = LightGcn.build(LightGcn.Config(width=4, layers=2, l2=0.0), WORLD.data, np.random.default_rng(0))
    with torch.no_grad():
        plain.users.weight.copy_(model.users.weight)
        plain.items.weight.copy_(model.items.weight)
    torch.testing.assert_close(build_terms(model)["bpr"], plain.loss_terms(BATCH).terms["bpr"])
    torch.testing.assert_close(model.scorer().scores(EVERYBODY), plain.scorer().scores(EVERYBODY))


def test_with_even_shares_and_an_open_gate_it_is_mgcn():
    model, plain = build(), build(Mgcn)
    with torch.no_grad():
        model.mixture[2].weight.zero_()
        model.gates[2].bias.fill_(100.0)
    taken = {name: value for name, value in model.state_dict().items() if name in plain.state_dict()}
    plain.load_state_dict(taken)
    torch.testing.assert_close(model.scorer().scores(EVERYBODY), plain.scorer().scores(EVERYBODY))
    ours, theirs = build_terms(model), plain.loss_terms(BATCH).terms
    for name, term in theirs.items():
        torch.testing.assert_close(ours[name], term)


@pytest.mark.parametrize(("widths", "critics"), [({"sound": 3}, 2), ({"a": 3, "b": 2, "c": 5}, 12)])
def test_any_number_of_modalities(widths, critics):
    model = build(world=worlds.scattered(seed=1, widths=widths), critic_bias="zero")
    # One lower bound and one upper of the own part per modality, one per ordered pair.
    assert len(model.critics.critics) == critics
    terms = build_terms(model)
    torch.stack(list(terms.values())).sum().backward()
    assert torch.isfinite(model.items.weight.grad).all()
    assert torch.isfinite(model.scorer().scores(EVERYBODY)).all()
