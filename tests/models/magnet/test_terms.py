"""Alignment and attraction, against a plain loop."""

import math

import pytest
import torch

import small_magnets
import worlds
from alnico.models.magnet.cues import Cue, mean_cue
from alnico.models.magnet.terms import alignment, attraction

SINGLE = {
    "preset": "projected",
    "views": "single",
    "cue": "neighbourhood",
    "cue_neighbours": 4,
    "cue_hops": 2,
    "cue_weight": 0.5,
    "cue_gate": True,
    "anchored": True,
    "alignment": 0.1,
    "attraction": 0.1,
}


def _cosine(left, right):
    return left @ right / math.sqrt((left @ left) * (right @ right))


def plain_nce(left, right, pairs, temperature):
    """-log softmax of cosines, the mean over pairs; candidates are the right ones of all pairs."""
    left, right = left.double().numpy(), right.double().numpy()
    total = 0.0
    for a, b in pairs:
        logits = [_cosine(left[a], right[other]) / temperature for _, other in pairs]
        total += math.log(sum(math.exp(x) for x in logits)) - _cosine(left[a], right[b]) / temperature
    return total / len(pairs)


def drawn(n, absent):
    """z and two cues of n nodes; ``absent`` nodes lack both, node 0 the first."""
    stream = torch.Generator().manual_seed(n)
    z, one, two = (torch.randn(n, 3, generator=stream) for _ in range(3))
    has = torch.tensor([node not in absent for node in range(n)])
    first = has.clone()
    first[0] = False
    return z, mean_cue([Cue(one, first), Cue(two, has)]), (one, two, first, has)


def test_the_mean_is_over_the_cues_that_are_there():
    _, mean, (one, two, first, has) = drawn(4, {2})
    assert mean.present.tolist() == has.tolist() == [True, True, False, True]
    assert first.tolist() == [False, True, False, True]
    torch.testing.assert_close(
        mean.vectors[[0, 1, 2]], torch.stack([two[0], (one[1] + two[1]) / 2, two[0] * 0])
    )


def test_alignment_is_that_of_a_plain_loop():
    z, content, _ = drawn(5, {3})
    present = [(node, node) for node in (0, 1, 2, 4)]
    expected = plain_nce(content.vectors, z, present, 0.3)
    assert alignment(z, content, 0.3).item() == pytest.approx(expected, rel=1e-5)
    assert alignment(z[3:4], Cue(content.vectors[3:4], content.present[3:4]), 0.3).item() == 0


def test_attraction_is_that_of_a_plain_loop():
    users, items = drawn(3, {1}), drawn(4, {2})
    # User 0 and item 3 stand twice; item 2 has no cue.
    pairs = [(0, 0), (0, 3), (1, 2), (2, 3)]
    whole = users[0] + users[1].vectors
    expected = plain_nce(whole, items[0], pairs, 0.3)
    expected += plain_nce(whole, items[1].vectors, [pair for pair in pairs if pair[1] != 2], 0.3)
    places = tuple(torch.tensor(side) for side in zip(*pairs, strict=True))
    found = attraction(users[:2], items[:2], places, 0.3)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_models_terms_are_over_the_batchs_users_and_positives():
    model, data = small_magnets.built(SINGLE, small_magnets.world(absent_share=0.0), base={})
    train = data.interactions
    triples = [(u, i, 12 - i) for u, i in zip(train.users.tolist(), train.items.tolist(), strict=True)][:9]
    step = model.eval().loss_terms(worlds.batch(triples))
    scorer = model.scorer()
    users, items = ((s.z, s.cues.mean(1)) for s in (scorer.users, scorer.items))
    pairs = [(u, i) for u, i, _ in triples]
    sides = (users, sorted({u for u, _ in pairs})), (items, sorted({i for _, i in pairs}))
    expected = sum(plain_nce(c, z, [(node, node) for node in nodes], 0.2) for (z, c), nodes in sides)
    assert step.terms["alignment"].item() == pytest.approx(0.1 * expected, rel=1e-4)
    whole = users[0] + users[1]
    expected = sum(plain_nce(whole, table, pairs, 0.2) for table in items)
    assert step.terms["attraction"].item() == pytest.approx(0.1 * expected, rel=1e-4)
