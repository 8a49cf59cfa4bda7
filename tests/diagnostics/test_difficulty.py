"""Difficulty of held-out pairs, counted on paper."""

import numpy as np
import pytest

import worlds
from alnico.diagnostics.difficulty import (
    composition,
    counted,
    literal_buckets,
    relative_buckets,
    scores_by_bucket,
    visibility,
)
from alnico.errors import DataError
from alnico.ranking import Ranking

# User 0 has items 0, 1, 2; user 1 has item 3; user 2 has items 0 to 4.
TRAIN = worlds.interactions([(0, 0), (0, 1), (0, 2), (1, 3), *((2, item) for item in range(5))], 3, 8)
# Two places per list. Items 5, 6 and 7 are held out.
LISTS = {
    "image": worlds.neighbour_lists([[], [], [], [], [], [(0, 1.0), (1, 0.9)], [(3, 1.0), (5, 0.5)], []], 2),
    "text": worlds.neighbour_lists([[], [], [], [], [], [(2, 1.0), (6, 0.9)], [(5, 1.0), (7, 0.5)], []], 2),
}
# In order of user and item: (0, 5), (0, 7), (1, 6), (2, 6).
TARGETS = worlds.targets([(0, 5), (0, 7), (1, 6), (2, 6)])


def test_visibility_by_hand() -> None:
    seen = visibility(TRAIN, TARGETS, LISTS)
    # (0, 5): items 0 and 1 by image, 2 by text. (0, 7): nothing is near 7. (1, 6): item 3 by image. (2, 6): the same.
    assert seen.counts.tolist() == [3, 0, 1, 1]
    # Of four places in all.
    assert seen.literal.tolist() == [0.75, 0, 0.25, 0.25]
    # User 1 with one item can fill one place of each list: 2; the others 4.
    assert seen.reachable.tolist() == [0.75, 0, 0.5, 0.25]


def test_empty_places_of_short_lists_match_nobody() -> None:
    # Item 7 has no neighbours: its lists hold -1, which must not be read as the last item of the user before.
    train = worlds.interactions([(0, 7), (1, 0)], 2, 8)
    assert visibility(train, worlds.targets([(1, 7)]), LISTS).counts.tolist() == [0]


def test_data_without_lists_are_refused() -> None:
    with pytest.raises(DataError, match="at least one modality"):
        visibility(TRAIN, TARGETS, {})


def test_literal_and_relative_groups() -> None:
    seen = visibility(TRAIN, TARGETS, LISTS)
    assert counted(literal_buckets(seen)) == {"easy": 1, "medium": 2, "hard": 1}
    # The visible pairs reach .75, .5 and .25; the median is .5.
    assert relative_buckets(seen).tolist() == [0, 2, 1, 1]


def test_half_of_the_places_is_enough_to_be_literally_easy() -> None:
    near = [[(0, 1.0), (1, 0.9)] if item >= 5 else [] for item in range(8)]
    lists = {"image": worlds.neighbour_lists(near, 4)}
    train = worlds.interactions([(0, 0), (0, 1), (1, 0)], 2, 8)
    seen = visibility(train, worlds.targets([(0, 5), (1, 5)]), lists)
    # Two of four places, though the history is shorter than four; and one of four.
    assert counted(literal_buckets(seen)) == {"easy": 1, "medium": 1, "hard": 0}


def test_short_histories_are_never_literally_easy_but_relatively() -> None:
    # Lists of 6 places each: with two items nobody can fill half of twelve.
    near = [[(0, 1.0), (1, 0.9)] if item >= 5 else [] for item in range(8)]
    lists = {"image": worlds.neighbour_lists(near, 6), "text": worlds.neighbour_lists([[]] * 8, 6)}
    train = worlds.interactions([(0, 0), (0, 1), (1, 0), (1, 2), (2, 4)], 3, 8)
    seen = visibility(train, worlds.targets([(0, 5), (1, 5), (2, 5)]), lists)
    assert counted(literal_buckets(seen)) == {"easy": 0, "medium": 2, "hard": 1}
    # 2 of 4 fillable places against 1 of 4.
    assert relative_buckets(seen).tolist() == [0, 1, 2]


def test_nothing_visible_is_all_hard() -> None:
    seen = visibility(TRAIN, worlds.targets([(0, 7)]), LISTS)
    assert relative_buckets(seen).tolist() == [2]


def test_scores_of_a_bucket_keep_the_list_whole() -> None:
    seen = visibility(TRAIN, TARGETS, LISTS)
    ranking = Ranking(np.arange(3), np.array([[7, 5], [6, 5], [5, 6]]), np.zeros((3, 2), np.float32))
    told = scores_by_bucket(ranking, TARGETS, literal_buckets(seen), "ndcg@2")
    # Easy: item 5 of user 0 stands second, behind item 7 that counts as a miss: 1 / log2 3.
    assert told["easy"].users.tolist() == [0]
    assert told["easy"].mean("ndcg@2") == pytest.approx(1 / np.log2(3))
    # Medium: user 1 first, user 2 second. Hard: user 0 first.
    assert told["medium"].of("ndcg@2") == pytest.approx([1, 1 / np.log2(3)])
    assert told["hard"].of("ndcg@2") == pytest.approx([1])


def test_composition_weighs_pairs() -> None:
    buckets = literal_buckets(visibility(TRAIN, TARGETS, LISTS))
    users = TARGETS.pairs()[0]
    told = composition(buckets, {"one": users == 0, "others": users > 0, "nobody": users > 7})
    assert told == {
        "one": {"easy": 0.5, "medium": 0.0, "hard": 0.5},
        "others": {"easy": 0.0, "medium": 1.0, "hard": 0.0},
    }
