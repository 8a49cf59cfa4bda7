"""Items whose modalities contradict: near in one, far in the other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alnico.data.features import Modality
from alnico.graphs.content import nearest_neighbours, unit_rows

NEIGHBOURS = 10
_AT_ONCE = 256
_HIGH = 0.8


@dataclass(frozen=True, eq=False)
class Conflict:
    """How two modalities get on with each other.

    ``scores`` [items]: 0 where the neighbours in one modality are as near in the other as its own neighbours
    are, 1 where they are no nearer than all items on average, above 1 where they are farther; NaN without
    both modalities. ``contradicting`` are the items that stand out: a score of at least 0.8, and more than
    three robust standard deviations above the median.
    ``overlap`` is the mean share of common neighbours, ``chance`` that of neighbours drawn at random.
    """

    scores: NDArray[np.float32]
    overlap: float
    chance: float

    @property
    def contradicting(self) -> NDArray[np.int64]:
        """Items that stand out, the worst first."""
        known = np.flatnonzero(~np.isnan(self.scores))
        scores = self.scores[known]
        middle = np.median(scores)
        # The median distance from the median, brought to the scale of a standard deviation.
        spread = 1.4826 * np.median(np.abs(scores - middle))
        order = np.argsort(-scores, kind="stable")
        outstanding: NDArray[np.int64] = known[order[scores[order] >= max(_HIGH, middle + 3 * spread)]]
        return outstanding


def conflict(one: Modality, other: Modality, k: int = NEIGHBOURS) -> Conflict | None:
    """The conflict of two modalities over the items that have both; None for fewer than 2 k + 2 of these."""
    both = np.flatnonzero(one.present & other.present)
    if len(both) < 2 * k + 2:
        return None
    sides = [
        Modality(unit_rows(modality.vectors[both]), np.ones(len(both), np.bool_)) for modality in (one, other)
    ]
    lists = [nearest_neighbours(side, k).items for side in sides]
    agreements = []
    for own, its, foreign in ((0, lists[0], lists[1]), (1, lists[1], lists[0])):
        near, seen = _mean_cosine(sides[own], its), _mean_cosine(sides[own], foreign)
        far = sides[own].vectors @ sides[own].vectors.mean(axis=0)
        agreements.append((seen - far) / np.maximum(near - far, 1e-6))
    scores = np.full(len(one.present), np.nan, np.float32)
    scores[both] = np.maximum(1 - np.mean(agreements, axis=0), 0)
    common = (lists[0][:, :, None] == lists[1][:, None, :]).any(axis=2)
    return Conflict(scores, float(common.mean()), k / (len(both) - 1))


def _mean_cosine(side: Modality, chosen: NDArray[np.int32]) -> NDArray[np.float32]:
    """Mean cosine of each item with the items chosen for it."""
    found = [
        np.einsum(
            "nd,nkd->n",
            side.vectors[start : start + _AT_ONCE],
            side.vectors[chosen[start : start + _AT_ONCE]],
        )
        for start in range(0, len(chosen), _AT_ONCE)
    ]
    mean: NDArray[np.float32] = np.concatenate(found) / chosen.shape[1]
    return mean
