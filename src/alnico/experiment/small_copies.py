"""Data of the same kind in fewer rows: what a model costs can be tried on them before it is paid in full."""

import numpy as np
from numpy.typing import NDArray

from alnico.contracts import TrainingData
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.data.split import Targets
from alnico.randomness import rng


def small_copy(
    data: TrainingData, valid: Targets, n_users: int, n_items: int
) -> tuple[TrainingData, Targets]:
    """``n_users`` of the users, each with as many items as before, over a catalogue of ``n_items``.

    Items of the catalogue are drawn, with their vectors; an item that was not drawn is taken for one that was,
    always the same, and where a user has that one already, for the next that is free. Users keep their degrees as
    far as the catalogue allows. The draw is the same each time. With all users and items the data are those given.
    The graph cache is a new one in memory.
    """
    train = data.interactions
    if n_users >= train.n_users and n_items >= train.n_items:
        return TrainingData(train, data.features, data.neighbours), valid
    random = rng(0, "small copy")
    users = np.sort(random.permutation(train.n_users)[:n_users])
    items = np.sort(random.permutation(train.n_items)[:n_items])
    drawn = _stand_ins(items, train.n_items)
    folded = [_distinct(drawn[train.of_user(int(user))], len(items)) for user in users]
    counts = np.array([len(row) for row in folded])
    own = Interactions(
        np.repeat(np.arange(len(users)), counts), np.concatenate(folded), len(users), len(items)
    )
    lists = {name: _folded_lists(given, items, drawn) for name, given in data.neighbours.items()}
    held_users, held_items = valid.pairs()
    asked = np.isin(held_users, users)
    keys = np.unique(np.searchsorted(users, held_users[asked]) * len(items) + drawn[held_items[asked]])
    small = TrainingData(own, data.features.rows(items), lists)
    return small, Targets.of(keys // len(items), keys % len(items))


def _stand_ins(items: NDArray[np.int64], n_items: int) -> NDArray[np.int64]:
    """The new number of every old item: its own where it was drawn, else one of the others in turn."""
    numbers = np.arange(n_items) % len(items)
    numbers[items] = np.arange(len(items))
    return numbers


def _distinct(row: NDArray[np.int64], n_items: int) -> NDArray[np.int64]:
    kept = np.unique(row)
    missing = min(len(row), n_items) - len(kept)
    if not missing:
        return kept
    # Twice as many in a row as are taken and missing together: enough of them are free.
    nearby = (row[0] + np.arange(2 * (len(kept) + missing))) % n_items
    free = np.setdiff1d(nearby, kept)[:missing]
    return np.concatenate([kept, free])


def _folded_lists(
    lists: ItemNeighbours, items: NDArray[np.int64], drawn: NDArray[np.int64]
) -> ItemNeighbours:
    others = lists.items[items].astype(np.int64)
    numbers = np.where(others < 0, -1, drawn[others])
    itself = numbers == np.arange(len(items))[:, None]
    numbers[itself] = -1
    return ItemNeighbours(numbers.astype(np.int32), lists.weights[items])
