"""The best unseen items of each row, against plain sorting."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alnico.errors import ConfigError
from alnico.kernels.top_items import top_items, top_items_reference

BOTH = pytest.mark.parametrize("best_of", [top_items, top_items_reference], ids=["kernel", "reference"])


def seen_arrays(lists):
    """Offsets and items from one list of seen items per row."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return offsets, np.array([item for row in lists for item in sorted(row)], dtype=np.int64)


@st.composite
def questions(draw):
    """Scores of few different values, so that ties abound; some items of each row seen; any k."""
    n_rows, n_items = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    rows = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.5, 3.0]), min_size=n_items, max_size=n_items)
    scores = draw(st.lists(rows, min_size=n_rows, max_size=n_rows))
    seen = [draw(st.sets(st.integers(0, n_items - 1))) for _ in range(n_rows)]
    return torch.tensor(scores), seen, draw(st.integers(1, 10))


@BOTH
def test_list_by_hand(best_of):
    scores = torch.tensor([[0.1, 0.7, 0.7, 0.9], [0.5, 0.5, 0.5, 0.5]])
    items, values = best_of(scores, *seen_arrays([[3], [0, 2]]), 3)
    # Row 0: item 3 is seen; 1 and 2 tie and the smaller comes first. Row 1: two candidates, so a filler.
    assert items.tolist() == [[1, 2, 0], [1, 3, -1]]
    assert values[0].tolist() == pytest.approx([0.7, 0.7, 0.1])
    assert values[1].tolist() == [0.5, 0.5, -np.inf]


@BOTH
def test_a_row_that_has_seen_everything_gets_only_fillers(best_of):
    items, values = best_of(torch.tensor([[3.0, 1.0]]), *seen_arrays([[0, 1]]), 2)
    assert items.tolist() == [[-1, -1]]
    assert np.isneginf(values).all()


@BOTH
def test_more_places_than_items_are_filled_up(best_of):
    items, values = best_of(torch.tensor([[1.0, 2.0]]), *seen_arrays([[]]), 4)
    assert items.tolist() == [[1, 0, -1, -1]]
    assert values.tolist() == [[2, 1, -np.inf, -np.inf]]


def test_a_list_without_a_place_is_refused():
    with pytest.raises(ConfigError, match="a list needs at least one place; found k = 0"):
        top_items(torch.ones(1, 2), *seen_arrays([[]]), 0)


@given(questions())
def test_kernel_and_reference_agree_with_sorting_in_python(question):
    scores, seen, k = question
    expected = []
    for row, own in zip(scores.tolist(), seen, strict=True):
        free = [item for item in range(len(row)) if item not in own]
        best = sorted(free, key=lambda item: (-row[item], item))[:k]
        expected.append(best + [-1] * (k - len(best)))
    for best_of in (top_items, top_items_reference):
        items, values = best_of(scores, *seen_arrays(seen), k)
        assert items.tolist() == expected
        listed = np.where(items >= 0, np.take_along_axis(scores.numpy(), np.maximum(items, 0), 1), -np.inf)
        np.testing.assert_array_equal(values, listed.astype(np.float32))


def test_kernel_agrees_with_reference_on_a_large_table_with_ties():
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.integers(0, 40, (50, 300)).astype(np.float32))
    lists = [np.flatnonzero(rng.random(300) < 0.1).tolist() for _ in range(50)]
    fast = top_items(scores, *seen_arrays(lists), 20)
    plain = top_items_reference(scores, *seen_arrays(lists), 20)
    np.testing.assert_array_equal(fast[0], plain[0])
    np.testing.assert_array_equal(fast[1], plain[1])


def test_scores_of_other_precision_or_layout_are_read_correctly():
    scores = torch.tensor([[1.0, 5.0], [2.0, 4.0], [3.0, 0.0]], dtype=torch.float64).T
    items, _ = top_items(scores, *seen_arrays([[], []]), 1)
    assert items.tolist() == [[2], [0]]
