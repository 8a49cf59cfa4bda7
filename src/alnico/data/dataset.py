"""Everything known before a split: interactions, content, names."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alnico.data.features import ItemFeatures
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions, frozen
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError

TRAIN, VALID, TEST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class ItemCards:
    """What a person sees of an item: columns of text, one value per item, empty where unknown.

    Usual columns: ``title``, ``description``, ``category``, ``price``, ``image`` (a path to the picture, absolute
    or relative to the data's folder).
    """

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def get(self, column: str, item: int) -> str:
        """One value, or an empty text where the column or the value is missing."""
        values = self.columns.get(column)
        return values[item] if values else ""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Interactions and item content under one numbering of users and items.

    ``labels`` gives each interaction's part (0 train, 1 validation, 2 test) where the data came split.
    ``neighbours`` are item graphs given with the data, by name; one named like a modality replaces that
    modality's computed neighbours.
    """

    name: str
    interactions: Interactions
    features: ItemFeatures
    users: IdMap
    items: IdMap
    labels: NDArray[np.int8] | None = None
    neighbours: Mapping[str, ItemNeighbours] = field(default_factory=dict)
    cards: ItemCards = field(default_factory=ItemCards)

    def __post_init__(self) -> None:
        events = self.interactions
        for kind, ids, n in (("users", self.users, events.n_users), ("items", self.items, events.n_items)):
            if len(ids) != n:
                raise DataError(f"the interactions count {n} {kind} but {len(ids)} ids are given")
        if self.features.n_items != events.n_items:
            raise DataError(f"features describe {self.features.n_items} items but there are {events.n_items}")
        for name, lists in self.neighbours.items():
            if lists.n_items != events.n_items:
                raise DataError(
                    f"item graph {name!r} has {lists.n_items} rows but there are {events.n_items} items"
                )
        for name, values in self.cards.columns.items():
            if len(values) != events.n_items:
                raise DataError(
                    f"item column {name!r} has {len(values)} rows but there are {events.n_items} items"
                )
        if self.labels is not None:
            if len(self.labels) != len(events):
                raise DataError(f"{len(self.labels)} split labels for {len(events)} interactions")
            object.__setattr__(self, "labels", frozen(self.labels, np.int8))

    @property
    def n_users(self) -> int:
        """Number of users."""
        return self.interactions.n_users

    @property
    def n_items(self) -> int:
        """Number of items."""
        return self.interactions.n_items

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything a model can learn from: pairs, times, labels, vectors, item graphs, ids."""
        digest = hashlib.sha256()
        events = self.interactions
        arrays: list[tuple[str, NDArray[np.generic] | None]] = [
            ("users", events.users),
            ("items", events.items),
            ("times", events.times),
            ("weights", events.weights),
            ("labels", self.labels),
            ("user ids", self.users.names),
            ("item ids", self.items.names),
        ]
        for name, modality in self.features.items():
            arrays += [(f"{name} vectors", modality.vectors), (f"{name} present", modality.present)]
        for name, lists in self.neighbours.items():
            arrays += [(f"{name} neighbours", lists.items), (f"{name} weights", lists.weights)]
        for name, array in arrays:
            if array is not None:
                digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()
