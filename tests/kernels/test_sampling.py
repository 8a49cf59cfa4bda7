"""Drawing entries of rows: how many, in which order, and how often each."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chisquare

from alnico.kernels.sampling import choose_within_rows


def drawn(starts, most, seed=0):
    return choose_within_rows(np.array(starts, np.int64), most, np.random.default_rng(seed))


def test_short_rows_stay_whole_and_long_ones_are_cut_in_order():
    starts, kept = drawn([0, 2, 2, 7, 10], 3)
    assert starts.tolist() == [0, 2, 2, 5, 8]
    assert kept[:2].tolist() == [0, 1]
    assert kept[5:].tolist() == [7, 8, 9]
    middle = kept[2:5].tolist()
    assert middle == sorted(set(middle))
    assert set(middle) <= {2, 3, 4, 5, 6}


@pytest.mark.parametrize(("length", "most"), [(5, 2), (6, 3), (4, 1)])
def test_every_subset_is_equally_likely(length, most):
    n_rows = 30_000
    starts, kept = drawn(np.arange(n_rows + 1) * length, most)
    chosen = kept.reshape(n_rows, most) - (np.arange(n_rows) * length)[:, None]
    assert (np.diff(starts) == most).all()
    subsets = {subset: place for place, subset in enumerate(combinations(range(length), most))}
    counts = np.bincount([subsets[tuple(row)] for row in chosen.tolist()], minlength=len(subsets))
    assert chisquare(counts).pvalue > 1e-3


def test_a_row_is_drawn_anew_from_each_state_of_the_generator():
    rng = np.random.default_rng(0)
    starts = np.arange(1001, dtype=np.int64) * 5
    first, second = (choose_within_rows(starts, 1, rng)[1] - starts[:-1] for _ in range(2))
    # One of five each time: the two agree in a fifth of the rows.
    assert (first == second).mean() == pytest.approx(0.2, abs=0.05)


def test_the_same_generator_state_gives_the_same_draw():
    starts = np.arange(101) * 7
    assert np.array_equal(drawn(starts, 3)[1], drawn(starts, 3)[1])
    assert not np.array_equal(drawn(starts, 3)[1], drawn(starts, 3, seed=1)[1])


def test_nothing_to_draw_from():
    starts, kept = drawn([0], 3)
    assert starts.tolist() == [0]
    assert not len(kept)
