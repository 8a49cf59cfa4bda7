"""How far the content of a held-out item gives it away: is it near, by content, to what its user has?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from numpy.typing import NDArray

from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.data.split import Targets
from alnico.errors import DataError
from alnico.evaluation.evaluate import Scores, evaluate
from alnico.ranking import Ranking

BUCKETS = ("easy", "medium", "hard")
EASY, MEDIUM, HARD = range(3)
EASY_FROM = 0.5
"""Visibility from which the paper calls a pair easy."""


@dataclass(frozen=True, eq=False)
class Visibility:
    """How visible each held-out pair is to its user through content, in the order of ``Targets.pairs``.

    ``counts`` [pairs]: places of the item's neighbour lists, over all modalities, that hold an item of the user's
    history. ``literal`` is counts over the number of places, which for two lists of k is
    v(u, i) = (|I_u n N^A(i)| + |I_u n N^S(i)|) / 2k. ``reachable`` divides by the places that a history of this
    length could fill, the smaller of k and |I_u| for each list: a short history is not held against its user.
    """

    counts: NDArray[np.int64]
    literal: NDArray[np.float64]
    reachable: NDArray[np.float64]


def visibility(train: Interactions, targets: Targets, neighbours: Mapping[str, ItemNeighbours]) -> Visibility:
    """The visibility of each held-out pair; only training items are history.

    Raises DataError if there are no neighbour lists.
    """
    if not neighbours:
        raise DataError("visibility needs neighbour lists of at least one modality; the data have none")
    users, items = targets.pairs()
    known = np.sort(train.pair_keys)
    degrees = train.user_degrees[users]
    counts = np.zeros(len(users), np.int64)
    places = 0
    fillable = np.zeros(len(users), np.int64)
    for lists in neighbours.values():
        near = lists.items[items].astype(np.int64)
        own = np.isin(users[:, None] * train.n_items + near, known) & (near >= 0)
        counts += own.sum(1)
        places += lists.k
        fillable += np.minimum(lists.k, degrees)
    return Visibility(counts, counts / max(places, 1), counts / np.maximum(fillable, 1))


def literal_buckets(seen: Visibility) -> Int[NDArray[np.int64], " pairs"]:
    """The paper's groups, as places in ``BUCKETS``: easy from v = .5, hard at v = 0, medium between.

    Nothing can be easy for a history shorter than half of k.
    """
    return np.where(seen.literal >= EASY_FROM, EASY, np.where(seen.counts > 0, MEDIUM, HARD)).astype(np.int64)


def relative_buckets(seen: Visibility) -> Int[NDArray[np.int64], " pairs"]:
    """Groups that are not empty by definition: hard where nothing is visible, and the visible pairs in halves.

    A pair is easy above the median of the visible pairs' ``reachable``, medium up to it.
    """
    visible = seen.counts > 0
    if not visible.any():
        return np.full(len(seen.counts), HARD, np.int64)
    middle = np.median(seen.reachable[visible])
    return np.where(~visible, HARD, np.where(seen.reachable > middle, EASY, MEDIUM)).astype(np.int64)


def scores_by_bucket(
    ranking: Ranking, targets: Targets, buckets: Int[NDArray[np.int64], " pairs"], metric: str
) -> dict[str, Scores]:
    """The metric with the held-out items of one group at a time, for users who have any there.

    Lists stay whole: a hit on an item of another group takes its rank and counts as a miss. Raises: as ``evaluate``.
    """
    users, items = targets.pairs()
    return {
        name: evaluate(ranking, Targets.of(users[buckets == place], items[buckets == place]), [metric])
        for place, name in enumerate(BUCKETS)
    }


def composition(
    buckets: Int[NDArray[np.int64], " pairs"], groups: Mapping[str, NDArray[np.bool_]]
) -> dict[str, dict[str, float]]:
    """Group of pairs -> bucket -> its share of the group's pairs; a group without pairs is left out."""
    told = {}
    for name, inside in groups.items():
        if inside.any():
            counts = np.bincount(buckets[inside], minlength=len(BUCKETS))
            told[name] = dict(zip(BUCKETS, (counts / counts.sum()).tolist(), strict=True))
    return told


def counted(buckets: Int[NDArray[np.int64], " pairs"]) -> dict[str, int]:
    """Pairs per bucket."""
    return dict(zip(BUCKETS, np.bincount(buckets, minlength=len(BUCKETS)).tolist(), strict=True))
