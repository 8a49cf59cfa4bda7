"""Training triples: each pair once an epoch, and negatives that were never positives."""

from itertools import chain

import numpy as np
import pytest
import torch
from scipy import stats

import worlds
from alnico.errors import DataError
from alnico.training.batches import BatchSource
from alnico.training.negatives import UniformNegatives

CPU = torch.device("cpu")


def triples(source, seed=0):
    """One epoch as a list of batches of (user, positive, negative)."""
    batches = source.epoch(np.random.default_rng(seed), CPU)
    return [
        list(zip(b.users.tolist(), b.positives.tolist(), b.negatives.tolist(), strict=True)) for b in batches
    ]


def flat(batches):
    """The triples of all batches."""
    return list(chain.from_iterable(batches))


def test_a_negative_is_never_a_training_item_of_its_user_and_always_occurs_in_training():
    train = worlds.scattered(seed=2, n_users=40, n_items=12, per_user=6).split.train
    taken = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
    occurring = set(train.items.tolist())
    source = BatchSource(train, 16)
    for seed in range(20):
        for user, _, negative in flat(triples(source, seed)):
            assert (user, negative) not in taken
            assert negative in occurring


def test_negatives_are_uniform_over_what_a_user_may_get():
    # User 0 took items 0 and 1, user 1 took item 2, user 2 the rest; item 7 occurs nowhere.
    train = worlds.interactions([(0, 0), (0, 1), (1, 2), (2, 3), (2, 4), (2, 5), (2, 6)], 3, 8)
    drawn = UniformNegatives(train).draw(np.repeat([0, 1], 6000), np.random.default_rng(0))
    for user, allowed in ((0, [2, 3, 4, 5, 6]), (1, [0, 1, 3, 4, 5, 6])):
        counts = np.bincount(drawn[user * 6000 : (user + 1) * 6000], minlength=8)
        assert np.flatnonzero(counts).tolist() == allowed
        assert stats.chisquare(counts[allowed]).pvalue > 0.001


def test_negatives_have_the_law_of_drawing_and_rejecting_one_by_one():
    train = worlds.scattered(seed=9, n_users=6, n_items=9, per_user=4).split.train
    taken = {(u, i) for u, i in zip(train.users.tolist(), train.items.tolist(), strict=True)}
    candidates = sorted(set(train.items.tolist()))
    rng = np.random.default_rng(1)
    ours = np.bincount(UniformNegatives(train).draw(np.full(5000, 3), rng), minlength=9)
    theirs = np.zeros(9)
    while theirs.sum() < 5000:
        item = int(rng.choice(candidates))
        if (3, item) not in taken:
            theirs[item] += 1
    both = np.array([ours, theirs])
    both = both[:, both.sum(0) > 0]
    assert stats.chi2_contingency(both).pvalue > 0.001


def test_an_epoch_covers_each_pair_once_and_keeps_the_short_last_batch():
    train = worlds.scattered(seed=1).split.train
    source = BatchSource(train, 10)
    batches = triples(source)
    # User 0 has one item, the other 11 users four each: 45 pairs.
    assert [len(batch) for batch in batches] == [10, 10, 10, 10, 5]
    assert len(source) == 5
    pairs = sorted((user, item) for user, item, _ in flat(batches))
    assert pairs == sorted(zip(train.users.tolist(), train.items.tolist(), strict=True))


def test_the_same_stream_gives_the_same_epoch_and_another_stream_another_order():
    source = BatchSource(worlds.scattered().split.train, 10)
    assert triples(source, 3) == triples(source, 3)
    assert triples(source, 3) != triples(source, 4)


def test_a_user_who_took_everything_is_left_out():
    # Both items that occur are user 0's; item 2 occurs nowhere and cannot be a negative.
    train = worlds.interactions([(0, 0), (0, 1), (1, 0)], 2, 3)
    assert triples(BatchSource(train, 8)) == [[(1, 0, 1)]]


def test_where_everybody_took_everything_training_is_refused():
    train = worlds.interactions([(0, 0), (1, 0)], 2, 2)
    with pytest.raises(DataError, match="no training triple can be formed: every user took every item"):
        BatchSource(train, 8)


def test_event_strengths_come_along_with_mean_one():
    strengths = np.array([1.0, 2.0, 5.0], np.float32)
    train = worlds.interactions([(0, 0), (0, 1), (1, 2)], 2, 3, weights=strengths)
    # The mean strength is 8 / 3.
    expected = {(0, 0): 3 / 8, (0, 1): 6 / 8, (1, 2): 15 / 8}
    (batch,) = BatchSource(train, 8).epoch(np.random.default_rng(0), CPU)
    for user, item, weight in zip(
        batch.users.tolist(), batch.positives.tolist(), batch.weights.tolist(), strict=True
    ):
        assert weight == pytest.approx(expected[user, item])


def test_without_strengths_every_pair_weighs_one():
    (batch,) = BatchSource(worlds.interactions([(0, 0), (1, 1)], 2, 2), 8).epoch(
        np.random.default_rng(0), CPU
    )
    assert batch.weights.tolist() == [1, 1]
    assert len(batch) == 2
