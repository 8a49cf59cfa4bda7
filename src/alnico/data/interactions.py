"""Who took what, and when."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alnico.errors import DataError


def frozen(values: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """A read-only, contiguous copy in ``dtype``; the caller's array is never touched."""
    copy: NDArray[Any] = np.array(values, dtype=dtype, order="C")
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True, eq=False)
class Interactions:
    """Distinct (user, item) pairs, sorted by user, then time, then item.

    ``times`` are seconds (any epoch), ``weights`` are positive strengths of the event; either may be None.
    Arrays are copies and read-only.
    Raises DataError if an id is out of range, a pair stands twice, a time is not finite or a weight is not
    positive and finite.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    n_users: int
    n_items: int
    times: NDArray[np.float64] | None = None
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        users, items = np.asarray(self.users), np.asarray(self.items)
        object.__setattr__(self, "n_users", int(self.n_users))
        object.__setattr__(self, "n_items", int(self.n_items))
        for name, column in (("items", items), ("times", self.times), ("weights", self.weights)):
            if column is not None and len(column) != len(users):
                raise DataError(
                    f"interactions have {len(users)} users but {len(column)} {name}; lengths must agree"
                )
        for name, ids, n in (("user", users, self.n_users), ("item", items, self.n_items)):
            if len(ids) and (ids.min() < 0 or ids.max() >= n):
                bad = int(ids[(ids < 0) | (ids >= n)][0])
                raise DataError(f"interactions name {name} number {bad}; known numbers are 0 to {n - 1}")
        if self.times is not None and not np.isfinite(self.times).all():
            row = int(np.flatnonzero(~np.isfinite(self.times))[0])
            raise DataError(
                f"the time of interaction {row} is {self.times[row]}; times must be finite numbers"
            )
        if self.weights is not None and not (np.isfinite(self.weights) & (self.weights > 0)).all():
            raise DataError("an interaction has a weight that is not a positive finite number")
        keys = (items, users) if self.times is None else (items, self.times, users)
        order = np.lexsort(keys)
        object.__setattr__(self, "users", frozen(users[order], np.int64))
        object.__setattr__(self, "items", frozen(items[order], np.int64))
        if self.times is not None:
            object.__setattr__(self, "times", frozen(self.times[order], np.float64))
        if self.weights is not None:
            object.__setattr__(self, "weights", frozen(self.weights[order], np.float32))
        pairs = np.sort(self.pair_keys)
        if len(pairs) and (np.diff(pairs) == 0).any():
            user, item = divmod(int(pairs[np.flatnonzero(np.diff(pairs) == 0)[0]]), self.n_items)
            raise DataError(
                f"user number {user} and item number {item} stand together twice; merge duplicates before"
            )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def pair_keys(self) -> NDArray[np.int64]:
        """One number per interaction: user * n_items + item."""
        return self.users * self.n_items + self.items

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Interactions of user u stand at ``offsets[u]:offsets[u + 1]``."""
        counts = np.bincount(self.users, minlength=self.n_users)
        return frozen(np.concatenate([[0], np.cumsum(counts)]), np.int64)

    @cached_property
    def user_degrees(self) -> NDArray[np.int64]:
        """Number of items of each user."""
        return frozen(np.diff(self.offsets), np.int64)

    @cached_property
    def item_degrees(self) -> NDArray[np.int64]:
        """Number of users of each item."""
        return frozen(np.bincount(self.items, minlength=self.n_items), np.int64)

    @cached_property
    def items_by_id(self) -> NDArray[np.int64]:
        """The items of each user in ascending order, at the same offsets; for masking and search."""
        return frozen(self.items[np.lexsort((self.items, self.users))], np.int64)

    def of_user(self, user: int) -> NDArray[np.int64]:
        """Items of one user, oldest first."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def select(self, keep: NDArray[np.bool_] | NDArray[np.int64]) -> "Interactions":
        """These interactions only, over the same users and items."""
        return Interactions(
            self.users[keep],
            self.items[keep],
            self.n_users,
            self.n_items,
            None if self.times is None else self.times[keep],
            None if self.weights is None else self.weights[keep],
        )

    def joined(self, other: "Interactions") -> "Interactions":
        """The union of two disjoint sets of pairs; times and weights survive if both sides have them."""
        both_times = self.times is not None and other.times is not None
        both_weights = self.weights is not None and other.weights is not None
        return Interactions(
            np.concatenate([self.users, other.users]),
            np.concatenate([self.items, other.items]),
            max(self.n_users, other.n_users),
            max(self.n_items, other.n_items),
            np.concatenate([self.times, other.times]) if both_times else None,
            np.concatenate([self.weights, other.weights]) if both_weights else None,
        )
