"""How good a list is for its user: hits in rank order to one number per user.

``hits[u, r]`` says whether the item at rank r + 1 of user u was held out; ``n_targets[u]`` counts all
held-out items of that user, in the list or not. The number of columns is the cut-off k, at least 1.
Relevance is binary.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int
from numpy.typing import NDArray

from alnico.errors import ConfigError, DataError, nearest

Hits = Bool[NDArray[np.bool_], "users k"]
Counts = Int[NDArray[np.int64], " users"]
PerUser = Float64[NDArray[np.float64], " users"]


def recall(hits: Hits, n_targets: Counts) -> PerUser:
    """The share of each user's held-out items that stand in the list.

    The denominator is the number of held-out items, even beyond k: a user with more than k of them cannot
    reach 1. Raises: DataError if a user has no held-out item or more hits than held-out items.
    """
    _require_possible(hits, n_targets)
    found: PerUser = hits.sum(axis=1) / n_targets
    return found


def ndcg(hits: Hits, n_targets: Counts) -> PerUser:
    """Normalised discounted cumulative gain of each user's list.

    Gain 1 for a hit, discount 1 / log2(rank + 1) with the first rank 1. The ideal list has its first
    min(k, n_targets) ranks filled, so a user with more than k held-out items can reach 1.
    Raises: DataError if a user has no held-out item or more hits than held-out items.
    Source: Järvelin and Kekäläinen, ACM TOIS 20(4), 2002, with the discount usual for implicit feedback.
    """
    _require_possible(hits, n_targets)
    k = hits.shape[1]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(n_targets, k) - 1]
    gain: PerUser = (hits @ discounts) / ideal
    return gain


def precision(hits: Hits, n_targets: Counts) -> PerUser:
    """The share of the k places that hold a hit; a place left empty counts as a miss."""
    del n_targets
    filled: PerUser = hits.mean(axis=1)
    return filled


def average_precision(hits: Hits, n_targets: Counts) -> PerUser:
    """The precision at the rank of each hit, summed and divided by min(k, n_targets).

    Its mean over users is MAP. Tools from document retrieval divide by n_targets instead, which differs for
    users with more than k held-out items: here such a user can reach 1.
    Raises: DataError if a user has no held-out item or more hits than held-out items.
    """
    _require_possible(hits, n_targets)
    k = hits.shape[1]
    precision_at_rank = np.cumsum(hits, axis=1) / np.arange(1, k + 1)
    gain: PerUser = (hits * precision_at_rank).sum(axis=1) / np.minimum(n_targets, k)
    return gain


def reciprocal_rank(hits: Hits, n_targets: Counts) -> PerUser:
    """One over the rank of the first hit, 0 without a hit; its mean over users is MRR."""
    # Without a hit argmax is 0, so the quotient is 0 / 1.
    first: PerUser = hit_rate(hits, n_targets) / (hits.argmax(axis=1) + 1)
    return first


def hit_rate(hits: Hits, n_targets: Counts) -> PerUser:
    """1 for a user with at least one hit, else 0."""
    del n_targets
    return np.asarray(hits.any(axis=1), dtype=np.float64)


METRICS: Mapping[str, Callable[[Hits, Counts], PerUser]] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "average_precision": average_precision,
    "reciprocal_rank": reciprocal_rank,
    "hit_rate": hit_rate,
}

# Names that other tools use. They serve the hint only: one metric keeps one name in stored results.
_NAMES_ELSEWHERE = {
    "map": "average_precision",
    "ap": "average_precision",
    "mrr": "reciprocal_rank",
    "rr": "reciprocal_rank",
    "hit": "hit_rate",
    "hr": "hit_rate",
    "r": "recall",
    "n": "ndcg",
    "p": "precision",
}


@dataclass(frozen=True)
class Metric:
    """A metric with its cut-off, written ``recall@20``."""

    name: str
    cutoff: int

    def __str__(self) -> str:
        return f"{self.name}@{self.cutoff}"

    def __call__(self, hits: Hits, n_targets: Counts) -> PerUser:
        """The metric on the first ``cutoff`` ranks; ``hits`` must have that many columns or more."""
        return METRICS[self.name](hits[:, : self.cutoff], n_targets)


def parse_metric(text: str) -> Metric:
    """The metric that a text such as ``ndcg@20`` names.

    Raises: ConfigError if the name is unknown or the cut-off is missing or not a positive whole number.
    """
    name, at, cutoff = text.partition("@")
    if name not in METRICS:
        elsewhere = _NAMES_ELSEWHERE.get(name.lower())
        hint = f"; did you mean {elsewhere!r}?" if elsewhere else nearest(name.lower(), METRICS)
        raise ConfigError(f"there is no metric {name!r} (in {text!r}){hint}")
    if not at:
        raise ConfigError(f"metric {text!r} lacks its cut-off; write for example '{name}@20'")
    if not re.fullmatch("[1-9][0-9]*", cutoff, re.ASCII):
        raise ConfigError(
            f"the cut-off of metric {text!r} must be a whole number from 1 upward, found {cutoff!r}; "
            f"write for example '{name}@20'"
        )
    return Metric(name, int(cutoff))


def _require_possible(hits: Hits, n_targets: Counts) -> None:
    """Refuse rows that no list of distinct items can give."""
    wrong = (n_targets < 1) | (hits.sum(axis=1) > n_targets)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"each user needs at least one held-out item and at most that many hits, but row {row} has "
            f"{int(hits[row].sum())} hits for {int(n_targets[row])} held-out items; leave out users without "
            "held-out items, and list no item twice"
        )
