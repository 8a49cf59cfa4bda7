import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alnico.data.interactions import Interactions
from alnico.errors import ConfigError, DataError
from alnico.evaluation.exposure import coverage, exposure_of, gini, long_tail, measure_exposure, novelty
from alnico.ranking import Ranking

LISTS = [[1, 2, 5], [2, 4, 3], [5, 3, 2], [2, 5, -1]]
# Item degrees 6 4 1 1 1 0 over six users.
HISTORIES = [[0], [0], [0, 1], [0, 1], [0, 1, 2], [0, 1, 3, 4]]


@pytest.fixture
def ranking():
    return Ranking(np.arange(4), np.array(LISTS), np.zeros((4, 3), np.float32))


@pytest.fixture
def train():
    users = np.repeat(np.arange(6), [len(history) for history in HISTORIES])
    return Interactions(users, np.concatenate(HISTORIES).astype(np.int64), n_users=6, n_items=6)


def test_exposure_counts_the_lists_that_show_an_item(ranking):
    # First two ranks: 1 2 | 2 4 | 5 3 | 2 5.
    assert exposure_of(ranking, n_items=6, cutoff=2).tolist() == [0, 1, 3, 1, 1, 2]


def test_empty_places_expose_nothing(ranking):
    # All three ranks have 12 places, one of them empty.
    assert exposure_of(ranking, n_items=6, cutoff=3).sum() == 11


def test_all_measures_of_a_small_world(ranking, train):
    found = measure_exposure(ranking, train, cutoff=2)
    assert (found.cutoff, found.n_recommendations) == (2, 8)
    # Exposures 0 1 3 1 1 2: five of six items are shown.
    assert found.coverage == pytest.approx(5 / 6)
    # Degrees 6 4 1 1 1 0: (4 + 3 * 1 + 1 + 1 + 2 * 0) / 8.
    assert found.mean_popularity == pytest.approx(9 / 8)
    # Sorted 0 1 1 1 2 3, factors -5 -3 -1 1 3 5: (0 - 3 - 1 + 1 + 6 + 15) / (6 * 8).
    assert found.gini == pytest.approx(18 / 48)
    # The head is a fifth of six items rounded up: items 0 and 1. One of eight recommendations is item 1.
    assert found.tail_share == pytest.approx(7 / 8)
    # Shares of users, one added to both: item 1 has 5/7; items 2, 3, 4 have 2/7; item 5 has 1/7.
    bits = math.log2(7 / 5) + 5 * math.log2(7 / 2) + 2 * math.log2(7)
    assert found.novelty == pytest.approx(bits / 8)


def test_gini_of_a_hand_worked_value():
    # Sorted 0 0 1 3, factors -3 -1 1 3: (1 + 9) / (4 * 4).
    assert gini(np.array([3, 0, 1, 0])) == pytest.approx(0.625)


def test_gini_is_zero_for_equal_exposure_and_nearly_one_for_a_single_item():
    assert gini(np.full(5, 7)) == pytest.approx(0.0)
    assert gini(np.array([0, 0, 0, 9, 0])) == pytest.approx(4 / 5)


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any))
def test_gini_is_the_mean_difference_between_two_items_over_twice_the_mean(counts):
    values = np.array(counts)
    expected = np.abs(values[:, None] - values).mean() / (2 * values.mean())
    assert gini(values) == pytest.approx(expected, abs=1e-12)


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=12).filter(any), data=st.data())
def test_coverage_and_gini_ignore_the_numbering_of_items(counts, data):
    values = np.array(counts)
    mixed = values[data.draw(st.permutations(range(len(counts))))]
    assert gini(mixed) == pytest.approx(gini(values))
    assert coverage(mixed) == coverage(values)


def test_the_long_tail_leaves_out_a_fifth_of_the_items_with_ties_to_smaller_numbers():
    # Ten items: the head has two. Item 3 is first; items 1, 6 and 8 tie and item 1 is the smallest.
    popularity = np.array([0, 5, 1, 9, 1, 0, 5, 2, 5, 0])
    assert np.flatnonzero(~long_tail(popularity)).tolist() == [1, 3]


def test_an_item_nobody_has_is_finitely_novel():
    # (0 + 1) / (3 + 1) is a quarter: two bits.
    assert novelty(np.array([1, 0]), np.array([0, 3]), n_users=3) == pytest.approx(2.0)


def test_nothing_recommended_covers_nothing_and_has_no_mean(train):
    empty = Ranking(np.arange(2), np.full((2, 3), -1), np.zeros((2, 3), np.float32))
    found = measure_exposure(empty, train, cutoff=3)
    assert (found.n_recommendations, found.coverage) == (0, 0.0)
    assert all(map(math.isnan, (found.mean_popularity, found.gini, found.tail_share, found.novelty)))


def test_lists_shorter_than_the_cutoff_are_refused(ranking):
    with pytest.raises(ConfigError, match="first 10 ranks but the lists hold 3 items"):
        exposure_of(ranking, n_items=6, cutoff=10)


def test_an_item_outside_the_catalogue_is_refused(ranking):
    with pytest.raises(DataError, match="name item number 5 but the catalogue has 4 items"):
        exposure_of(ranking, n_items=4, cutoff=3)
