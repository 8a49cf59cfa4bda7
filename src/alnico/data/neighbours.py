"""Neighbour lists between items, given with the data or computed from content."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alnico.data.interactions import frozen
from alnico.errors import DataError


@dataclass(frozen=True, eq=False)
class ItemNeighbours:
    """For each item its nearest others: ``items[i, j]`` with similarity ``weights[i, j]``.

    Directed; nearest first; an item is never its own neighbour; -1 with weight 0 fills short lists.
    Shapes: both [items, k]. Weights are cosines unless their maker says otherwise. ``recall`` is the share of the
    true nearest that an approximate search found, as measured on a sample; None where the lists are exact or given.
    """

    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    recall: float | None = None

    def __post_init__(self) -> None:
        items, weights = np.asarray(self.items), np.asarray(self.weights)
        if items.ndim != 2 or items.shape != weights.shape:
            raise DataError(
                f"neighbour lists need equal tables [items, k]; found {items.shape} and {weights.shape}"
            )
        n = len(items)
        if items.size and (items.max() >= n or items.min() < -1):
            raise DataError(f"neighbour lists of {n} items name item number {int(items.max())}")
        if not np.isfinite(weights).all():
            raise DataError("neighbour lists hold a weight that is not finite")
        if (items == np.arange(n)[:, None]).any():
            raise DataError("an item is listed as its own neighbour; leave it out")
        object.__setattr__(self, "items", frozen(items, np.int32))
        object.__setattr__(self, "weights", frozen(np.where(items < 0, 0, weights), np.float32))

    @classmethod
    def of_edges(
        cls,
        items: NDArray[np.int64],
        neighbours: NDArray[np.int64],
        weights: NDArray[np.float32] | NDArray[np.float64],
        n_items: int,
        k: int | None = None,
    ) -> "ItemNeighbours":
        """Lists from (item, neighbour, weight) triples in any order: the k of largest weight (all by default), ties to
        the smaller number."""
        order = np.lexsort((neighbours, -weights, items))
        if k is not None:
            order = order[rank_within(items[order]) < k]
        items, neighbours, weights = items[order], neighbours[order], weights[order]
        width = max(1, int(np.bincount(items, minlength=1).max(initial=0)))
        table = np.full((n_items, width), -1, np.int32)
        values = np.zeros((n_items, width), np.float32)
        place = rank_within(items)
        table[items, place] = neighbours
        values[items, place] = weights
        return cls(table, values)

    @property
    def k(self) -> int:
        """Length of the lists."""
        return int(self.items.shape[1])

    @property
    def n_items(self) -> int:
        """Number of items that have a list."""
        return len(self.items)

    def first(self, k: int) -> "ItemNeighbours":
        """The k nearest only. Raises DataError if the lists are shorter."""
        if k > self.k:
            raise DataError(
                f"{k} neighbours were asked for but the given lists hold {self.k}; lower model.neighbours"
            )
        return ItemNeighbours(self.items[:, :k], self.weights[:, :k], self.recall)

    def edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """The lists as (item, neighbour, weight) triples, fillers left out."""
        rows, columns = np.nonzero(self.items >= 0)
        return rows.astype(np.int64), self.items[rows, columns].astype(np.int64), self.weights[rows, columns]


def rank_within(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Position of each entry within its run of equal values: [5, 5, 7, 7, 7] gives [0, 1, 0, 1, 2]."""
    if not len(groups):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    lengths = np.diff(np.concatenate([starts, [len(groups)]]))
    return np.arange(len(groups)) - np.repeat(starts, lengths)
