"""From clean tables to one Dataset: the numbering of users and items, and everything aligned to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alnico.data.dataset import TRAIN, Dataset, ItemCards
from alnico.data.features import ItemFeatures, Modality
from alnico.data.filtering import Merge, keep_events, keep_rated, merge_duplicates
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.data.sources.columns import EVENT_COLUMNS
from alnico.data.sources.vectors import VectorTable
from alnico.errors import DataError


@dataclass(frozen=True)
class EventRules:
    """Which events count. ``events`` maps kinds of event to weights; ``None`` takes all alike."""

    min_rating: float | None = None
    events: Mapping[str, float] | None = None
    merge: Merge = "max"


@dataclass(frozen=True)
class Reading:
    """How to read raw files.

    ``columns`` are given columns by role, ``separator`` is None for the one that a file's suffix tells, and
    ``take_features`` says whether vectors found beside the interactions are wanted.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    separator: str | None = None
    take_features: bool = True

    @property
    def event_columns(self) -> dict[str, str]:
        """The given columns that concern interactions."""
        return {role: column for role, column in self.columns.items() if role in EVENT_COLUMNS}


@dataclass(frozen=True, eq=False)
class RawData:
    """What a source found, under clean names but still with outside ids.

    ``events``: see ``clean_events``. ``items``: a column ``item`` and text columns, one row per item, or
    None. ``rows_are_ids``: item ids are row numbers of the feature tables (MMRec), whatever the item table's
    order.
    """

    name: str
    events: pl.DataFrame
    items: pl.DataFrame | None = None
    vectors: Mapping[str, VectorTable] = field(default_factory=dict)
    neighbours: Mapping[str, ItemNeighbours] = field(default_factory=dict)
    rows_are_ids: bool = False
    notices: tuple[str, ...] = ()


def dataset_from_columns(
    name: str,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    user_ids: IdMap,
    item_ids: IdMap,
    *,
    times: NDArray[np.float64] | None = None,
    weights: NDArray[np.float32] | None = None,
    labels: NDArray[np.int8] | None = None,
    features: Mapping[str, Modality] | None = None,
    neighbours: Mapping[str, ItemNeighbours] | None = None,
    cards: Mapping[str, tuple[str, ...]] | None = None,
) -> Dataset:
    """A Dataset from columns in any order of rows; ``labels`` follow their rows into the sorted interactions.

    ``users`` and ``items`` are inside numbers, all columns are equally long, pairs are distinct.
    """
    interactions = Interactions(users, items, len(user_ids), len(item_ids), times, weights)
    sorted_labels = None
    if labels is not None:
        if len(labels) != len(users):
            raise DataError(
                f"{len(labels)} split labels for {len(users)} interactions; there must be one for each"
            )
        given = users * len(item_ids) + items
        order = np.argsort(given)
        sorted_labels = labels[order[np.searchsorted(given[order], interactions.pair_keys)]]
    return Dataset(
        name,
        interactions,
        ItemFeatures(len(item_ids), features or {}),
        user_ids,
        item_ids,
        sorted_labels,
        neighbours or {},
        ItemCards(cards or {}),
    )


def assemble(raw: RawData, rules: EventRules, allow_unknown_items: bool) -> tuple[Dataset, list[str]]:
    """The Dataset of what a source found, and notices for people.

    Items are numbered by the item table's rows; without one by ascending id, or, where features come without
    ids, by row number. Users are numbered by ascending id, so the order of rows in the file does not matter.
    Raises DataError if features, item graphs, item table and interactions do not fit together.
    """
    notices = list(raw.notices)
    events = _chosen_events(raw.events, rules, notices)
    events, item_table, vectors = _one_kind_of_ids(events, raw.items, raw.vectors)
    known = _known_items(raw, events, item_table, vectors)
    names, unknown = _with_unknown_items(known, events["item"], item_table is not None, allow_unknown_items)
    if unknown:
        notices.append(
            f"{unknown} items of the interactions are not in the item table; they have no card or features"
        )
    users = events["user"].unique().sort()
    user_ids, item_ids = _id_map(users, "user"), _id_map(names, "item")
    features = {
        name: _aligned(name, table, names, len(known), item_ids, notices) for name, table in vectors.items()
    }
    dataset = dataset_from_columns(
        raw.name,
        positions(events["user"], users),
        positions(events["item"], names),
        user_ids,
        item_ids,
        times=events["time"].to_numpy() if "time" in events.columns else None,
        weights=events["weight"].to_numpy().astype(np.float32) if "weight" in events.columns else None,
        labels=events["label"].to_numpy() if "label" in events.columns else None,
        features=features,
        neighbours={
            name: _extended(lists, len(known), len(names), name) for name, lists in raw.neighbours.items()
        },
        cards={} if item_table is None else _cards(item_table, names),
    )
    without = int((dataset.interactions.item_degrees == 0).sum())
    if without:
        notices.append(f"no interactions with {without} of {len(names)} items; they are kept")
    return dataset, notices


def _id_map(names: pl.Series, kind: str) -> IdMap:
    """Outside ids as numbers or as text; polars would hand text over as Python objects."""
    return IdMap(names.to_numpy() if names.dtype == pl.Int64 else np.array(names.to_list(), np.str_), kind)


def positions(values: pl.Series, among: pl.Series) -> NDArray[np.int64]:
    """Where each value stands in ``among`` (distinct), -1 where it does not."""
    table = pl.DataFrame({"value": among, "place": np.arange(len(among))})
    found = pl.DataFrame({"value": values}).join(table, on="value", how="left", maintain_order="left")
    return found["place"].fill_null(-1).to_numpy().astype(np.int64)


def _chosen_events(events: pl.DataFrame, rules: EventRules, notices: list[str]) -> pl.DataFrame:
    if rules.events:
        events = keep_events(events, rules.events)
    elif "event" in events.columns:
        kinds = sorted(events["event"].unique().to_list())
        if len(kinds) > 1:
            notices.append(
                f"all events count alike ({', '.join(kinds[:8])}); choose or weigh them with --event"
            )
    if rules.min_rating is not None:
        events = keep_rated(events, rules.min_rating)
    if "weight" in events.columns:
        lowest = events["weight"].to_numpy().min()
        if lowest <= 0:
            raise DataError(f"an interaction has the weight {lowest:g}; weights must be positive numbers")
    merged, n_merged, n_torn = merge_duplicates(events, rules.merge)
    if n_merged:
        notices.append(f"{n_merged} repeated interactions were merged into the first of their user and item")
    if n_torn:
        notices.append(
            f"{n_torn} pairs of user and item stood in several parts of the split; the earliest part counts"
        )
    if "label" in merged.columns and not (merged["label"] == TRAIN).any():
        raise DataError("no interaction is labelled for training (0); the training part would be empty")
    if "weight" in merged.columns and (merged["weight"] == 1).all():
        merged = merged.drop("weight")
    return merged


def _one_kind_of_ids(
    events: pl.DataFrame, items: pl.DataFrame | None, vectors: Mapping[str, VectorTable]
) -> tuple[pl.DataFrame, pl.DataFrame | None, dict[str, VectorTable]]:
    """The same with all item ids as numbers, or all as text as soon as one table has text."""
    columns = [events["item"], *([] if items is None else [items["item"]])]
    columns += [table.ids for table in vectors.values() if table.ids is not None]
    if len({column.dtype for column in columns}) == 1:
        return events, items, dict(vectors)
    as_text = pl.col("item").cast(pl.String)
    texts = {
        name: table if table.ids is None else replace(table, ids=table.ids.cast(pl.String))
        for name, table in vectors.items()
    }
    return events.with_columns(as_text), None if items is None else items.with_columns(as_text), texts


def _known_items(
    raw: RawData, events: pl.DataFrame, items: pl.DataFrame | None, vectors: Mapping[str, VectorTable]
) -> pl.Series:
    """Item ids in the order of their numbers, before any that only the interactions name."""
    by_position = {
        f"features {name!r} ({table.origin})": len(table.values)
        for name, table in vectors.items()
        if table.ids is None
    }
    by_position |= {f"item graph {name!r}": lists.n_items for name, lists in raw.neighbours.items()}
    if items is not None and not (raw.rows_are_ids and by_position):
        for what, rows in by_position.items():
            if rows != items.height:
                raise DataError(
                    f"{what} have {rows} rows but the item table has {items.height} items; rows must match "
                    "items one to one, or come with item ids"
                )
        return items["item"]
    if by_position:
        return _row_numbers(by_position, events["item"], items)
    listed = [events["item"], *(table.ids for table in vectors.values() if table.ids is not None)]
    return pl.concat([column.alias("item") for column in listed]).unique().sort()


def _row_numbers(by_position: Mapping[str, int], used: pl.Series, items: pl.DataFrame | None) -> pl.Series:
    """Item ids 0..n-1 for n rows of features. Raises DataError if the tables disagree or an id has no row."""
    (first, n), *others = by_position.items()
    for what, rows in others:
        if rows != n:
            raise DataError(f"{first} have {n} rows but {what} have {rows}; rows must match items one to one")
    if used.dtype != pl.Int64:
        raise DataError(
            f"{first} come without item ids, and the interactions name items by text ({used[0]!r}); add an "
            "item table whose rows are in the order of the vectors, or give the features with an item column"
        )
    for where, column in (
        ("the interactions", used),
        ("the item table", None if items is None else items["item"]),
    ):
        if column is None:
            continue
        low, high = int(column.min()), int(column.max())  # type: ignore[arg-type]
        if low < 0 or high >= n:
            raise DataError(
                f"{first} have {n} rows, for the items 0 to {n - 1}, but {where} name item "
                f"{low if low < 0 else high}; rows must match items one to one"
            )
    return pl.Series("item", np.arange(n))


def _with_unknown_items(
    known: pl.Series, used: pl.Series, has_table: bool, allow: bool
) -> tuple[pl.Series, int]:
    """Known items, then in ascending order those that only the interactions name; and how many these are."""
    distinct = used.unique().sort()
    unknown = distinct.filter(pl.Series(positions(distinct, known) < 0))
    if len(unknown) and not allow:
        source = "the item table" if has_table else "the features"
        raise DataError(
            f"the interactions name {len(unknown)} items that {source} does not have, the first is "
            f"{unknown[0]!r}; add them, or pass --allow-unknown-items to take them without content"
        )
    return pl.concat([known.alias("item"), unknown.alias("item")]), len(unknown)


def _aligned(
    name: str, table: VectorTable, items: pl.Series, n_known: int, ids: IdMap, notices: list[str]
) -> Modality:
    """The vectors of a modality in the order of the items, absent where there are none."""
    if table.ids is None:
        rows = np.concatenate([np.arange(n_known), np.full(len(items) - n_known, -1)])
    else:
        if table.ids.is_duplicated().any():
            twice = table.ids.filter(table.ids.is_duplicated())[0]
            raise DataError(
                f"features {name!r} ({table.origin}) list item {twice!r} twice; keep one row per item"
            )
        rows = positions(items, table.ids)
        foreign = len(table.ids) - int((rows >= 0).sum())
        if foreign:
            notices.append(
                f"{foreign} rows of features {name!r} are for items that nothing else names; left out"
            )
    given = rows >= 0
    finite = np.all(np.isfinite(table.values), axis=1)
    flagged = np.ones(len(table.values), np.bool_) if table.present is None else table.present
    broken = given & ~finite[rows] & flagged[rows]
    if broken.any():
        item = ids.name(int(np.flatnonzero(broken)[0]))
        raise DataError(
            f"features {name!r} ({table.origin}) hold NaN or infinite numbers for {int(broken.sum())} items, "
            f"the first is item {item!r}; put it right, or set the whole row to zero where there is no "
            "content"
        )
    nonzero = np.any(table.values, axis=1)
    present = given & nonzero[rows] & flagged[rows]
    zeros = int((given & ~nonzero[rows] & flagged[rows]).sum())
    if zeros:
        notices.append(f"{zeros} all-zero rows of features {name!r} are taken as absent")
    if not present.any():
        raise DataError(f"features {name!r} ({table.origin}) describe no item: every row is zero or absent")
    whole = present.all() and np.array_equal(rows, np.arange(len(table.values)))
    if whole:
        return Modality(table.values, present, table.encoding)
    vectors = np.zeros((len(items), table.values.shape[1]), np.float32)
    vectors[present] = table.values[rows[present]]
    return Modality(vectors, present, table.encoding)


def _extended(lists: ItemNeighbours, n_known: int, n_items: int, name: str) -> ItemNeighbours:
    """The lists with empty ones at the end for items without any."""
    if lists.n_items != n_known:
        raise DataError(f"item graph {name!r} has {lists.n_items} rows but there are {n_known} items")
    fill = ((0, n_items - n_known), (0, 0))
    if n_items == n_known:
        return lists
    return ItemNeighbours(np.pad(lists.items, fill, constant_values=-1), np.pad(lists.weights, fill))


def _cards(table: pl.DataFrame, names: pl.Series) -> dict[str, tuple[str, ...]]:
    """The text columns of the item table in the order of the items, empty where unknown."""
    rows = pl.DataFrame({"item": names}).join(table, on="item", how="left", maintain_order="left")
    return {
        column: tuple(rows[column].fill_null("").to_list()) for column in rows.columns if column != "item"
    }
