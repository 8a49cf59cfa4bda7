"""The reconstruction of ITCoHD-MRec by plain formulas, and what it is without its parts."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.errors import ConfigError
from alnico.models.itcohd import ItCoHd
from alnico.models.lightgcn import LightGcn

SETTINGS = {
    "width": 3,
    "layers": 2,
    "neighbours": 3,
    "pruning": 0.0,
    "hyperedges": 2,
    "exchange": 0.5,
    "global_weight": 0.4,
    "diffusion_steps": 2,
    "noise": 0.5,
    "noised": 1,
    "denoising": 0.3,
    "contrast": 0.01,
    "l2": 0.1,
}


def build(world, **changes):
    """A small model; in evaluation nothing is noisy but the draws of the denoiser's loss."""
    config = ItCoHd.Config(**{**SETTINGS, **changes})
    return ItCoHd.build(config, world.data, np.random.default_rng(0)).eval()


def unit(table):
    """Rows of length one."""
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)


def softmax(table):
    """Of each row."""
    powers = np.exp(table - table.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def plainly(model, world):
    """Final embeddings of users and items and what hyperedges tell them, with dense matrices."""
    train, config = world.split.train, model.config
    taken = np.zeros((train.n_users, train.n_items))
    taken[train.users, train.items] = 1
    lengths, takers = taken.sum(1, keepdims=True), taken.sum(0, keepdims=True)
    edge = taken / np.sqrt(np.maximum(lengths, 1) * np.maximum(takers, 1))
    n = train.n_users
    graph = np.block([[np.zeros((n, n)), edge], [edge.T, np.zeros((train.n_items, train.n_items))]])

    def propagated(users, items):
        table = np.concatenate([users, items])
        return (table + graph @ table + graph @ graph @ table) / 3

    identities = model.items.weight.detach().numpy()
    behaviour = propagated(model.users.weight.detach().numpy(), identities)
    final = behaviour.copy()
    final[n:] += model.item_graph.propagate(torch.eye(train.n_items)).numpy() @ identities
    shares, messages = [], []
    for part, own in zip(model.content, model.users_of_content, strict=True):
        vectors = part.table().numpy()
        embed, lean = (weights.detach().numpy().T for weights in part.maps)
        final += unit(propagated(own.weight.detach().numpy(), vectors @ embed))
        leanings = vectors @ lean
        averaged = taken @ leanings / np.maximum(lengths, 1)
        shares.append(softmax(np.concatenate([averaged, leanings]) / config.sharpness))
        messages.append(shares[-1][n:].T @ behaviour[n:])
    exchanged = [messages[0] + 0.5 * messages[1], messages[1] + 0.5 * messages[0]]
    told = [share @ held for share, held in zip(shares, exchanged, strict=True)]
    # Two steps with a_1 = .75 and a_2 = .5; the vector begins as the mean of one step of noise.
    moved = math.sqrt(0.75) * math.sqrt(3) * unit(sum(told))
    denoiser = {name: value.detach().numpy() for name, value in model.denoiser.named_parameters()}

    def guess(noisy, step):
        inside = noisy @ denoiser["enter.weight"].T + denoiser["enter.bias"]
        hidden = np.tanh(inside + denoiser["steps.weight"][step - 1])
        return noisy + hidden @ denoiser["leave.weight"].T + denoiser["leave.bias"]

    moved = (math.sqrt(0.75) / 3 * guess(moved, 2) + math.sqrt(2 / 3) * 0.25 * moved) / 0.5
    final += 0.4 * unit(guess(moved, 1))
    return final[:n], final[n:], [(table[:n], table[n:]) for table in told]


def test_scores_are_those_of_the_formulas_written_plainly():
    world = worlds.scattered(seed=3)
    model = build(world)
    users, items, _ = plainly(model, world)
    np.testing.assert_allclose(model.scorer().scores(torch.arange(12)), users @ items.T, rtol=1e-4, atol=1e-5)


def test_loss_is_that_of_the_formulas_written_plainly():
    world = worlds.scattered(seed=3)
    model = build(world)
    users, items, told = plainly(model, world)
    triples = [(1, 2, 3), (5, 4, 2), (5, 2, 3)]
    terms = model.loss_terms(worlds.batch(triples)).terms
    assert set(terms) == {"bpr", "contrast", "denoising", "l2"}
    losses = [math.log1p(math.exp(-users[u] @ (items[p] - items[n]))) for u, p, n in triples]
    assert terms["bpr"].item() == pytest.approx(np.mean(losses), rel=1e-4)
    # Half the squares of the identities of users 1, 5, 5 and items 2, 4, 2, 3, 2, 3 over three triples.
    own, kinds = model.users.weight.detach().numpy(), model.items.weight.detach().numpy()
    squares = (own[[1, 5, 5]] ** 2).sum() + (kinds[[2, 4, 2, 3, 2, 3]] ** 2).sum()
    assert terms["l2"].item() == pytest.approx(0.1 * squares / 6, rel=1e-4)
    (image_users, image_items), (text_users, text_items) = told
    total = 0.0
    for one, other, chosen in ((image_users, text_users, [1, 5, 5]), (image_items, text_items, [2, 4, 2])):
        powers = np.exp(unit(one[chosen]) @ unit(other[chosen]).T / 0.2)
        total -= np.log(np.diag(powers) / powers.sum(1)).mean()
    assert terms["contrast"].item() == pytest.approx(0.01 * total, rel=1e-4)
    # The denoiser sees what hyperedges tell the batch's distinct users and items, of mean square 1.
    nodes = np.concatenate([sum(u for u, _ in told)[[1, 5]], sum(i for _, i in told)[[2, 3, 4]]])
    torch.manual_seed(7)
    loss = model.denoiser.loss(torch.from_numpy(math.sqrt(3) * unit(nodes)).float())
    torch.manual_seed(7)
    again = model.loss_terms(worlds.batch(triples)).terms
    assert again["denoising"].item() == pytest.approx(0.3 * loss.item(), rel=1e-4)


def test_without_its_parts_it_is_lightgcn():
    world = worlds.scattered()
    model = build(world, item_layers=0, global_weight=0.0, contrast=0.0, l2=0.0)
    plain = LightGcn.build(LightGcn.Config(width=3, layers=2, l2=0.0), world.data, np.random.default_rng(0))
    with torch.no_grad():
        plain.users.weight.copy_(model.users.weight)
        plain.items.weight.copy_(model.items.weight)
        for part, users in zip(model.content, model.users_of_content, strict=True):
            part.maps[0].zero_()
            users.weight.zero_()
    model.begin_epoch(1, np.random.default_rng(0))
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    found = model.loss_terms(batch).terms
    assert set(found) == {"bpr"}
    torch.testing.assert_close(found["bpr"], plain.loss_terms(batch).terms["bpr"])
    everybody = torch.arange(12)
    torch.testing.assert_close(model.scorer().scores(everybody), plain.scorer().scores(everybody))


def test_each_channel_draws_its_own_edges_for_training_only_and_anew_each_epoch():
    world = worlds.scattered(seed=3, n_users=30, n_items=20)
    model = build(world, pruning=0.5)
    before = model.scorer().scores(torch.arange(30))
    drawn = []
    for epoch in (1, 2, 1):
        model.begin_epoch(epoch, np.random.default_rng(epoch))
        drawn.append([tuple(graph.matrix.columns.tolist()) for graph in model.pruned])
    assert drawn[0] == drawn[2]
    # Identities and two modalities in two epochs.
    assert len({*drawn[0], *drawn[1]}) == 6
    # floor(.5 * 117) edges, in both directions.
    assert [graph.n_entries for graph in model.pruned] == [2 * 58] * 3
    torch.testing.assert_close(model.scorer().scores(torch.arange(30)), before, rtol=0, atol=0)


def test_each_pruned_graph_moves_its_own_channel():
    world = worlds.scattered(seed=3)
    model = build(world, pruning=0.5, global_weight=0.0, contrast=0.0)
    batch = worlds.random_batch(world.split.train, 8, seed=1)
    whole = model.pruned
    losses = {model.loss_terms(batch).terms["bpr"].item()}
    model.begin_epoch(1, np.random.default_rng(0))
    drawn = model.pruned
    for channel in range(3):
        model.pruned = [*whole[:channel], drawn[channel], *whole[channel + 1 :]]
        losses.add(model.loss_terms(batch).terms["bpr"].item())
    assert len(losses) == 4


def test_training_draws_noise_and_the_scorer_does_not():
    world = worlds.scattered()
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    for gumbel in (True, False):
        model = build(world, gumbel=gumbel).train()
        torch.manual_seed(0)
        first, second = (model.loss_terms(batch).terms["bpr"].item() for _ in range(2))
        assert first != second
        one, other = (model.scorer().scores(torch.arange(12)) for _ in range(2))
        assert torch.equal(one, other)


def test_without_gumbel_noise_only_the_diffusion_draws():
    world = worlds.scattered()
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    for gumbel in (True, False):
        model = build(world, gumbel=gumbel, global_weight=0.0).train()
        torch.manual_seed(0)
        first, second = (model.loss_terms(batch).terms["contrast"].item() for _ in range(2))
        assert (first == second) is not gumbel


@pytest.mark.parametrize("names", [("text",), ("text", "image", "sound")])
def test_any_number_of_modalities(names):
    world = worlds.scattered(widths={name: 3 + number for number, name in enumerate(names)})
    model = build(world).train()
    assert len(model.pruned) == len(names) + 1
    terms = model.loss_terms(worlds.random_batch(world.split.train, 8, seed=1)).terms
    assert ("contrast" in terms) == (len(names) > 1)
    assert torch.isfinite(model.scorer().scores(torch.arange(12))).all()


def test_more_item_layers_are_more_hops():
    world = worlds.scattered()
    once, twice = (build(world, item_layers=layers, global_weight=0.0, contrast=0.0) for layers in (1, 2))
    tables = [model.scorer().state().tensors["items"] for model in (once, twice)]
    one = once.item_graph.propagate(once.items.weight)
    expected = once.item_graph.propagate(one) - one
    torch.testing.assert_close(tables[1] - tables[0], expected.detach(), rtol=1e-4, atol=1e-6)


def test_more_noise_than_steps_is_refused():
    with pytest.raises(ConfigError, match="noised counts steps of the diffusion, which has 2; found 3"):
        build(worlds.scattered(), noised=3)


def test_tables_must_say_that_it_is_a_reconstruction():
    assert ItCoHd.card.named() == "ITCoHD-MRec (reconstructed)"
    assert "reconstruction" in ItCoHd.card.remark
