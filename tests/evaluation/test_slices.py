import math

import numpy as np
import pytest

from alnico.data.interactions import Interactions
from alnico.data.split import Targets
from alnico.evaluation.evaluate import evaluate
from alnico.evaluation.slices import all_slices, by_activity, by_popularity, on_unseen_items, thirds
from alnico.ranking import Ranking

# User -> training items. User degrees 1 1 2 2 3 4; item degrees 6 4 1 1 1 0.
HISTORIES = {0: [0], 1: [0], 2: [0, 1], 3: [0, 1], 4: [0, 1, 2], 5: [0, 1, 3, 4]}
# By popularity: items 5 and 2 (degrees 0, 1), items 3 and 4 (1, 1), items 1 and 0 (4, 6). Item 5 is unseen.
LISTS = {0: [1, 2, 5], 2: [2, 4, 3], 3: [5, 3, 2], 5: [2, 5, -1]}
HELD_OUT = {0: [1, 5], 2: [3], 3: [2, 4], 5: [2]}


def pairs(items_of_user):
    users = [user for user, items in items_of_user.items() for _ in items]
    return np.array(users, np.int64), np.array(
        [i for items in items_of_user.values() for i in items], np.int64
    )


@pytest.fixture
def train():
    return Interactions(*pairs(HISTORIES), n_users=6, n_items=6)


@pytest.fixture
def ranking():
    lists = np.array(list(LISTS.values()))
    return Ranking(np.array(list(LISTS)), lists, np.zeros(lists.shape, np.float32))


@pytest.fixture
def targets():
    return Targets.of(*pairs(HELD_OUT))


def test_thirds_go_by_degree_then_position_and_the_earlier_ones_are_larger():
    # Sorted: positions 1 4 (degree 1), 0 2 6 (degree 2), 3 (5), 5 (9); seven in groups of 3, 2, 2.
    groups = thirds(np.array([2, 1, 2, 5, 1, 9, 2]))
    assert {name: group.tolist() for name, group in groups.items()} == {
        "low": [1, 4, 0],
        "middle": [2, 6],
        "high": [3, 5],
    }


def test_activity_groups_the_users_who_have_held_out_items(ranking, targets, train):
    found = by_activity(ranking, targets, train, ["recall@2"])
    # Users 0 2 3 5 have degrees 1 2 2 4: groups of 2, 1, 1.
    assert [part.scores.users.tolist() for part in found.values()] == [[0, 2], [3], [5]]
    # Within 2 ranks: user 0 one of two, user 2 none; user 3 none of two; user 5 its one.
    assert [part.scores.mean("recall@2") for part in found.values()] == [0.25, 0.0, 1.0]
    assert [part.degrees for part in found.values()] == [(1, 2), (2, 2), (4, 4)]
    assert [part.n_targets for part in found.values()] == [3, 2, 1]
    assert [part.n_users for part in found.values()] == [2, 1, 1]


def test_activity_groups_give_back_the_whole(ranking, targets, train):
    whole = evaluate(ranking, targets, ["ndcg@3"])
    parts = by_activity(ranking, targets, train, ["ndcg@3"]).values()
    users = np.concatenate([part.scores.users for part in parts])
    values = np.concatenate([part.scores.of("ndcg@3") for part in parts])
    assert values[np.argsort(users)].tolist() == whole.of("ndcg@3").tolist()


def test_popularity_thirds_keep_the_lists_and_restrict_what_is_held_out(ranking, targets, train):
    found = by_popularity(ranking, targets, train, ["reciprocal_rank@3", "recall@2"])
    assert list(found) == ["low", "middle", "high"]
    # Low, items 2 and 5: user 0 has 5 at rank 3 (1 at rank 1 counts as a miss), user 3 has 2 at rank 3,
    # user 5 has 2 at rank 1.
    assert found["low"].scores.users.tolist() == [0, 3, 5]
    assert found["low"].scores.of("reciprocal_rank@3") == pytest.approx([1 / 3, 1 / 3, 1.0])
    assert found["low"].scores.mean("recall@2") == pytest.approx(1 / 3)
    # Middle, items 3 and 4: user 2 has 3 at rank 3, user 3 does not have 4.
    assert found["middle"].scores.users.tolist() == [2, 3]
    assert found["middle"].scores.of("reciprocal_rank@3") == pytest.approx([1 / 3, 0.0])
    # High, items 0 and 1: user 0 has 1 at rank 1.
    assert found["high"].scores.of("reciprocal_rank@3") == pytest.approx([1.0])
    assert [part.n_members for part in found.values()] == [2, 2, 2]
    assert [part.n_targets for part in found.values()] == [3, 2, 1]
    assert [part.degrees for part in found.values()] == [(0, 1), (1, 1), (4, 6)]


def test_unseen_items_are_those_without_a_training_user(ranking, targets, train):
    found = on_unseen_items(ranking, targets, train, ["reciprocal_rank@3"])
    # Item 5 only, held out for user 0, at rank 3.
    assert found.scores.users.tolist() == [0]
    assert found.scores.mean("reciprocal_rank@3") == pytest.approx(1 / 3)
    assert (found.n_members, found.n_users, found.n_targets, found.degrees) == (1, 1, 1, (0, 0))


def test_a_slice_without_users_has_undefined_means(ranking, train):
    # Only popular items are held out, and nothing is asked of unseen ones.
    found = on_unseen_items(ranking, Targets.of(np.array([0]), np.array([1])), train, ["recall@3"])
    assert (found.n_members, found.n_users, found.n_targets) == (1, 0, 0)
    assert math.isnan(found.scores.mean("recall@3"))


def test_a_group_without_members_has_no_degrees(ranking, targets):
    # Everybody has everything but item 0 stays out of use: no item is unseen.
    full = Interactions(np.repeat(np.arange(6), 6), np.tile(np.arange(6), 6), n_users=6, n_items=6)
    found = on_unseen_items(ranking, targets, full, ["recall@3"])
    assert (found.n_members, found.degrees) == (0, None)


def test_one_user_fills_the_first_activity_group_only(ranking, train):
    found = by_activity(ranking, Targets.of(np.array([0]), np.array([1])), train, ["recall@1"])
    assert [part.n_users for part in found.values()] == [1, 0, 0]
    assert found["low"].scores.mean("recall@1") == 1.0
    assert found["high"].degrees is None


def test_all_slices_have_fixed_names(ranking, targets, train):
    found = all_slices(ranking, targets, train, ["recall@3"])
    assert list(found) == [
        "activity low",
        "activity middle",
        "activity high",
        "popularity low",
        "popularity middle",
        "popularity high",
        "unseen items",
    ]
    # Each held-out item belongs to one activity group and to one popularity group.
    n_targets = [part.n_targets for part in found.values()]
    assert sum(n_targets[:3]) == sum(n_targets[3:6]) == 6
