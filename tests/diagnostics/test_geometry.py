"""Maps and labels of points whose arrangement is known."""

import numpy as np
import pytest

from alnico.diagnostics.geometry import (
    chance_purity,
    clusters,
    drawn,
    leading_categories,
    plane,
    purity,
    silhouette,
)

# Two tight pairs far apart on a line.
POINTS = np.array([[0.0, 0], [1, 0], [10, 0], [11, 0]], dtype=np.float32)
HALVES = np.array([0, 0, 1, 1])


def test_silhouette_by_hand() -> None:
    # Outer points: own distance 1, to the other pair 10.5: 9.5 / 10.5. Inner points: 1 against 9.5: 8.5 / 9.5.
    assert silhouette(POINTS, HALVES) == pytest.approx((9.5 / 10.5 + 8.5 / 9.5) / 2)
    assert silhouette(POINTS, np.zeros(4, np.int64)) is None
    assert silhouette(POINTS, np.arange(4)) is None


def test_purity_by_hand() -> None:
    # With one neighbour everybody finds the like; with three a third of them; labels by turns never.
    assert purity(POINTS, HALVES, k=1) == 1.0
    assert purity(POINTS, HALVES, k=3) == pytest.approx(1 / 3)
    assert purity(POINTS, np.array([0, 1, 0, 1]), k=1) == 0.0
    assert purity(POINTS[:1], HALVES[:1]) is None


def test_purity_of_chance_is_the_sum_of_squared_shares() -> None:
    assert chance_purity(np.array([0, 0, 0, 1])) == 0.625


def test_clusters_are_numbered_by_size() -> None:
    points = np.concatenate([POINTS, [[100.0, 0], [101, 0], [102, 0]]]).astype(np.float32)
    assert clusters(points, 3).tolist()[4:] == [0, 0, 0]
    assert len(set(clusters(points, 3).tolist())) == 3


def test_plane_keeps_what_is_apart_apart_and_repeats() -> None:
    rng = np.random.default_rng(0)
    sides = np.repeat([0, 1], 20)
    vectors = (rng.standard_normal((40, 6)) + 20 * sides[:, None]).astype(np.float32)
    flat = plane(vectors)
    assert flat.shape == (40, 2)
    assert purity(flat.astype(np.float32), sides, k=5) == 1.0
    np.testing.assert_array_equal(plane(vectors), flat)


def test_draw_is_sorted_and_bounded() -> None:
    some = drawn(np.arange(10), np.random.default_rng(0), most=4)
    assert len(some) == 4
    assert (np.diff(some) > 0).all()
    assert drawn(np.arange(3), np.random.default_rng(0), most=4).tolist() == [0, 1, 2]


def test_categories_by_first_name_and_frequency() -> None:
    told = leading_categories(["b|a", "b", "a", "c", "", "b", "a"], most=2)
    assert told is not None
    labels, names = told
    assert names == ["b", "a", "other"]
    assert labels.tolist() == [0, 0, 1, 2, 2, 0, 1]
    assert leading_categories(["", "a", ""], most=3) is None
