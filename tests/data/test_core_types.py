"""The nouns: what they promise, what they refuse, and that nobody can change them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import worlds
from alnico.data.dataset import Dataset, ItemCards
from alnico.data.features import ItemFeatures, Modality
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.data.split import Split, Targets
from alnico.errors import DataError


def ints(*values):
    """Numbers as the types want them."""
    return np.array(values, dtype=np.int64)


# -- ids -------------------------------------------------------------------------------------------


def test_ids_go_in_and_come_out():
    ids = IdMap(np.array(["b", "a", "c"]), "item")
    assert len(ids) == 3
    assert ids.number("a") == 1
    assert ids.numbers(["c", "b"]).tolist() == [2, 0]
    assert ids.name(2) == "c"
    assert ids.of([1, 1, 0]).tolist() == ["a", "a", "b"]
    assert "a" in ids
    assert "z" not in ids


def test_integer_ids_stay_integers_and_also_answer_to_text():
    ids = IdMap(ints(100, 7), "user")
    assert ids.number(7) == ids.number("7") == 1
    assert ids.name(0) == 100
    assert isinstance(ids.name(0), int)
    assert "seven" not in ids


def test_text_ids_also_answer_to_integers():
    ids = IdMap(np.array(["17", "x"]))
    assert ids.number(17) == 0
    assert 18 not in ids


def test_an_unknown_id_is_named_with_examples():
    ids = IdMap(np.array(["b", "a"]), "item")
    with pytest.raises(DataError, match=r"item 'z' is not among the 2 known items \(which begin 'b', 'a'\)"):
        ids.number("z")


def test_absent_ids_are_minus_one_when_asked_so():
    assert IdMap(np.array(["b", "a"])).numbers_or_absent(["a", "z", "b"]).tolist() == [1, -1, 0]


def test_an_id_that_stands_twice_is_refused():
    with pytest.raises(DataError, match="user id 'a' stands twice"):
        IdMap(np.array(["b", "a", "a"]), "user")


def test_ids_are_equal_by_content():
    assert IdMap(ints(0, 1, 2)) == IdMap.range(3)
    assert hash(IdMap(ints(0, 1, 2))) == hash(IdMap.range(3))
    assert IdMap.range(3) != IdMap.range(4)


@given(st.lists(st.integers(-(2**40), 2**40), unique=True, max_size=20))
def test_every_id_finds_its_way_back(names):
    ids = IdMap(np.array(names, dtype=np.int64))
    assert ids.of(ids.numbers(names)).tolist() == names


# -- interactions ----------------------------------------------------------------------------------


def test_interactions_are_sorted_by_user_then_time_then_item():
    events = Interactions(
        ints(1, 0, 1, 1),
        ints(0, 2, 3, 1),
        2,
        4,
        np.array([5.0, 9.0, 2.0, 5.0]),
        np.array([1, 2, 3, 4], np.float32),
    )
    assert events.users.tolist() == [0, 1, 1, 1]
    assert events.items.tolist() == [2, 3, 0, 1]
    assert events.times.tolist() == [9, 2, 5, 5]
    assert events.weights.tolist() == [2, 3, 1, 4]


def test_counts_and_histories_by_hand():
    events = worlds.interactions([(2, 1), (0, 3), (0, 1)], 4, 5)
    assert len(events) == 3
    assert events.offsets.tolist() == [0, 2, 2, 3, 3]
    assert events.user_degrees.tolist() == [2, 0, 1, 0]
    assert events.item_degrees.tolist() == [0, 2, 0, 1, 0]
    assert events.of_user(0).tolist() == [1, 3]
    assert events.of_user(3).tolist() == []
    assert events.pair_keys.tolist() == [1, 3, 11]


def test_items_by_number_differ_from_items_by_time():
    events = Interactions(ints(0, 0), ints(3, 1), 1, 4, np.array([1.0, 2.0]))
    assert events.items.tolist() == [3, 1]
    assert events.items_by_id.tolist() == [1, 3]


def test_interactions_are_copies_that_cannot_be_changed():
    users, items = ints(0, 1), ints(1, 0)
    events = Interactions(users, items, 2, 2)
    users[0] = 1
    assert events.users.tolist() == [0, 1]
    with pytest.raises(ValueError, match="read-only"):
        events.items[0] = 0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"items": ints(0)}, "have 2 users but 1 items; lengths must agree"),
        ({"times": np.array([1.0])}, "have 2 users but 1 times"),
        ({"users": ints(0, 2)}, "name user number 2; known numbers are 0 to 1"),
        ({"items": ints(0, -1)}, "name item number -1; known numbers are 0 to 2"),
        ({"times": np.array([1.0, np.nan])}, "the time of interaction 1 is nan"),
        ({"weights": np.array([1, 0], np.float32)}, "a weight that is not a positive finite number"),
        ({"users": ints(1, 1), "items": ints(2, 2)}, "user number 1 and item number 2 stand together twice"),
    ],
)
def test_interactions_that_cannot_be_are_refused(columns, message):
    given_columns = {"users": ints(0, 1), "items": ints(0, 1), "n_users": 2, "n_items": 3, **columns}
    with pytest.raises(DataError, match=message):
        Interactions(**given_columns)


def test_selected_interactions_keep_their_columns_and_counts():
    events = Interactions(
        ints(0, 1, 1), ints(0, 0, 1), 3, 2, np.array([3.0, 2.0, 1.0]), np.ones(3, np.float32)
    )
    some = events.select(np.array([True, False, True]))
    assert (some.users.tolist(), some.items.tolist(), some.times.tolist()) == ([0, 1], [0, 0], [3, 2])
    assert (some.n_users, some.n_items, len(some.weights)) == (3, 2, 2)


def test_joined_interactions_are_the_union():
    left, right = worlds.interactions([(0, 0)], 1, 2), worlds.interactions([(1, 0), (0, 1)], 2, 2)
    both = left.joined(right)
    assert list(zip(both.users.tolist(), both.items.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]
    assert both.times is None


def test_times_survive_a_join_only_when_both_sides_have_them():
    timed = Interactions(ints(0), ints(0), 1, 2, np.array([1.0]))
    later = Interactions(ints(0), ints(1), 1, 2, np.array([0.5]))
    assert timed.joined(later).items.tolist() == [1, 0]
    assert timed.joined(worlds.interactions([(0, 1)], 1, 2)).times is None


# -- features --------------------------------------------------------------------------------------


def test_features_are_read_by_name_and_in_order():
    features = worlds.features(
        2, text=worlds.modality([[1, 2], [3, 4]]), image=worlds.modality([[5], [6]], [0])
    )
    assert features.names == ("text", "image")
    assert len(features) == 2
    assert features["text"].width == 2
    assert features["image"].present.tolist() == [False, True]
    assert features.only("image", "text").names == ("image", "text")


def test_rows_of_features_follow_the_order_asked():
    features = worlds.features(3, image=worlds.modality([[1], [2], [3]], [1]))
    some = features.rows(ints(2, 1))
    assert some.n_items == 2
    assert some["image"].vectors.tolist() == [[3], [0]]
    assert some["image"].present.tolist() == [True, False]


def test_features_that_do_not_match_the_items_are_refused():
    with pytest.raises(DataError, match="features 'image' have 2 rows but there are 3 items"):
        worlds.features(3, image=worlds.modality([[1], [2]]))


def test_a_table_without_one_flag_per_row_is_refused():
    with pytest.raises(DataError, match="one presence flag per row"):
        Modality(np.zeros((2, 3), np.float32), np.ones(3, bool))


def test_an_unknown_modality_is_named():
    with pytest.raises(DataError, match="there is no modality 'sound'; found image"):
        worlds.features(1, image=worlds.modality([[1]])).only("sound")


def test_features_are_copies_that_cannot_be_changed():
    vectors = np.ones((2, 2), np.float32)
    modality = Modality(vectors, np.ones(2, bool))
    vectors[0] = 7
    assert modality.vectors.tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="read-only"):
        modality.vectors[0, 0] = 0


def test_a_read_only_table_is_taken_as_it_is():
    vectors = np.ones((2, 2), np.float32)
    vectors.flags.writeable = False
    assert Modality(vectors, np.ones(2, bool)).vectors is vectors


# -- neighbours ------------------------------------------------------------------------------------


def test_neighbours_as_edges():
    lists = worlds.neighbour_lists([[(1, 0.5), (2, 0.25)], [(0, 1.0)], []], 2)
    rows, others, weights = lists.edges()
    assert list(zip(rows.tolist(), others.tolist(), weights.tolist(), strict=True)) == [
        (0, 1, 0.5),
        (0, 2, 0.25),
        (1, 0, 1.0),
    ]
    assert (lists.k, lists.n_items) == (2, 3)


def test_the_nearest_only():
    lists = worlds.neighbour_lists([[(1, 0.5), (2, 0.25)], [], []], 2).first(1)
    assert lists.items.tolist() == [[1], [-1], [-1]]


def test_more_neighbours_than_there_are_is_refused():
    with pytest.raises(DataError, match="3 neighbours were asked for but the given lists hold 2"):
        worlds.neighbour_lists([[], []], 2).first(3)


def test_weights_of_fillers_are_zero():
    lists = ItemNeighbours(np.array([[-1], [0]], np.int32), np.array([[7], [1]], np.float32))
    assert lists.weights.tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("items", "weights", "message"),
    [
        ([[1], [0]], [[1.0, 2.0], [1.0, 2.0]], "need equal tables"),
        ([[2], [0]], [[1.0], [1.0]], "lists of 2 items name item number 2"),
        ([[1], [1]], [[1.0], [1.0]], "listed as its own neighbour"),
        ([[1], [0]], [[np.nan], [1.0]], "a weight that is not finite"),
    ],
)
def test_neighbour_lists_that_cannot_be_are_refused(items, weights, message):
    with pytest.raises(DataError, match=message):
        ItemNeighbours(np.array(items, np.int32), np.array(weights, np.float32))


# -- data set --------------------------------------------------------------------------------------


def small(**changes):
    """Two users, two items, one modality; with changes."""
    parts = {
        "name": "small",
        "interactions": worlds.interactions([(0, 0), (1, 1)], 2, 2),
        "features": worlds.features(2, image=worlds.modality([[1, 0], [0, 1]])),
        "users": IdMap(np.array(["u", "v"]), "user"),
        "items": IdMap(np.array(["i", "j"]), "item"),
        **changes,
    }
    return Dataset(**parts)


def test_a_data_set_counts_and_shows_cards():
    dataset = small(cards=ItemCards({"title": ("Cup", "Lamp")}))
    assert (dataset.n_users, dataset.n_items) == (2, 2)
    assert dataset.cards.get("title", 1) == "Lamp"
    assert dataset.cards.get("price", 1) == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": IdMap.range(3)}, "count 2 users but 3 ids"),
        ({"items": IdMap.range(1)}, "count 2 items but 1 ids"),
        ({"features": ItemFeatures(3)}, "describe 3 items but there are 2"),
        ({"labels": np.zeros(3, np.int8)}, "3 split labels for 2 interactions"),
        ({"neighbours": {"image": worlds.neighbour_lists([[]], 1)}}, "item graph 'image' has 1 rows"),
        ({"cards": ItemCards({"title": ("Cup",)})}, "item column 'title' has 1 rows"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        small(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"interactions": worlds.interactions([(0, 1), (1, 1)], 2, 2)},
        {"features": worlds.features(2, image=worlds.modality([[1, 0], [0, 1 + 1e-6]]))},
        {"features": worlds.features(2, image=worlds.modality([[1, 0], [0, 0]], [1]))},
        {"features": worlds.features(2, text=worlds.modality([[1, 0], [0, 1]]))},
        {"users": IdMap(np.array(["u", "w"]), "user")},
        {"labels": np.zeros(2, np.int8)},
        {"neighbours": {"image": worlds.neighbour_lists([[(1, 0.5)], []], 1)}},
    ],
    ids=["pairs", "vectors", "presence", "modality's name", "ids", "labels", "item graph"],
)
def test_whatever_a_model_can_learn_from_is_in_the_fingerprint(changes):
    assert small().fingerprint == small().fingerprint
    assert small(**changes).fingerprint != small().fingerprint


def test_a_name_or_a_card_is_not_in_the_fingerprint():
    assert small(name="other", cards=ItemCards({"title": ("Cup", "Lamp")})).fingerprint == small().fingerprint


# -- split -----------------------------------------------------------------------------------------


def test_targets_by_hand():
    targets = worlds.targets([(3, 1), (0, 2), (3, 0)])
    assert targets.users.tolist() == [0, 3]
    assert targets.offsets.tolist() == [0, 1, 3]
    assert targets.items.tolist() == [2, 0, 1]
    assert targets.counts.tolist() == [1, 2]
    assert len(targets) == 2
    users, items = targets.pairs()
    assert list(zip(users.tolist(), items.tolist(), strict=True)) == [(0, 2), (3, 0), (3, 1)]


def test_no_targets_at_all():
    assert len(worlds.targets([])) == 0


def test_targets_whose_offsets_do_not_fit_are_refused():
    with pytest.raises(DataError, match="one offset more than users"):
        Targets(ints(0), ints(0, 2), ints(5))


def split_of(train, valid=(), test=()):
    """A split over three users and four items."""
    parts = worlds.interactions(train, 3, 4), worlds.targets(valid), worlds.targets(test)
    return Split(*parts, {"rule": "given"})


def test_an_empty_training_part_is_refused():
    with pytest.raises(DataError, match="the training part of the split is empty"):
        split_of([])


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_target_user_without_history_is_refused(part):
    name = {"valid": "validation", "test": "test"}[part]
    with pytest.raises(DataError, match=f"a {name} user has no training interaction"):
        split_of([(0, 0)], **{part: [(1, 0)]})


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_target_that_was_trained_on_is_refused(part):
    name = {"valid": "validation", "test": "test"}[part]
    with pytest.raises(DataError, match=f"a {name} pair also stands in the training part"):
        split_of([(0, 0), (0, 1)], **{part: [(0, 1)]})


def test_the_fingerprint_of_a_split_covers_its_three_parts():
    prints = {
        split_of([(0, 0)], [(0, 1)], [(0, 2)]).fingerprint,
        split_of([(0, 0)], [(0, 2)], [(0, 1)]).fingerprint,
        split_of([(0, 0)], [(0, 1)], [(0, 3)]).fingerprint,
        split_of([(0, 3)], [(0, 1)], [(0, 2)]).fingerprint,
        split_of([(0, 0)], [(0, 1), (0, 2)]).fingerprint,
    }
    assert len(prints) == 5
