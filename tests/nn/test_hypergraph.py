"""Soft hyperedges by hand and against dense formulas."""

import math

import numpy as np
import pytest
import torch

import worlds
from alnico.graphs.graph import symmetric_graph
from alnico.nn.hypergraph import (
    HyperedgeContent,
    Hypergraph,
    contrast_among_all,
    exchanged,
    hyperedge_messages,
    mean_over_pairs,
    memberships,
    propagated_with_all_items,
)
from alnico.nn.propagation import light_propagate
from alnico.nn.triples import Distinct


def drawn(*shape, seed=0):
    """Normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_content_is_read_twice_in_one_pass():
    modality = worlds.modality(np.random.default_rng(0).standard_normal((6, 3)))
    content = HyperedgeContent(modality, 4, 2, trainable=False)
    vectors = torch.tensor(modality.vectors)
    embeddings, leanings = content()
    torch.testing.assert_close(embeddings, vectors @ content.maps[0].T)
    torch.testing.assert_close(leanings, vectors @ content.maps[1].T)


def test_without_hyperedges_there_is_nothing_to_lean_to():
    content = HyperedgeContent(worlds.modality(np.eye(3)), 4, 0, trainable=False)
    assert [tuple(parameter.shape) for parameter in content.parameters()] == [(4, 3)]
    embeddings, leanings = content()
    assert (embeddings.shape, leanings.shape) == ((3, 4), (3, 0))


def test_memberships_by_hand():
    # Odds e^(log 3 / .5) = 9 to 1, and even ones.
    leanings = torch.tensor([[math.log(3), 0.0], [2.0, 2.0]])
    expected = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    torch.testing.assert_close(memberships(leanings, 0.5, noisy=False), expected)


def test_with_noise_a_hyperedge_is_the_strongest_as_often_as_its_softmax_says():
    torch.manual_seed(0)
    leanings = torch.tensor([0.5, 0.3, 0.2]).log().expand(20000, 3)
    found = memberships(leanings, 0.2, noisy=True)
    torch.testing.assert_close(found.sum(1), torch.ones(20000))
    shares = found.argmax(1).bincount() / 20000
    # Four deviations of a share of one half: 4 * .5 / sqrt(20000) = .014.
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=0.014)


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_rounds_over_hyperedges_are_those_over_items(rounds):
    members, start = drawn(7, 2), drawn(7, 3, seed=1)
    items = start
    for _ in range(rounds - 1):
        items = members @ (members.T @ items)
    torch.testing.assert_close(hyperedge_messages(members, start, rounds), members.T @ items)


def test_messages_are_exchanged_by_hand():
    one, other, third = (torch.tensor([[value]]) for value in (1.0, 2.0, 6.0))
    assert exchanged([one], 0.5) == [one]
    assert [held.item() for held in exchanged([one, other], 0.5)] == [2.0, 2.5]
    # Half the means 4, 3.5 and 1.5 of the others.
    assert [held.item() for held in exchanged([one, other, third], 0.5)] == [3.0, 3.75, 6.75]


def hypergraph(edges, width, seed, dropout=0.0):
    """Ten users and six items in random hyperedges."""
    torch.manual_seed(seed)
    users, items = drawn(10, edges, seed=seed), drawn(6, edges, seed=seed + 1)
    return Hypergraph.of(users, items, drawn(6, width, seed=seed + 2), 0.5, dropout=dropout)


def test_hyperedges_gather_from_items_and_tell_users_and_items():
    users, items, embeddings = drawn(10, 2), drawn(6, 2, seed=1), drawn(6, 3, seed=2)
    graph = hypergraph(2, 3, 0)
    of_users, of_items = (users / 0.5).softmax(1), (items / 0.5).softmax(1)
    expected = torch.cat([of_users, of_items]) @ (of_items.T @ embeddings)
    torch.testing.assert_close(graph.nodes(), expected)
    rows = Distinct.of(worlds.batch([(3, 5, 0), (9, 2, 0), (3, 2, 1)]))
    torch.testing.assert_close(graph.nodes(rows), expected[rows.nodes(10)])


def test_dropped_shares_reach_neither_side_and_the_others_grow():
    whole, some = hypergraph(4, 3, 0), hypergraph(4, 3, 0, dropout=0.5)
    for shares, left in ((whole.users, some.users), (whole.items, some.items)):
        kept = left != 0
        assert 0 < kept.sum() < kept.numel()
        torch.testing.assert_close(left[kept], 2 * shares[kept])
    torch.testing.assert_close(some.messages, some.items.T @ drawn(6, 3, seed=2))


def plain_contrast(one, other, batch, temperature):
    """The contrast from whole tables and torch's cross entropy."""
    total = torch.zeros(())
    for left, right, own in (
        (one.users @ one.messages, other.users @ other.messages, batch.users),
        (one.items @ one.messages, other.items @ other.messages, batch.positives),
    ):
        left, right = torch.nn.functional.normalize(left), torch.nn.functional.normalize(right)
        total = total + torch.nn.functional.cross_entropy(
            left[own] @ right.T / temperature, own, reduction="sum"
        )
    return total


@pytest.mark.parametrize("edges", [2, 4, 5], ids=["over hyperedges", "even", "over columns"])
def test_contrast_among_all_has_the_value_and_gradient_of_whole_tables(edges):
    batch = worlds.batch([(3, 5, 0), (9, 2, 0), (3, 2, 1)])
    parts = []
    for seed in (0, 5):
        graph = hypergraph(edges, 4, seed)
        parts += [graph.users, graph.items, graph.messages]
    # A user without any share is a candidate with cosine 0.
    parts[3][7] = 0
    leaves = [part.clone().requires_grad_() for part in parts]
    one, other = Hypergraph(*leaves[:3]), Hypergraph(*leaves[3:])
    found, expected = (contrast(one, other, batch, 0.2) for contrast in (contrast_among_all, plain_contrast))
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(value, leaves) for value in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours[:7], theirs[:7], rtol=1e-4, atol=1e-5)


def test_contrast_among_all_is_a_sum_by_hand():
    # Hyperedges point along the axes; users belong to one each, as does the only item.
    axes = Hypergraph(torch.eye(2), torch.tensor([[1.0, 0.0]]), torch.eye(2))
    # Users: cosines 1 and 0 each; a single item is its only candidate and costs nothing.
    loss = 3 * math.log1p(math.exp(-1 / 0.5))
    batch = worlds.batch([(0, 0, 0), (1, 0, 0), (1, 0, 0)])
    assert contrast_among_all(axes, axes, batch, 0.5).item() == pytest.approx(loss, rel=1e-5)


def test_pairs_of_modalities_are_ordered_and_averaged():
    graphs = [hypergraph(2, 3, seed) for seed in (0, 5, 9)]
    place = {id(graph): number for number, graph in enumerate(graphs)}

    def contrast(one, other):
        return torch.tensor(10.0 * place[id(one)] + place[id(other)])

    # (0, 1), (0, 2) and (1, 2): the mean of 1, 2 and 12.
    assert mean_over_pairs(graphs, contrast).item() == 5
    assert mean_over_pairs(graphs[:2], contrast).item() == 1


def test_a_batch_is_propagated_together_with_all_items():
    train = worlds.scattered(seed=1).split.train
    hops = [symmetric_graph(train.users, train.items, 12, 15)] * 2
    table = drawn(27, 4)
    whole = light_propagate(hops, table)
    rows = Distinct.of(worlds.batch([(3, 5, 0), (9, 2, 0), (3, 2, 1)]))
    for chosen, expected in ((None, whole), (rows, whole[rows.nodes(12)])):
        nodes, items = propagated_with_all_items(hops, table, 12, chosen)
        torch.testing.assert_close(nodes, expected)
        torch.testing.assert_close(items, whole[12:])
