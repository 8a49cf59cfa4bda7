"""Which events count, and whose."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alnico.data.dataset import Dataset, ItemCards
from alnico.data.features import ItemFeatures, Modality
from alnico.data.filtering import (
    core_masks,
    filter_to_core,
    keep_events,
    keep_rated,
    merge_duplicates,
    renumber,
)
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError


def interactions(pairs: list[tuple[int, int]], n_users: int, n_items: int) -> Interactions:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Interactions(table[:, 0], table[:, 1], n_users, n_items)


# Users 0 and 1 share items 0 and 1: a 2-core. User 2 has items 1 and 2, but item 2 has nobody else; without
# it user 2 has only one item left and falls in the second round. User 3 has one item from the start.
CHAIN = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2, 2), (3, 0)]


def test_core_is_taken_to_a_fixed_point() -> None:
    kept, users, items = core_masks(interactions(CHAIN, 4, 3), 2, 2)
    assert users.tolist() == [True, True, False, False]
    assert items.tolist() == [True, True, False]
    assert kept.tolist() == [True, True, True, True, False, False, False]


def test_one_sided_minimum_leaves_items_alone() -> None:
    # Users 0, 1, 2 have two interactions each; item 2 keeps its single user, and would stay even without.
    kept, users, items = core_masks(interactions(CHAIN, 4, 3), 2, 0)
    assert users.tolist() == [True, True, True, False]
    assert items.all()
    assert kept.sum() == 6


@given(
    st.sets(st.tuples(st.integers(0, 6), st.integers(0, 5)), min_size=1),
    st.integers(0, 4),
    st.integers(0, 4),
)
def test_core_equals_taking_away_one_row_at_a_time(
    pairs: set[tuple[int, int]], users: int, items: int
) -> None:
    left = set(pairs)
    while True:
        weak = next(
            (
                pair
                for pair in sorted(left)
                if sum(user == pair[0] for user, _ in left) < users
                or sum(item == pair[1] for _, item in left) < items
            ),
            None,
        )
        if weak is None:
            break
        left.remove(weak)
    events = interactions(sorted(pairs), 7, 6)
    kept, _, _ = core_masks(events, users, items)
    assert set(zip(events.users[kept].tolist(), events.items[kept].tolist(), strict=True)) == left


def test_what_stays_keeps_its_names_labels_vectors_and_neighbours() -> None:
    # Item "a" is new and has nobody: items b, c, d are the chain's items 0, 1, 2.
    shifted = interactions([(user, item + 1) for user, item in CHAIN], 4, 4)
    dataset = Dataset(
        "chain",
        shifted,
        ItemFeatures(
            4,
            {
                "image": Modality(
                    np.arange(8, dtype=np.float32).reshape(4, 2), np.array([True, True, False, True])
                )
            },
        ),
        IdMap(np.array(["ann", "bob", "cat", "dan"]), "user"),
        IdMap(np.array(["a", "b", "c", "d"]), "item"),
        np.array([0, 1, 2, 0, 0, 1, 2], np.int8),
        {
            "given": ItemNeighbours(
                np.array([[1, 2], [0, 2], [3, 1], [0, -1]], np.int32),
                np.array([[0.9, 0.8], [0.7, 0.6], [0.5, 0.4], [0.3, 0]], np.float32),
            )
        },
        ItemCards({"title": ("A", "B", "C", "D")}),
    )
    smaller, dropped = filter_to_core(dataset, 2, 2)
    assert (dropped.users, dropped.items, dropped.interactions) == (2, 2, 3)
    assert smaller.users.names.tolist() == ["ann", "bob"]
    assert smaller.items.names.tolist() == ["b", "c"]
    assert smaller.labels is not None
    assert smaller.labels.tolist() == [0, 1, 2, 0]
    assert smaller.features["image"].vectors.tolist() == [[2, 3], [4, 5]]
    assert smaller.features["image"].present.tolist() == [True, False]
    assert smaller.cards.get("title", 1) == "C"
    # b listed (a, c) and keeps c, its number now 1; c listed (d, b) and keeps b, moved to the front.
    assert smaller.neighbours["given"].items.tolist() == [[1, -1], [0, -1]]
    assert smaller.neighbours["given"].weights == pytest.approx(np.array([[0.6, 0], [0.4, 0]]))


def test_item_minimum_of_zero_keeps_items_without_interactions() -> None:
    features = ItemFeatures(4)
    dataset = Dataset("chain", interactions(CHAIN, 4, 4), features, IdMap.range(4), IdMap.range(4))
    smaller, dropped = filter_to_core(dataset, users=2)
    assert smaller.n_items == 4
    assert dropped.users == 1


def test_core_that_leaves_nothing_is_an_error() -> None:
    dataset = Dataset("chain", interactions(CHAIN, 4, 3), ItemFeatures(3), IdMap.range(4), IdMap.range(3))
    with pytest.raises(DataError, match="no interaction is left when users need 3 and items 3"):
        filter_to_core(dataset, 3, 3)


def test_lists_of_removed_items_vanish_and_their_names_with_them() -> None:
    lists = ItemNeighbours(
        np.array([[2, 1], [2, -1], [0, 1]], np.int32), np.array([[3, 2], [1, 0], [2, 1]], np.float32)
    )
    smaller = renumber(lists, np.array([0, 2]))
    assert smaller.items.tolist() == [[1, -1], [0, -1]]
    assert smaller.weights.tolist() == [[3, 0], [2, 0]]


def test_ratings_below_the_threshold_are_left_out() -> None:
    events = pl.DataFrame({"user": [1, 2, 3], "item": [1, 1, 1], "rating": [3.5, 4.0, 5.0]})
    assert keep_rated(events, 4.0)["user"].to_list() == [2, 3]


def test_threshold_without_ratings_or_above_all_is_an_error() -> None:
    events = pl.DataFrame({"user": [1], "item": [1]})
    with pytest.raises(
        DataError, match="a rating of at least 4 was asked for but the interactions have no ratings"
    ):
        keep_rated(events, 4.0)
    with pytest.raises(DataError, match="no interaction is rated 6 or better; the highest rating is 5"):
        keep_rated(events.with_columns(rating=pl.lit(5.0)), 6.0)


def test_chosen_events_take_their_weight_and_others_go() -> None:
    events = pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "event": ["buy", "return", "view"]})
    kept = keep_events(events, {"buy": 3.0, "view": 1.0})
    assert kept.rows(named=True) == [
        {"user": 1, "item": 1, "event": "buy", "weight": 3.0},
        {"user": 2, "item": 1, "event": "view", "weight": 1.0},
    ]


def test_unknown_event_names_the_nearest() -> None:
    events = pl.DataFrame({"user": [1], "item": [1], "event": ["purchase"]})
    with pytest.raises(DataError, match=r"there is no event 'purchse' .*did you mean 'purchase'"):
        keep_events(events, {"purchse": 1.0})
    with pytest.raises(DataError, match=r"event 'purchase' has the weight -1.0; weights must be positive"):
        keep_events(events, {"purchase": -1.0})
    with pytest.raises(DataError, match="do not tell kinds of event"):
        keep_events(events.drop("event"), {"purchase": 1.0})


@pytest.mark.parametrize(("merge", "weight"), [("max", 3.0), ("sum", 5.0)])
def test_duplicates_keep_the_earliest_time_and_part(merge: str, weight: float) -> None:
    events = pl.DataFrame(
        {
            "user": ["u", "u", "u", "v"],
            "item": ["i", "i", "i", "i"],
            "time": [30.0, 10.0, 20.0, 5.0],
            "weight": [1.0, 3.0, 1.0, 2.0],
            "label": pl.Series([2, 0, 2, 1], dtype=pl.Int8),
        }
    )
    merged, gone, torn = merge_duplicates(events, merge)  # type: ignore[arg-type]
    assert (gone, torn) == (2, 1)
    assert merged.rows() == [("u", "i", 10.0, weight, 0), ("v", "i", 5.0, 2.0, 1)]
