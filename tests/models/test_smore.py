"""SMORE by hand, against its formulas written densely, and what it is without its parts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import plain_beside as plain
import worlds
from alnico.contracts import TrainingData
from alnico.errors import ConfigError
from alnico.models.lightgcn import LightGcn
from alnico.models.smore import Smore, SpectralFilter

ROOT = math.sqrt(2)


def path():
    """One user between items 0 and 1; item 2 aside. By text, item 2 looks like item 0 and item 1 stands alone."""
    train = worlds.interactions([(0, 0), (0, 1)], 1, 3)
    vectors = worlds.modality([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    lists = {"text": worlds.neighbour_lists([[(2, 0.9)], [], [(0, 0.9)]], 1)}
    data = TrainingData(train, worlds.features(3, text=vectors), lists)
    config = Smore.Config(width=2, layers=1, neighbours=2, contrast=0.5, l2=0.1, dropout=0.0)
    model = Smore.build(config, data, np.random.default_rng(0))
    with torch.no_grad():
        model.users.weight.copy_(torch.tensor([[4.0, 0.0]]))
        model.items.weight.copy_(torch.tensor([[2.0, 0.0], [6.0, 0.0], [10.0, 0.0]]))
        # Whatever the content: gates of one half and even weights of the two entries.
        for part in (*model.purifiers, *model.gates, *(prefer[2] for prefer in model.preferences)):
            for parameter in part.parameters():
                parameter.zero_()
    return model


# LightGCN with one hop: means with the first layer.
BEHAVIOUR = [(4 + 8 / ROOT) / 2, (2 + 4 / ROOT) / 2, (6 + 4 / ROOT) / 2, 10 / 2]
# Identities come through as 1, 3 and 5. Rows 0 and 2 of the item graph have the sum 1 + .9; the user divides both
# items by the root of 2 and of 1. The fused graph of one modality is its own, so both views are the same.
ITEMS = [(1 + 0.9 * 5) / 1.9, 3, (5 + 0.9 * 1) / 1.9]
VIEW = [(ITEMS[0] + ITEMS[1]) / ROOT, *ITEMS]
# The mean of a half of the halved view and of a half of the view.
FINAL = [behaviour + (view / 4 + view / 2) / 2 for behaviour, view in zip(BEHAVIOUR, VIEW, strict=True)]


def test_scores_by_hand():
    expected = [[FINAL[0] * item for item in FINAL[1:]]]
    np.testing.assert_allclose(path().scorer().scores(torch.tensor([0])), expected, rtol=1e-6)


def test_loss_of_two_triples_by_hand():
    batch = replace(worlds.batch([(0, 0, 2), (0, 1, 2)]), planned=5)
    terms = path().loss_terms(batch).terms
    losses = [math.log1p(math.exp(-FINAL[0] * (item - FINAL[3]))) for item in FINAL[1:3]]
    assert terms["bpr"].item() == pytest.approx(sum(losses) / 2, rel=1e-5)
    # All point the same way: of two equal candidates each is right with log 2. The user counts twice.
    assert terms["contrast"].item() == pytest.approx(0.5 * 2 * math.log(2), rel=1e-5)
    squares = 2 * FINAL[0] ** 2 + FINAL[1] ** 2 + FINAL[2] ** 2 + 2 * FINAL[3] ** 2
    assert terms["l2"].item() == pytest.approx(0.1 * squares / (2 * 5), rel=1e-5)


def test_filter_by_hand():
    # Of two numbers the spectrum is their sum and their difference over the root of 2.
    part = SpectralFilter(2)
    with torch.no_grad():
        part.weight.copy_(torch.tensor([[3.0, 0.0], [0.5, 0.0]]))
    spectrum = torch.fft.rfft(torch.tensor([[5.0, 1.0]]), dim=1, norm="ortho")
    torch.testing.assert_close(spectrum, torch.tensor([[6 / ROOT, 4 / ROOT]], dtype=torch.complex64))
    # Three times the half sum 3, plus and minus half the half difference 2.
    torch.testing.assert_close(part(spectrum), torch.tensor([[10.0, 8.0]]))


def spectrum_of(table):
    """The first half of the discrete Fourier transform over columns, by its sum."""
    n = table.shape[1]
    waves = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n // 2 + 1)) / n)
    return table @ waves / math.sqrt(n)


def table_of(spectrum, n):
    """Real columns from half a spectrum, whose other half is its mirror; the two ends have no imaginary part."""
    full = np.zeros((len(spectrum), n), dtype=complex)
    full[:, : n // 2 + 1] = spectrum
    full[:, [0, n // 2]] = full[:, [0, n // 2]].real
    full[:, n // 2 + 1 :] = np.conj(spectrum[:, 1 : n // 2][:, ::-1])
    waves = np.exp(2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    return (full @ waves / math.sqrt(n)).real


def test_scores_and_loss_are_the_formulas():
    world = worlds.scattered(seed=2, idle_users=1)
    train, width = world.split.train, 6
    config = Smore.Config(
        width=width, layers=2, item_layers=2, neighbours=3, neighbours_of={"image": 5}, contrast=0.3, l2=0.05
    )
    model = Smore.build(config, world.data, np.random.default_rng(0)).eval()
    with torch.no_grad():
        # A softmax over entries of any size, not only around even weights.
        for prefer in model.preferences:
            prefer[2].weight.mul_(20)
    matrix = plain.symmetric(plain.taken(train))
    graphs = [plain.nearest_graph(world.features[name], k) for name, k in (("image", 5), ("text", 3))]
    # The largest of the entries that are there: an entry below 0 stays one.
    there = np.stack([np.where(graph != 0, graph, -np.inf) for graph in graphs])
    graphs.append(np.where(np.isinf(there).all(0), 0, there.max(0)))
    behaviour = plain.mean_of_layers(matrix, plain.identities(model), 2)
    spectra = [
        spectrum_of(plain.linear(project, plain.filled(modality)))
        for project, modality in zip(model.projections, world.features.values(), strict=True)
    ]
    spectra.append(spectra[0] * spectra[1])
    views = []
    for spectrum, keep, purify, graph in zip(spectra, model.filters, model.purifiers, graphs, strict=True):
        factor = plain.numbers(keep.weight) @ [1, 1j]
        content = table_of(spectrum * factor, width)
        items = plain.numbers(model.items.weight) * plain.logistic(plain.linear(purify, content))
        items = graph @ (graph @ items)
        views.append(np.concatenate([matrix[:13, 13:] @ items, items]))
    weighed = []
    for prefer, view in zip(model.preferences, views[:2], strict=True):
        weights = np.exp(plain.perceptron(prefer, views[2]))
        weighed.append(weights / weights.sum(1, keepdims=True) * view)
    gates = [plain.logistic(plain.linear(gate, behaviour)) for gate in model.gates]
    side = (gates[0] * weighed[0] + gates[1] * weighed[1] + gates[2] * views[2]) / 3
    final = behaviour + side
    scores = model.scorer().scores(torch.arange(13))
    np.testing.assert_allclose(scores, final[:13] @ final[13:].T, rtol=1e-4, atol=1e-6)

    batch = replace(worlds.random_batch(train, 24, seed=1), planned=32)
    triples, terms = plain.Triples(batch, 13), model.loss_terms(batch).terms
    assert terms["bpr"].item() == pytest.approx(triples.bpr(final), rel=1e-5)
    assert terms["contrast"].item() == pytest.approx(0.3 * triples.contrast(side, behaviour, 0.2), rel=1e-4)
    assert terms["l2"].item() == pytest.approx(0.05 * triples.half_l2(final), rel=1e-4)


def test_where_nothing_comes_through_it_is_lightgcn():
    world = worlds.scattered()
    model = Smore.build(Smore.Config(width=4, layers=2), world.data, np.random.default_rng(0))
    lightgcn = LightGcn.build(
        LightGcn.Config(width=4, layers=2, l2=0.0), world.data, np.random.default_rng(0)
    )
    with torch.no_grad():
        lightgcn.users.weight.copy_(model.users.weight)
        lightgcn.items.weight.copy_(model.items.weight)
        for purify in model.purifiers:
            purify.bias.fill_(-1e4)
    batch = worlds.random_batch(world.split.train, 32, seed=1)
    ours, theirs = model.loss_terms(batch).terms, lightgcn.loss_terms(batch).terms
    torch.testing.assert_close(ours["bpr"], theirs["bpr"])
    everybody = torch.arange(12)
    torch.testing.assert_close(model.scorer().scores(everybody), lightgcn.scorer().scores(everybody))


def test_gates_are_dropped_in_training_only():
    world = worlds.scattered()
    model = Smore.build(Smore.Config(width=4, dropout=0.5), world.data, np.random.default_rng(0))
    batch = worlds.random_batch(world.split.train, 32, seed=1)

    def losses():
        return {model.loss_terms(batch).terms["bpr"].item() for _ in range(3)}

    assert len(losses()) == 3
    model.eval()
    assert len(losses()) == 1


def test_an_odd_width_is_refused():
    with pytest.raises(ConfigError, match="even length; found width 5"):
        Smore.build(Smore.Config(width=5), worlds.scattered().data, np.random.default_rng(0))
