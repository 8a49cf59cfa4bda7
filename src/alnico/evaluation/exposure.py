"""What the lists do to the catalogue: which items are shown, how often, how popular they are.

All measures follow from the exposure of items, the number of lists in which each stands. Every recommendation
counts once; users are not averaged first.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from alnico.data.interactions import Interactions
from alnico.errors import DataError
from alnico.evaluation.evaluate import require_length
from alnico.ranking import Ranking


@dataclass(frozen=True)
class Exposure:
    """How the first ``cutoff`` ranks spread over the catalogue.

    ``coverage``: share of the catalogue that stands in some list. ``mean_popularity``: training users of a
    recommended item. ``gini``: see ``gini``. ``tail_share``: share of recommendations outside the most
    popular fifth of the items. ``novelty``: see ``novelty``, in bits. Where nothing is recommended, coverage
    is 0 and the others are NaN.
    """

    cutoff: int
    n_recommendations: int
    coverage: float
    mean_popularity: float
    gini: float
    tail_share: float
    novelty: float


def measure_exposure(ranking: Ranking, train: Interactions, cutoff: int) -> Exposure:
    """All measures of the first ``cutoff`` ranks, popularity being the number of training users.

    Raises: ConfigError if the lists are shorter than the cut-off; DataError if they name an item that the
    training data does not know.
    """
    counts = exposure_of(ranking, train.n_items, cutoff)
    popularity = train.item_degrees
    return Exposure(
        cutoff=cutoff,
        n_recommendations=int(counts.sum()),
        coverage=coverage(counts),
        mean_popularity=_mean_over_recommendations(counts, popularity),
        gini=gini(counts),
        tail_share=_mean_over_recommendations(counts, long_tail(popularity)),
        novelty=novelty(counts, popularity, train.n_users),
    )


def exposure_of(ranking: Ranking, n_items: int, cutoff: int) -> Int[NDArray[np.int64], " items"]:
    """The number of lists whose first ``cutoff`` ranks hold each item; empty places are not counted.

    Raises: ConfigError if the lists are shorter than the cut-off; DataError for an item number of ``n_items``
    or more.
    """
    require_length(ranking, cutoff)
    listed = ranking.items[:, :cutoff]
    listed = listed[listed >= 0]
    if len(listed) and listed.max() >= n_items:
        raise DataError(
            f"the lists name item number {int(listed.max())} but the catalogue has {n_items} items; "
            "measure exposure with the catalogue that was ranked"
        )
    return np.bincount(listed, minlength=n_items)


def coverage(counts: Int[NDArray[np.int64], " items"]) -> float:
    """The share of items that stand in at least one list."""
    return float(np.mean(counts > 0)) if len(counts) else math.nan


def gini(counts: Int[NDArray[np.int64], " items"]) -> float:
    """The Gini index of exposure over all items, those never shown included; NaN when nothing is shown.

    With exposures sorted upward, x_1 to x_n: sum of (2 i - n - 1) x_i, divided by n times the sum of x_i. It
    is 0 when all items are shown equally often and (n - 1) / n when one item takes every place.
    """
    total = counts.sum()
    if total == 0:
        return math.nan
    n = len(counts)
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(counts) / (n * total))


def long_tail(popularity: Int[NDArray[np.int64], " items"]) -> Bool[NDArray[np.bool_], " items"]:
    """Whether each item lies outside the most popular fifth of the items.

    The fifth is rounded up; of equally popular items, those with smaller numbers belong to it first.
    """
    n_head = -(-len(popularity) // 5)
    tail = np.ones(len(popularity), dtype=np.bool_)
    tail[np.argsort(-popularity, kind="stable")[:n_head]] = False
    return tail


def novelty(
    counts: Int[NDArray[np.int64], " items"], popularity: Int[NDArray[np.int64], " items"], n_users: int
) -> float:
    """The mean surprise of a recommendation in bits, -log2 of the share of users who have the item.

    The share is (popularity + 1) / (n_users + 1), so that an item nobody has is finite. NaN when nothing is
    shown. Source: mean self-information of Zhou et al., PNAS 107(10), 2010, with the added one.
    """
    return _mean_over_recommendations(counts, -np.log2((popularity + 1) / (n_users + 1)))


def _mean_over_recommendations(
    counts: Int[NDArray[np.int64], " items"],
    values: Float[NDArray[np.float64], " items"]
    | Int[NDArray[np.int64], " items"]
    | Bool[NDArray[np.bool_], " items"],
) -> float:
    total = counts.sum()
    return float(counts @ values / total) if total else math.nan
