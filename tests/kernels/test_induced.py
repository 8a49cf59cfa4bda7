"""The most visible items of each user, against a loop over users."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alnico.kernels.induced import most_visible


def question(seed, n_users=9, n_items=14, places=5):
    """Histories, lists with fillers and ties, and a table of small whole numbers, whose sums are exact."""
    rng = np.random.default_rng(seed)
    histories = [np.sort(rng.choice(n_items, rng.integers(0, 5), replace=False)) for _ in range(n_users)]
    lists = rng.integers(-1, n_items, (n_items, places)).astype(np.int32)
    weights = np.where(lists < 0, 0, rng.integers(-2, 3, lists.shape)).astype(np.float32)
    return histories, lists, weights, rng.integers(-2, 3, (n_items, 3)).astype(np.float32)


def plain(histories, lists, weights, n_lists, per_user, table):
    """The same, one candidate at a time."""
    counts, items, visibility = [], [], []
    for history in histories:
        pool = {int(other) for item in history for other in lists[item] if other >= 0} - set(history.tolist())
        seen = {}
        for other in pool:
            if table is None:
                listed = lists[history] == other
                seen[other] = float(np.maximum(weights[history][listed], 0).sum()) / n_lists
            else:
                seen[other] = float(table[history].sum(0) @ table[other]) / n_lists
        best = sorted(pool, key=lambda other: (-seen[other], other))[:per_user]
        counts.append(len(best))
        items += best
        visibility += [seen[other] for other in best]
    return counts, items, visibility


@pytest.mark.parametrize("full", [True, False])
@given(seed=st.integers(0, 10**6), per_user=st.integers(1, 15), n_lists=st.sampled_from([1, 2, 4]))
def test_kernel_agrees_with_a_loop_over_users(full, seed, per_user, n_lists):
    histories, lists, weights, table = question(seed)
    offsets = np.concatenate([[0], np.cumsum([len(own) for own in histories])])
    table = table if full else None
    rest = (lists, weights, n_lists, per_user, table)
    counts, items, visibility = most_visible(offsets, np.concatenate(histories).astype(np.int64), *rest)
    expected = plain(histories, *rest)
    assert counts.tolist() == expected[0]
    assert items.tolist() == expected[1]
    assert visibility.tolist() == expected[2]


def test_a_large_pool_is_put_in_order():
    # One item lists 5,000 others with few different weights: the cut goes through a crowd of ties.
    rng = np.random.default_rng(0)
    lists = np.full((6000, 5000), -1, np.int32)
    lists[0] = rng.permutation(np.arange(1, 6000))[:5000]
    weights = np.zeros((6000, 5000), np.float32)
    weights[0] = rng.integers(1, 9, 5000)
    _, items, visibility = most_visible(np.array([0, 1]), np.zeros(1, np.int64), lists, weights, 1, 700, None)
    best = np.lexsort((lists[0], -weights[0]))[:700]
    np.testing.assert_array_equal(items, lists[0][best])
    np.testing.assert_array_equal(visibility, weights[0][best])
