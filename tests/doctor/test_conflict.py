"""Items whose modalities contradict."""

import numpy as np
import pytest

from alnico.data.features import Modality
from alnico.doctor.conflict import conflict


def kinds(swapped: tuple[int, ...] = ()) -> tuple[Modality, Modality]:
    """Two modalities of 60 items in three kinds; ``swapped`` items are of the next kind in the second."""
    random = np.random.default_rng(0)
    kind = np.arange(60) // 20
    second = kind.copy()
    second[list(swapped)] = (kind[list(swapped)] + 1) % 3
    tables = [np.eye(3, 8)[which] + random.normal(0, 0.1, (60, 8)) for which in (kind, second)]
    first, other = (Modality(table.astype(np.float32), np.ones(60, np.bool_)) for table in tables)
    return first, other


def test_swapped_content_contradicts_most() -> None:
    found = conflict(*kinds((3, 25)))
    assert found is not None
    assert set(np.argsort(-found.scores)[:2].tolist()) == {3, 25}
    assert found.contradicting.tolist() == np.argsort(-found.scores)[:2].tolist()
    assert found.scores[[3, 25]].min() > 0.8
    assert np.delete(found.scores, [3, 25]).max() < 0.4
    assert found.overlap > found.chance == pytest.approx(10 / 59)


def test_one_modality_does_not_contradict_itself() -> None:
    first, _ = kinds()
    found = conflict(first, first)
    assert found is not None
    assert found.scores == pytest.approx(0, abs=1e-4)
    assert found.overlap == 1


def test_items_without_both_have_no_score() -> None:
    first, second = kinds()
    present = np.ones(60, np.bool_)
    present[7] = False
    found = conflict(Modality(np.where(present[:, None], first.vectors, 0), present), second)
    assert found is not None
    assert np.flatnonzero(np.isnan(found.scores)).tolist() == [7]


def test_too_few_items_have_no_conflict() -> None:
    few = Modality(np.eye(21, dtype=np.float32), np.ones(21, np.bool_))
    assert conflict(few, few) is None
