"""Lists that grow block by block, against sorting the whole table."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alnico.kernels.nearest import feed_lists, feed_row_lists, spread_lists


def lists_from_blocks(table, k, side):
    """The lists after all blocks on and above the diagonal have come in."""
    n = len(table)
    items, values = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    for top in range(0, n, side):
        for left in range(top, n, side):
            block = np.ascontiguousarray(table[top : top + side, left : left + side])
            feed_lists(torch.from_numpy(block), top, left, items, values)
    return items, values


def symmetric_table(n, seed, different):
    """A symmetric table with few different values, so that ties abound."""
    table = np.random.default_rng(seed).integers(0, different, (n, n))
    return (np.triu(table) + np.triu(table, 1).T).astype(np.float32)


@given(st.integers(1, 12), st.integers(0, 10**6), st.integers(1, 14), st.integers(1, 12))
def test_blocks_in_any_size_give_the_sorted_lists(n, seed, k, side):
    table = symmetric_table(n, seed, 4)
    items, values = lists_from_blocks(table, k, side)
    for row, scores in enumerate(table.tolist()):
        best = sorted(range(n), key=lambda other: (-scores[other], other))[:k]
        assert items[row].tolist() == best + [-1] * (k - len(best))
        assert values[row].tolist() == [scores[other] for other in best] + [-np.inf] * (k - len(best))


@pytest.mark.parametrize("side", [100, 300, 700])
def test_tables_wider_than_a_tile_give_the_sorted_lists(side):
    # 700 columns are several of the pieces in which blocks are read, the last of each cut short.
    table = symmetric_table(700, 5, 2000)
    items, _ = lists_from_blocks(table, 9, side)
    np.testing.assert_array_equal(items, np.argsort(-table, axis=1, kind="stable")[:, :9])


@pytest.mark.parametrize(("rows", "columns"), [(3, 5), (70, 300)])
def test_blocks_of_any_table_give_the_sorted_lists_of_its_rows(rows, columns):
    table = np.random.default_rng(6).integers(0, 40, (rows, columns)).astype(np.float32)
    items, values = np.full((rows, 4), -1, np.int32), np.full((rows, 4), -np.inf, np.float32)
    for left in range(0, columns, 128):
        for top in range(0, rows, 32):
            block = np.ascontiguousarray(table[top : top + 32, left : left + 128])
            feed_row_lists(torch.from_numpy(block), top, left, items, values)
    best = np.argsort(-table, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(items, best)
    np.testing.assert_array_equal(values, np.take_along_axis(table, best, 1))


def test_members_of_classes_by_hand():
    # Members 0 and 4 are of class 0, 1 and 3 of class 1, 2 of class 2.
    class_of = np.array([0, 1, 2, 1, 0])
    classes = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]], dtype=np.int32)
    scores = np.array([[1.0, 0.5, 0.5], [1.0, 0.2, 0.1], [1.0, 1.0, 0.3]], dtype=np.float32)
    items, values = spread_lists(classes, scores, class_of, np.arange(5), class_of, 3)
    # Member 0: its twin 4, then 1, 2, 3 of equal score. Member 2: class 0 scores like itself.
    assert items.tolist() == [[4, 1, 2], [3, 2, 0], [0, 4, 1], [1, 2, 0], [0, 1, 2]]
    assert values[0].tolist() == [1.0, 0.5, 0.5]
    assert values[2].tolist() == pytest.approx([1.0, 1.0, 0.3])


def test_short_lists_of_classes_leave_fillers():
    class_of = np.array([0, 1])
    classes = np.array([[0, -1], [1, -1]], dtype=np.int32)
    scores = np.array([[1.0, -np.inf], [1.0, -np.inf]], dtype=np.float32)
    items, values = spread_lists(classes, scores, class_of, np.arange(2), class_of, 2)
    assert items.tolist() == [[-1, -1], [-1, -1]]
    assert values.tolist() == [[0, 0], [0, 0]]


@given(st.data())
def test_members_agree_with_sorting_all_of_them(data):
    n = data.draw(st.integers(2, 12))
    raw = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    class_of = np.array([sorted(set(raw), key=raw.index).index(kind) for kind in raw])
    n_classes = int(class_of.max()) + 1
    table = symmetric_table(n_classes, data.draw(st.integers(0, 10**6)), 3)
    k = data.draw(st.integers(1, n - 1))
    lists = lists_from_blocks(table, min(k + 1, n_classes), 3)
    items, _ = spread_lists(*lists, class_of, np.arange(n), class_of, k)
    for item in range(n):
        scores = table[class_of[item], class_of]
        others = [other for other in range(n) if other != item]
        assert items[item].tolist() == sorted(others, key=lambda other: (-scores[other], other))[:k]
