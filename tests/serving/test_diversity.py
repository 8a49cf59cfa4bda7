"""Lists whose items differ."""

import numpy as np

from alnico.data.features import ItemFeatures, Modality
from alnico.serving.answers import Listed
from alnico.serving.diversity import diversified, mutual_likeness

LISTED = [
    Listed(rank, name, score, "trained")
    for rank, (name, score) in enumerate([("a", 1.0), ("b", 0.9), ("c", 0.0)], 1)
]
# a and b are twins, c is unlike both.
LIKE = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def test_a_twin_gives_way_by_hand() -> None:
    # Second place at one half: b is worth .45 - .5, c is worth 0 - 0.
    told = diversified(LISTED, LIKE, 3, 0.5)
    assert [(one.rank, one.item) for one in told] == [(1, "a"), (2, "c"), (3, "b")]
    assert [one.score for one in told] == [1.0, 0.0, 0.9]


def test_without_diversity_nothing_moves_and_k_cuts() -> None:
    assert diversified(LISTED, LIKE, 2, 0.0) == LISTED[:2]
    assert diversified([], np.zeros((0, 0)), 3, 0.5) == []


def test_likeness_is_the_mean_over_shared_modalities() -> None:
    one = Modality(np.array([[1, 0], [0, 1], [1, 0]], np.float32), np.array([True, True, False]))
    two = Modality(np.array([[1, 0], [1, 0], [1, 0]], np.float32), np.array([True, True, True]))
    like = mutual_likeness(ItemFeatures(3, {"image": one, "text": two}), np.arange(3))
    assert like[0, 1] == 0.5
    assert like[0, 2] == 1.0
    assert (like == like.T).all()
