"""Lists whose items differ from each other."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from alnico.data.features import ItemFeatures
from alnico.serving.answers import Listed

POOL = 5
"""Candidates per place of the list."""


def diversified(
    listed: Sequence[Listed], likeness: Float[NDArray[np.float64], "some some"], k: int, share: float
) -> list[Listed]:
    """k of these items, best first: each the one of largest (1 - share) * score - share * likeness to those before it.

    Scores are scaled to 0..1 over the candidates, ``likeness`` holds their mutual likeness, at most 1. With share 0 the
    list stays as it is; ranks are counted anew.
    Source: Carbonell and Goldstein, The Use of MMR, Diversity-Based Reranking, SIGIR 1998.
    """
    scores = np.array([one.score for one in listed], dtype=np.float64)
    span = float(np.ptp(scores)) if len(scores) else 0.0
    worth = (scores - scores.min()) / span if span else np.zeros(len(scores))
    nearest = np.zeros(len(scores))
    free = np.ones(len(scores), np.bool_)
    chosen: list[int] = []
    for _ in range(min(k, len(listed))):
        value = np.where(free, (1 - share) * worth - share * nearest, -np.inf)
        best = int(value.argmax())
        chosen.append(best)
        free[best] = False
        nearest = np.maximum(nearest, likeness[best])
    return [
        Listed(rank, listed[place].item, listed[place].score, listed[place].basis)
        for rank, place in enumerate(chosen, start=1)
    ]


def mutual_likeness(
    content: ItemFeatures, items: NDArray[np.int64]
) -> Float[NDArray[np.float64], "some some"]:
    """The mean cosine of each two of these items over the modalities that both have; 0 where they share none.

    Vectors must have length one.
    """
    total, shared = np.zeros((len(items), len(items))), np.zeros((len(items), len(items)))
    for modality in content.values():
        own, vectors = modality.present[items], modality.vectors[items]
        both = own[:, None] & own[None]
        total += np.where(both, vectors @ vectors.T, 0)
        shared += both
    return total / np.maximum(shared, 1)
