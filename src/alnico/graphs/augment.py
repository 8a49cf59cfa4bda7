"""Edges that nobody clicked: from a user to items that resemble what the user has."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from alnico.data.features import ItemFeatures
from alnico.data.interactions import Interactions, frozen
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError
from alnico.graphs.cache import Arrays, GraphCache
from alnico.graphs.content import unit_rows
from alnico.kernels.induced import most_visible
from alnico.kernels.sampling import choose_within_rows

Visibility = Literal["full", "neighbours"]
ITEM_BLOCK = 8_192


@dataclass(frozen=True, eq=False)
class InducedEdges:
    """Content-induced (user, item) edges with their visibility c_uj, sorted by user, then best first.

    ``weights`` are what they weigh beside observed edges of weight 1; one unless said otherwise.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    visibility: NDArray[np.float32]
    weights: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.weights is None:
            object.__setattr__(self, "weights", read_only(np.ones(len(self.users), np.float32)))
        for name in ("users", "items"):
            object.__setattr__(self, name, _kept(getattr(self, name), np.int64))
        for name in ("visibility", "weights"):
            object.__setattr__(self, name, _kept(getattr(self, name), np.float32))

    def __len__(self) -> int:
        return len(self.users)

    def capped(self, cap: int, rng: np.random.Generator) -> "InducedEdges":
        """At most ``cap`` edges per user, drawn uniformly without replacement."""
        offsets = np.concatenate([[0], np.cumsum(np.bincount(self.users))])
        return self._only(choose_within_rows(offsets, cap, rng)[1])

    def weighed_by_visibility(self) -> "InducedEdges":
        """Each edge weighs its visibility relative to the largest, at least a thousandth."""
        top = max(float(self.visibility.max(initial=0)), 1e-12)
        return replace(self, weights=np.clip(self.visibility / top, 1e-3, 1))

    def scaled(self, factor: float) -> "InducedEdges":
        """The same edges with weights times ``factor``; at 0 there are none."""
        if not factor:
            return self._only(np.zeros(0, np.int64))
        assert self.weights is not None
        return replace(self, weights=self.weights * np.float32(factor))

    def _only(self, rows: NDArray[np.int64]) -> "InducedEdges":
        assert self.weights is not None
        parts = (self.users, self.items, self.visibility, self.weights)
        return InducedEdges(*(read_only(part[rows]) for part in parts))


def read_only(values: NDArray[Any]) -> NDArray[Any]:
    """The same array, closed to writing; for one that its maker gives away."""
    values.flags.writeable = False
    return values


def _kept(values: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    # Tens of millions of edges are not copied where nobody could change them.
    return frozen(values, dtype) if values.dtype != dtype or values.flags.writeable else values


def induce_edges(
    train: Interactions,
    features: ItemFeatures,
    neighbours: Mapping[str, ItemNeighbours],
    per_user: int,
    visibility: Visibility = "full",
    cache: GraphCache | None = None,
) -> InducedEdges:
    """Each user's ``per_user`` most visible items among the content neighbours of what the user has.

    The pool of a user is every neighbour, in any modality, of an item in the training history, the history
    itself left out. Visibility c_uj sums, over the history, the mean over modalities of the cosine:
    ``full`` takes every history item (Eq. 2 as printed), ``neighbours`` only those that list j, negative
    cosines clipped at 0. Ties break toward the smaller item number. A pool smaller than ``per_user`` is
    taken whole. An absent modality adds nothing. Users are treated one by one: besides the lists and, for ``full``,
    a table of the items' vectors of length one, memory holds the edges alone.

    Raises DataError if lists and interactions differ in their number of items.
    Implements: Eq. (2), Eq. (3).
    """

    def make() -> Arrays:
        return _induce(train, Likeness.of(features, neighbours, visibility), per_user)

    made = (cache or GraphCache()).get(
        "induce_edges", 2, *what_decides(train, features, neighbours, per_user, visibility), make
    )
    return _edges(made)


@dataclass(frozen=True, eq=False)
class Likeness:
    """What resembles what, in all modalities side by side.

    items, weights: the neighbour lists [items, places], -1 is nobody. table: the vectors of length one, absent ones
    zero [items, width], where visibility is ``full``; else None.
    """

    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    n_modalities: int
    table: NDArray[np.float32] | None

    @classmethod
    def of(
        cls, features: ItemFeatures, neighbours: Mapping[str, ItemNeighbours], visibility: Visibility
    ) -> Self:
        """The likeness that these lists, and for ``full`` visibility these vectors, speak of."""
        lists = list(neighbours.values())
        return cls(
            np.concatenate([one.items for one in lists], axis=1),
            np.concatenate([one.weights for one in lists], axis=1),
            len(lists),
            _unit_table(features.only(*neighbours)) if visibility == "full" else None,
        )

    def edges(self, train: Interactions, per_user: int) -> InducedEdges:
        """The induced edges of this training part; ``induce_edges`` says which."""
        return _edges(_induce(train, self, per_user))


def _unit_table(features: ItemFeatures) -> NDArray[np.float32]:
    table = np.zeros((features.n_items, sum(part.width for part in features.values())), np.float32)
    for start in range(0, features.n_items, ITEM_BLOCK):
        rows, left = slice(start, start + ITEM_BLOCK), 0
        for part in features.values():
            right = left + part.width
            present = np.where(part.present[rows, None], part.vectors[rows], np.float32(0))
            table[rows, left:right] = unit_rows(present)
            left = right
    return table


def _induce(train: Interactions, like: Likeness, per_user: int) -> Arrays:
    if len(like.items) != train.n_items:
        raise DataError(
            f"neighbour lists of {len(like.items)} items cannot induce edges for interactions with {train.n_items} "
            "items; both must number the same items"
        )
    # Items by number, so that sums do not depend on the order in which they were taken.
    counts, items, visibility = most_visible(
        train.offsets,
        train.items_by_id,
        like.items,
        like.weights,
        like.n_modalities,
        per_user,
        like.table,
    )
    return {"counts": counts, "items": items, "visibility": visibility}


def _edges(made: Arrays) -> InducedEdges:
    users = np.repeat(np.arange(len(made["counts"])), made["counts"])  # type: ignore[arg-type]
    parts = (users, made["items"].astype(np.int64), made["visibility"])
    return InducedEdges(*(read_only(part) for part in parts))


def what_decides(
    train: Interactions,
    features: ItemFeatures,
    neighbours: Mapping[str, ItemNeighbours],
    per_user: int,
    visibility: Visibility,
) -> tuple[dict[str, str | int | float | bool | None], list[NDArray[np.generic]]]:
    """Arguments and arrays on which induced edges depend, for a graph cache."""
    inputs: list[NDArray[np.generic]] = [train.users, train.items]
    for name, lists in neighbours.items():
        inputs += [lists.items, lists.weights]
        if visibility == "full":
            inputs += [features[name].vectors, features[name].present]
    arguments: dict[str, str | int | float | bool | None] = {
        "per_user": per_user,
        "visibility": visibility,
        "n_users": train.n_users,
        "n_items": train.n_items,
    }
    return arguments, inputs
