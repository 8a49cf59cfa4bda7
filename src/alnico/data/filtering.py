"""Which events count, and whose: ratings, kinds of event, duplicates, cores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from alnico.data.dataset import Dataset, ItemCards
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError, nearest

Merge = Literal["max", "sum"]


def keep_rated(events: pl.DataFrame, minimum: float) -> pl.DataFrame:
    """The events rated ``minimum`` or better. Raises DataError without ratings or when none is left."""
    if "rating" not in events.columns:
        raise DataError(
            f"a rating of at least {minimum:g} was asked for but the interactions have no ratings"
        )
    kept = events.filter(pl.col("rating") >= minimum)
    if kept.height == 0:
        highest = events["rating"].to_numpy().max()
        raise DataError(f"no interaction is rated {minimum:g} or better; the highest rating is {highest:g}")
    return kept


def keep_events(events: pl.DataFrame, chosen: Mapping[str, float]) -> pl.DataFrame:
    """The events of the kinds named, each with the weight given for its kind.

    Raises DataError if there are no kinds, a kind does not occur, or a weight is not positive.
    """
    if "event" not in events.columns:
        raise DataError(
            f"events {', '.join(chosen)} were asked for but the interactions do not tell kinds of event"
        )
    occurring = events["event"].unique().to_list()
    for kind, weight in chosen.items():
        if kind not in occurring:
            raise DataError(f"there is no event {kind!r} in the interactions{nearest(kind, occurring)}")
        if not (np.isfinite(weight) and weight > 0):
            raise DataError(f"event {kind!r} has the weight {weight}; weights must be positive numbers")
    kept = events.filter(pl.col("event").is_in(list(chosen)))
    return kept.with_columns(weight=pl.col("event").replace_strict(dict(chosen), return_dtype=pl.Float64))


def merge_duplicates(events: pl.DataFrame, merge: Merge) -> tuple[pl.DataFrame, int, int]:
    """One row per (user, item), the number of rows merged away, and of pairs whose labels disagreed.

    The earliest time stays; weights are added or the largest stays; of different split labels the earliest
    part stays, so that nothing a model may learn from is asked again.
    """
    rules = {
        "time": pl.col("time").min(),
        "weight": pl.col("weight").sum() if merge == "sum" else pl.col("weight").max(),
        "label": pl.col("label").min(),
    }
    kept = [rule for column, rule in rules.items() if column in events.columns]
    torn = pl.col("label").n_unique() > 1 if "label" in events.columns else pl.lit(False)
    merged = events.group_by("user", "item", maintain_order=True).agg(*kept, torn=torn.any())
    return merged.drop("torn"), events.height - merged.height, int(merged["torn"].sum())


@dataclass(frozen=True)
class Dropped:
    """What a core filter took away."""

    users: int
    items: int
    interactions: int


def core_masks(
    interactions: Interactions, users: int, items: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which interactions, users and items a core filter keeps.

    Every user keeps at least ``users`` interactions and every item at least ``items``, applied until nothing
    changes; a minimum of 0 leaves that side alone.
    """
    kept = np.ones(len(interactions), np.bool_)
    while True:
        user_counts = np.bincount(interactions.users[kept], minlength=interactions.n_users)
        item_counts = np.bincount(interactions.items[kept], minlength=interactions.n_items)
        user_stays, item_stays = user_counts >= users, item_counts >= items
        still = kept & user_stays[interactions.users] & item_stays[interactions.items]
        if still.sum() == kept.sum():
            return kept, user_stays, item_stays
        kept = still


def filter_to_core(dataset: Dataset, users: int = 0, items: int = 0) -> tuple[Dataset, Dropped]:
    """The data without users and items that have too few interactions, renumbered; and what was dropped.

    What stays is the largest part in which every user has at least ``users`` interactions and every item at
    least ``items``: the k-core for users = items = k. With ``items=0`` no item is dropped, not even one
    without interactions.
    Raises DataError if nothing is left.
    """
    events = dataset.interactions
    kept, user_stays, item_stays = core_masks(events, users, items)
    if not kept.any():
        raise DataError(
            f"no interaction is left when users need {users} and items {items} interactions; lower the "
            "minimum"
        )
    new_user, new_item = np.cumsum(user_stays) - 1, np.cumsum(item_stays) - 1
    chosen = np.flatnonzero(item_stays)
    interactions = Interactions(
        new_user[events.users[kept]],
        new_item[events.items[kept]],
        int(user_stays.sum()),
        len(chosen),
        None if events.times is None else events.times[kept],
        None if events.weights is None else events.weights[kept],
    )
    cards = {
        name: tuple(values[i] for i in chosen.tolist()) for name, values in dataset.cards.columns.items()
    }
    smaller = Dataset(
        dataset.name,
        interactions,
        dataset.features.rows(chosen),
        IdMap(dataset.users.names[user_stays], dataset.users.kind),
        IdMap(dataset.items.names[item_stays], dataset.items.kind),
        # Renumbering keeps the order of users and of items, so the rows that stay keep their order too.
        None if dataset.labels is None else dataset.labels[kept],
        {name: renumber(lists, chosen) for name, lists in dataset.neighbours.items()},
        ItemCards(cards),
    )
    dropped = Dropped(
        dataset.n_users - smaller.n_users, dataset.n_items - smaller.n_items, len(events) - len(interactions)
    )
    return smaller, dropped


def renumber(lists: ItemNeighbours, chosen: NDArray[np.int64]) -> ItemNeighbours:
    """The lists of the chosen items only (ascending), naming only chosen items, under their new numbers."""
    new = np.full(lists.n_items + 1, -1, np.int64)
    new[chosen] = np.arange(len(chosen))
    # The extra last place answers for -1, the filler.
    items = new[lists.items[chosen]]
    order = np.argsort(items < 0, axis=1, kind="stable")
    return ItemNeighbours(
        np.take_along_axis(items, order, axis=1).astype(np.int32),
        np.take_along_axis(lists.weights[chosen], order, axis=1),
    )
