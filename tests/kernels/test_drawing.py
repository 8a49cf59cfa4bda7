"""Rows drawn from groups."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from alnico.kernels.drawing import draw_rows


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 10), st.integers(0, 10**6))
def test_each_group_gives_its_share_and_no_row_twice(sizes, cap, seed):
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    rows = draw_rows(offsets, cap, np.random.default_rng(seed))
    assert (np.diff(rows) > 0).all()
    group = np.searchsorted(offsets, rows, side="right") - 1
    assert np.bincount(group, minlength=len(sizes)).tolist() == [min(size, cap) for size in sizes]


def test_every_choice_of_three_from_five_is_as_likely():
    rng = np.random.default_rng(0)
    # 6,000 groups of five at once; ten choices of three.
    rows = draw_rows(np.arange(0, 30_001, 5), 3, rng).reshape(-1, 3) % 5
    counts = np.unique(rows @ [25, 5, 1], return_counts=True)[1]
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 0.001
