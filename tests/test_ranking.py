"""Lists and masks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import worlds
from alnico.ranking import Ranking, Seen, as_users, ranking_from_scores, stack


def ints(*values):
    """User or item numbers."""
    return np.array(values, dtype=np.int64)


def test_seen_lists_of_some_users_by_hand():
    seen = Seen(ints(0, 2, 2, 5), ints(1, 4, 0, 2, 3))
    some = seen.rows(ints(2, 1, 0, 2))
    assert some.offsets.tolist() == [0, 3, 3, 5, 8]
    assert some.items.tolist() == [0, 2, 3, 1, 4, 0, 2, 3]


@given(st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=6), st.data())
def test_seen_lists_of_some_users_are_theirs(lists, data):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    flat = np.array([item for row in lists for item in sorted(row)], dtype=np.int64)
    users = data.draw(st.lists(st.integers(0, len(lists) - 1)))
    some = Seen(offsets, flat).rows(np.array(users, dtype=np.int64))
    for place, user in enumerate(users):
        own = some.items[some.offsets[place] : some.offsets[place + 1]]
        assert own.tolist() == sorted(lists[user])


def test_nothing_seen():
    seen = Seen.nothing(3)
    assert seen.rows(ints(2, 0)).offsets.tolist() == [0, 0, 0]


def test_a_ranking_names_its_users_and_leaves_out_what_they_saw():
    scores = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0]])
    ranking = ranking_from_scores(scores, ints(7, 4), Seen(ints(0, 1, 1), ints(1)), 2)
    assert ranking.users.tolist() == [7, 4]
    assert ranking.items.tolist() == [[2, 0], [1, 2]]
    assert ranking.scores.tolist() == [[2, 1], [3, 2]]
    assert ranking.k == 2


def test_rankings_stack_in_order():
    blocks = [
        ranking_from_scores(torch.eye(3), ints(*users), Seen.nothing(3), 1)
        for users in ([0, 1, 2], [5, 4, 3])
    ]
    both = stack(blocks, 1)
    assert both.users.tolist() == [0, 1, 2, 5, 4, 3]
    assert both.items.ravel().tolist() == [0, 1, 2, 0, 1, 2]


def test_no_users_make_an_empty_ranking_of_the_right_width():
    empty = stack([], 5)
    assert empty.items.shape == empty.scores.shape == (0, 5)


def test_a_ranking_cannot_be_changed_and_does_not_change_its_makers_arrays():
    items = ints(1, 0).reshape(1, 2)
    ranking = Ranking(ints(0), items, np.zeros((1, 2), np.float32))
    items[0, 0] = 9
    assert ranking.items.tolist() == [[1, 0]]
    with pytest.raises(ValueError, match="read-only"):
        ranking.items[0, 0] = 3


def test_training_items_become_a_mask():
    train = worlds.interactions([(0, 3), (0, 1), (2, 0)], 3, 4)
    seen = worlds.seen_of(train)
    assert seen.rows(ints(0)).items.tolist() == [1, 3]
    assert seen.rows(ints(1)).items.tolist() == []


def test_users_become_a_tensor_of_their_own():
    users = ints(1, 2)
    tensor = as_users(users, torch.device("cpu"))
    users[0] = 9
    assert tensor.tolist() == [1, 2]


def test_one_users_mask_is_sorted_and_nobody_elses():
    seen = Seen.by_one(3, 1, ints(4, 0, 4))
    assert seen.offsets.tolist() == [0, 0, 2, 2]
    assert seen.items.tolist() == [0, 4]
