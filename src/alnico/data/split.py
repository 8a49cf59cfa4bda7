"""What a model may learn from, and what it will be asked."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alnico.data.interactions import Interactions, frozen
from alnico.errors import DataError


@dataclass(frozen=True, eq=False)
class Targets:
    """Held-out items per user: user ``users[j]`` has ``items[offsets[j]:offsets[j + 1]]``, ascending.

    Only users with at least one held-out item are listed, in ascending order.
    """

    users: NDArray[np.int64]
    offsets: NDArray[np.int64]
    items: NDArray[np.int64]

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.users) + 1 or self.offsets[-1] != len(self.items):
            raise DataError(
                "targets need one offset more than users, the last one equal to the number of items"
            )
        for name in ("users", "offsets", "items"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.int64))

    @classmethod
    def of(cls, users: NDArray[np.int64], items: NDArray[np.int64]) -> "Targets":
        """Targets from pairs in any order."""
        order = np.lexsort((items, users))
        users, items = users[order], items[order]
        listed, counts = np.unique(users, return_counts=True)
        return cls(listed, np.concatenate([[0], np.cumsum(counts)]), items)

    def __len__(self) -> int:
        return len(self.users)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of held-out items of each listed user."""
        return np.diff(self.offsets)

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All (user, item) pairs."""
        return np.repeat(self.users, self.counts), self.items


@dataclass(frozen=True, eq=False)
class Split:
    """Training interactions, validation and test targets; disjoint.

    Every target user has training history: held-out items of users without any are left out of the targets
    and counted in ``facts``. ``recipe`` is what made the split (rule and its numbers).
    """

    train: Interactions
    valid: Targets
    test: Targets
    recipe: Mapping[str, str | int | float | bool | None]
    facts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.train) == 0:
            raise DataError(
                "the training part of the split is empty; check the split rule or the labels in the data"
            )
        seen = self.train.pair_keys
        for name, targets in (("validation", self.valid), ("test", self.test)):
            if len(targets) and (self.train.user_degrees[targets.users] == 0).any():
                raise DataError(f"a {name} user has no training interaction")
            users, items = targets.pairs()
            if np.isin(users * self.train.n_items + items, seen).any():
                raise DataError(f"a {name} pair also stands in the training part")

        held_out = np.concatenate(
            [_keys(self.valid, self.train.n_items), _keys(self.test, self.train.n_items)]
        )
        if len(np.unique(held_out)) < len(held_out):
            raise DataError("a pair stands in both validation and test, or twice in one of them")

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the three parts."""
        digest = hashlib.sha256()
        for array in (self.train.users, self.train.items, *self.valid.pairs(), *self.test.pairs()):
            digest.update(f"{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _keys(targets: Targets, n_items: int) -> NDArray[np.int64]:
    users, items = targets.pairs()
    return users * n_items + items
