"""The numbering of users and items, and everything aligned to it."""

from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alnico.data.dataset import Dataset
from alnico.data.ids import IdMap
from alnico.data.neighbours import ItemNeighbours
from alnico.data.sources.assemble import EventRules, RawData, assemble, dataset_from_columns, positions
from alnico.data.sources.vectors import VectorTable
from alnico.errors import DataError


def events(**columns: object) -> pl.DataFrame:
    """A clean table: user, item and what else is given."""
    return pl.DataFrame(columns, schema_overrides={"label": pl.Int8} if "label" in columns else None)


def vectors(rows: list[list[float]], ids: list[object] | None = None) -> VectorTable:
    return VectorTable(
        np.array(rows, np.float32), "v.npy", None if ids is None else pl.Series("item ids", ids)
    )


def built(
    raw_events: pl.DataFrame,
    items: pl.DataFrame | None = None,
    features: Mapping[str, VectorTable] | None = None,
    *,
    rules: EventRules | None = None,
    allow_unknown_items: bool = False,
    **more: object,
) -> tuple[Dataset, list[str]]:
    raw = RawData("test", raw_events, items, features or {}, **more)  # type: ignore[arg-type]
    return assemble(raw, rules or EventRules(), allow_unknown_items)


def test_labels_follow_their_rows_into_the_sorted_interactions() -> None:
    # By user, then time: (0, 7) at 1, (0, 5) at 2, (1, 5) at 0.
    data = dataset_from_columns(
        "x",
        np.array([1, 0, 0]),
        np.array([5, 5, 7]),
        IdMap.range(2),
        IdMap.range(8),
        times=np.array([0.0, 2.0, 1.0]),
        labels=np.array([2, 1, 0], np.int8),
    )
    assert data.interactions.items.tolist() == [7, 5, 5]
    assert data.labels is not None
    assert data.labels.tolist() == [0, 1, 2]


@given(
    st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 5)),
        st.tuples(st.integers(0, 2), st.integers(0, 3)),
        min_size=1,
    ),
    st.booleans(),
)
def test_every_pair_keeps_its_label(rows: dict[tuple[int, int], tuple[int, int]], timed: bool) -> None:
    pairs, facts = np.array(list(rows)), np.array(list(rows.values()))
    data = dataset_from_columns(
        "x",
        pairs[:, 0],
        pairs[:, 1],
        IdMap.range(5),
        IdMap.range(6),
        times=facts[:, 1].astype(np.float64) if timed else None,
        labels=facts[:, 0].astype(np.int8),
    )
    found = zip(data.interactions.users.tolist(), data.interactions.items.tolist(), strict=True)
    assert data.labels is not None
    assert dict(zip(found, data.labels.tolist(), strict=True)) == {
        pair: label for pair, (label, _) in rows.items()
    }


def test_labels_must_be_as_many_as_rows() -> None:
    with pytest.raises(DataError, match="1 split labels for 2 interactions"):
        dataset_from_columns(
            "x",
            np.array([0, 1]),
            np.array([0, 0]),
            IdMap.range(2),
            IdMap.range(1),
            labels=np.array([0], np.int8),
        )


def test_users_and_items_are_numbered_by_ascending_id() -> None:
    data, _ = built(events(user=["zoe", "ann"], item=[30, 7]))
    assert data.users.names.tolist() == ["ann", "zoe"]
    assert data.items.names.tolist() == [7, 30]
    assert data.interactions.items.tolist() == [0, 1]


def test_order_of_rows_does_not_matter() -> None:
    one, _ = built(events(user=["b", "a", "a"], item=["y", "y", "x"], label=[0, 1, 0]))
    two, _ = built(events(user=["a", "b", "a"], item=["x", "y", "y"], label=[0, 0, 1]))
    assert one.fingerprint == two.fingerprint


def test_item_table_gives_the_numbers_and_new_items_survive() -> None:
    items = pl.DataFrame({"item": ["c", "new", "a"], "title": ["Cup", "New", None]})
    data, notices = built(events(user=[1, 2], item=["a", "c"]), items, {"image": vectors([[1], [2], [3]])})
    assert data.items.names.tolist() == ["c", "new", "a"]
    assert data.features["image"].vectors[:, 0].tolist() == [1, 2, 3]
    assert data.cards.columns == {"title": ("Cup", "New", "")}
    assert notices == ["no interactions with 1 of 3 items; they are kept"]


def test_unknown_item_is_an_error_unless_allowed() -> None:
    items = pl.DataFrame({"item": ["c", "a"], "title": ["Cup", "Axe"]})
    table = events(user=[1, 2, 3], item=["a", "z", "x"])
    message = (
        "the interactions name 2 items that the item table does not have, the first is 'x'; "
        ".*--allow-unknown-items"
    )
    with pytest.raises(DataError, match=message):
        built(table, items)
    lists = ItemNeighbours(np.array([[1], [0]], np.int32), np.ones((2, 1), np.float32))
    data, notices = built(
        table, items, {"image": vectors([[1], [2]])}, allow_unknown_items=True, neighbours={"image": lists}
    )
    assert data.items.names.tolist() == ["c", "a", "x", "z"]
    assert data.features["image"].present.tolist() == [True, True, False, False]
    assert data.cards.columns == {"title": ("Cup", "Axe", "", "")}
    assert data.neighbours["image"].items.tolist() == [[1], [0], [-1], [-1]]
    assert "2 items of the interactions are not in the item table; they have no card or features" in notices


def test_vectors_by_id_are_put_in_the_order_of_the_items() -> None:
    items = pl.DataFrame({"item": ["a", "b", "c"]})
    table = vectors([[3], [1], [9]], ["c", "a", "elsewhere"])
    data, notices = built(events(user=[1], item=["b"]), items, {"image": table})
    assert data.features["image"].vectors[:, 0].tolist() == [1, 0, 3]
    assert data.features["image"].present.tolist() == [True, False, True]
    assert "1 rows of features 'image' are for items that nothing else names; left out" in notices


def test_vectors_by_id_bring_items_that_nobody_has() -> None:
    data, _ = built(events(user=[1], item=[5]), None, {"image": vectors([[1], [2]], [9, 5])})
    assert data.items.names.tolist() == [5, 9]
    assert data.features["image"].vectors[:, 0].tolist() == [2, 1]


def test_ids_as_numbers_and_as_text_are_one_kind() -> None:
    # The item table has one id that is no number: all ids become text and still meet.
    items = pl.DataFrame({"item": ["1", "2", "x"]})
    data, _ = built(events(user=[1, 1], item=[1, 2]), items)
    assert data.items.names.tolist() == ["1", "2", "x"]
    assert data.interactions.items.tolist() == [0, 1]
    by_id, _ = built(events(user=[1, 1], item=["1", "x"]), None, {"image": vectors([[1]], [1])})
    assert by_id.features["image"].present.tolist() == [True, False]


def test_vectors_without_ids_number_the_items() -> None:
    data, _ = built(events(user=[1], item=[2]), None, {"image": vectors([[1], [2], [3], [4]])})
    assert data.n_items == 4
    assert data.items.names.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("table", "features", "items", "message"),
    [
        (events(user=[1], item=[3]), {"image": vectors([[1], [2], [3]])}, None,
         r"features 'image' \(v\.npy\) have 3 rows, for the items 0 to 2, but the interactions name item 3"),
        (events(user=[1], item=[-1]), {"image": vectors([[1], [2], [3]])}, None, "name item -1; rows"),
        (events(user=[1], item=["a"]), {"image": vectors([[1]])}, None,
         r"come without item ids, and the interactions name items by text \('a'\)"),
        (events(user=[1], item=[0]), {"image": vectors([[1]]), "text": vectors([[1], [2]])}, None,
         r"features 'image' \(v\.npy\) have 1 rows but features 'text' \(v\.npy\) have 2"),
        (events(user=[1], item=["a"]), {"image": vectors([[1], [2]])}, pl.DataFrame({"item": ["a"]}),
         r"features 'image' \(v\.npy\) have 2 rows but the item table has 1 items"),
        (events(user=[1], item=["a"]), {"image": vectors([[1], [2]], ["a", "a"])}, None,
         r"features 'image' \(v\.npy\) list item 'a' twice"),
        (events(user=[1], item=[0]), {"image": vectors([[0], [0]])}, None, "describe no item"),
    ],
)  # fmt: skip
def test_rows_that_do_not_match_are_an_error(
    table: pl.DataFrame, features: dict[str, VectorTable], items: pl.DataFrame | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        built(table, items, features)


def test_zero_rows_are_absent_and_told() -> None:
    data, notices = built(events(user=[1], item=[0]), None, {"image": vectors([[1, 2], [0, 0], [0, 3]])})
    assert data.features["image"].present.tolist() == [True, False, True]
    assert "1 all-zero rows of features 'image' are taken as absent" in notices


def test_presence_mask_of_the_source_counts() -> None:
    table = VectorTable(
        np.array([[1], [np.nan], [3]], np.float32), "v.npz", None, np.array([True, False, False])
    )
    data, _ = built(events(user=[1], item=[0]), None, {"image": table})
    assert data.features["image"].present.tolist() == [True, False, False]
    # What is absent is never read as data, so it must not be there.
    assert data.features["image"].vectors[:, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_name_modality_and_first_item(bad: float) -> None:
    table = vectors([[1, 2], [3, bad], [bad, 0]], ["c", "b", "a"])
    message = r"features 'image' \(v\.npy\) hold NaN or infinite numbers for 2 items, the first is item 'a'; "
    with pytest.raises(DataError, match=message):
        built(events(user=[1], item=["b"]), None, {"image": table})


def test_duplicates_are_merged_and_counted() -> None:
    table = events(user=[1, 1, 1], item=["a", "a", "b"], time=[9.0, 4.0, 5.0], label=[2, 0, 0])
    data, notices = built(table)
    assert data.interactions.times is not None
    assert data.interactions.times.tolist() == [4, 5]
    assert data.interactions.weights is None
    assert "1 repeated interactions were merged into the first of their user and item" in notices
    assert "1 pairs of user and item stood in several parts of the split; the earliest part counts" in notices


def test_events_are_weighed_chosen_and_rated() -> None:
    table = events(
        user=[1, 1, 2, 3],
        item=["a", "a", "a", "b"],
        event=["view", "buy", "view", "buy"],
        rating=[5.0, 5.0, 5.0, 1.0],
    )
    data, _ = built(table, rules=EventRules(events={"view": 1.0, "buy": 3.0}, min_rating=4.0))
    assert data.interactions.weights is not None
    assert data.interactions.weights.tolist() == [3, 1]
    assert data.items.names.tolist() == ["a"]
    summed, _ = built(table, rules=EventRules(events={"view": 1.0, "buy": 3.0}, merge="sum"))
    assert summed.interactions.weights is not None
    assert summed.interactions.weights.tolist() == [4, 1, 3]


def test_kinds_of_event_that_nobody_chose_are_told() -> None:
    _, notices = built(events(user=[1, 2], item=["a", "a"], event=["view", "buy"]))
    assert "all events count alike (buy, view); choose or weigh them with --event" in notices


def test_weights_that_are_all_one_are_no_weights() -> None:
    data, _ = built(events(user=[1, 2], item=["a", "a"], weight=[1.0, 1.0]))
    assert data.interactions.weights is None


def test_weights_must_be_positive() -> None:
    with pytest.raises(DataError, match="an interaction has the weight -2; weights must be positive"):
        built(events(user=[1, 2], item=["a", "a"], weight=[1.0, -2.0]))


def test_labels_without_training_are_refused() -> None:
    with pytest.raises(DataError, match=r"no interaction is labelled for training \(0\)"):
        built(events(user=[1, 2], item=["a", "a"], label=[1, 2]))


def test_positions_are_places_or_minus_one() -> None:
    assert positions(pl.Series(["b", "x", "a", "b"]), pl.Series(["a", "b"])).tolist() == [1, -1, 0, 1]
