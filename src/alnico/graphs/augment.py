"""Edges that nobody clicked: from a user to items that resemble what the user has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from alnico.data.features import ItemFeatures, Modality
from alnico.data.interactions import Interactions, frozen
from alnico.data.neighbours import ItemNeighbours
from alnico.graphs.cache import Arrays, GraphCache
from alnico.graphs.content import distinct_rows, unit_rows

Visibility = Literal["full", "neighbours"]
USER_BLOCK = 512


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
            object.__setattr__(self, "weights", np.ones(len(self.users), np.float32))
        for name in ("users", "items"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.int64))
        for name in ("visibility", "weights"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float32))

    def __len__(self) -> int:
        return len(self.users)

    def capped(self, cap: int, rng: np.random.Generator) -> "InducedEdges":
        """At most ``cap`` edges per user, drawn uniformly without replacement."""
        order = np.lexsort((rng.random(len(self)), self.users))
        return self._only(np.sort(order[rank_within(self.users[order]) < cap]))

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
        return InducedEdges(self.users[rows], self.items[rows], self.visibility[rows], self.weights[rows])


def rank_within(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of each entry within its run of equal values: [5, 5, 7, 7, 7] gives [0, 1, 0, 1, 2]."""
    if not len(groups):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(groups)]]))
    return np.arange(len(groups)) - np.repeat(starts, lengths)


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
    taken whole. An absent modality adds nothing.

    Implements: Eq. (2), Eq. (3).
    """

    def make() -> Arrays:
        return _induce(train, features, neighbours, per_user, visibility)

    made = (cache or GraphCache()).get(
        "induce_edges", 1, *what_decides(train, features, neighbours, per_user, visibility), make
    )
    return InducedEdges(made["users"], made["items"], made["visibility"])  # type: ignore[arg-type]


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


def _neighbour_matrix(neighbours: Mapping[str, ItemNeighbours], n_items: int) -> sparse.csr_matrix:
    """Items x items: mean over modalities of the clipped cosine where listed; a stored zero still marks the pool."""
    total = sparse.csr_matrix((n_items, n_items), dtype=np.float64)
    for lists in neighbours.values():
        rows, columns, weights = lists.edges()
        # A tiny shift keeps clipped entries stored; it is far below the resolution of a float32 cosine.
        values = np.maximum(weights, 0).astype(np.float64) / len(neighbours) + 1e-30
        total = total + sparse.csr_matrix((values, (rows, columns)), shape=(n_items, n_items))
    return total


def _induce(
    train: Interactions,
    features: ItemFeatures,
    neighbours: Mapping[str, ItemNeighbours],
    per_user: int,
    visibility: Visibility,
) -> Arrays:
    matrix = _neighbour_matrix(neighbours, train.n_items)
    history = sparse.csr_matrix(
        (np.ones(len(train)), (train.users, train.items)), shape=(train.n_users, train.n_items)
    )
    tables = [_unit_table(features[name]) for name in neighbours] if visibility == "full" else []
    users, items, scores = [], [], []
    for start in range(0, train.n_users, USER_BLOCK):
        block = history[start : start + USER_BLOCK]
        pool = (block @ matrix).tocoo()
        rows, columns, values = pool.row.astype(np.int64), pool.col.astype(np.int64), pool.data
        owned = np.isin((rows + start) * train.n_items + columns, train.pair_keys)
        rows, columns, values = rows[~owned], columns[~owned], values[~owned]
        if visibility == "full":
            values = _full_visibility(block, tables)[rows, columns]
        order = np.lexsort((columns, -values, rows))
        order = order[rank_within(rows[order]) < per_user]
        users.append(rows[order] + start)
        items.append(columns[order])
        scores.append(values[order].astype(np.float32))
    return {
        "users": np.concatenate(users),
        "items": np.concatenate(items),
        "visibility": np.concatenate(scores),
    }


@dataclass(frozen=True, eq=False)
class _UnitTable:
    """Vectors of length one, absent rows zero; the different ones among them, and which of them each row is."""

    rows: NDArray[np.float32]
    distinct: Tensor
    copy_of: Tensor


def _unit_table(modality: Modality) -> _UnitTable:
    rows = unit_rows(np.where(modality.present[:, None], modality.vectors, 0))
    distinct, copy_of = distinct_rows(rows)
    return _UnitTable(rows, torch.from_numpy(distinct), torch.from_numpy(copy_of))


def _full_visibility(block: sparse.csr_matrix, tables: Sequence[_UnitTable]) -> NDArray[np.float32]:
    """Users x items of one block: the history's summed unit vectors against every item, mean over modalities."""
    total = torch.zeros(block.shape)
    for table in tables:
        profile = torch.from_numpy(block.astype(np.float32) @ table.rows)
        total += (profile @ table.distinct.T)[:, table.copy_of]
    result: NDArray[np.float32] = (total / len(tables)).numpy()
    return result
