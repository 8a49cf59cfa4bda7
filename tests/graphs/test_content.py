"""Content neighbours against scikit-learn and by hand."""

import itertools

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

import worlds
from alnico.errors import DataError
from alnico.graphs.content import distinct_rows, nearest_neighbours, unit_rows

BLOCK_SIZES = [1, 200, 2**20]


def random_modality(seed, n=40, width=6, absent=()):
    """Vectors without meaning."""
    return worlds.modality(np.random.default_rng(seed).standard_normal((n, width)), absent)


@pytest.mark.parametrize("block_bytes", BLOCK_SIZES)
def test_neighbours_agree_with_scikit_learn(block_bytes):
    modality = random_modality(0)
    lists = nearest_neighbours(modality, 5, block_bytes=block_bytes)
    search = NearestNeighbors(n_neighbors=6, metric="cosine", algorithm="brute").fit(modality.vectors)
    distances, found = search.kneighbors(modality.vectors)
    # Its first neighbour is the item itself.
    np.testing.assert_array_equal(lists.items, found[:, 1:])
    np.testing.assert_allclose(lists.weights, 1 - distances[:, 1:], atol=1e-6)


@pytest.mark.parametrize("block_bytes", BLOCK_SIZES)
def test_ties_go_to_the_smaller_item_number(block_bytes):
    # Items 0, 2 and 4 point one way, 1 and 3 the opposite way, whatever their lengths.
    modality = worlds.modality([[1, 0], [-1, 0], [2, 0], [-3, 0], [0.5, 0]])
    lists = nearest_neighbours(modality, 3, block_bytes=block_bytes)
    assert lists.items.tolist() == [[2, 4, 1], [3, 0, 2], [0, 4, 1], [1, 0, 2], [0, 2, 1]]
    assert lists.weights.tolist() == [[1, 1, -1], [1, -1, -1], [1, 1, -1], [1, -1, -1], [1, 1, -1]]


@pytest.mark.parametrize("block_bytes", BLOCK_SIZES)
def test_items_with_the_very_same_vector_tie_exactly(block_bytes):
    # A product may sum two equal columns in different orders; twins must not be told apart by rounding.
    rng = np.random.default_rng(10)
    vectors = rng.standard_normal((130, 333)).astype(np.float32)
    twins = np.sort(rng.choice(130, 12, replace=False))
    vectors[twins] = vectors[twins[0]]
    lists = nearest_neighbours(worlds.modality(vectors), 129, block_bytes=block_bytes)
    for item in range(130):
        others = twins[twins != item]
        places = [int(np.flatnonzero(lists.items[item] == twin)[0]) for twin in others]
        assert places == list(range(places[0], places[0] + len(others)))
        assert len(set(lists.weights[item, places].tolist())) == 1


@pytest.mark.parametrize("block_bytes", [100, 2**20])
def test_lists_are_those_of_the_whole_table_of_cosines(block_bytes):
    # 90 items, a third of them copies of others: every list is a stable sort of one row of cosines.
    rng = np.random.default_rng(11)
    vectors = rng.integers(-3, 4, (90, 4)).astype(np.float32)
    vectors[rng.choice(90, 30, replace=False)] = vectors[rng.choice(90, 30)]
    modality = worlds.modality(vectors, absent=[4, 50])
    known = np.flatnonzero(modality.present)
    lists = nearest_neighbours(modality, 20, block_bytes=block_bytes)
    distinct, copy_of = distinct_rows(unit_rows(modality.vectors[known]))
    cosines = (distinct.astype(np.float64) @ distinct.astype(np.float64).T)[copy_of][:, copy_of]
    np.fill_diagonal(cosines, -np.inf)
    for row, item in enumerate(known):
        np.testing.assert_allclose(lists.weights[item], np.sort(cosines[row])[::-1][:20], atol=1e-6)
        for place, (left, right) in enumerate(itertools.pairwise(lists.items[item])):
            if lists.weights[item, place] == lists.weights[item, place + 1]:
                assert left < right
    # Copies are in the same lists, side by side or beyond the end, and never at different cosines.
    for row in known:
        seen = dict(zip(lists.items[row].tolist(), lists.weights[row].tolist(), strict=True))
        for kind in np.unique(copy_of):
            assert len({seen[item] for item in known[copy_of == kind].tolist() if item in seen}) <= 1


@pytest.mark.parametrize("block_bytes", BLOCK_SIZES)
def test_absent_items_have_no_neighbours_and_are_nobodys(block_bytes):
    modality = random_modality(1, absent=[0, 7, 39])
    lists = nearest_neighbours(modality, 4, block_bytes=block_bytes)
    assert (lists.items[[0, 7, 39]] == -1).all()
    assert (lists.weights[[0, 7, 39]] == 0).all()
    assert not np.isin(lists.items, [0, 7, 39]).any()
    present = np.flatnonzero(modality.present)
    alone = nearest_neighbours(worlds.modality(modality.vectors[present]), 4)
    np.testing.assert_array_equal(lists.items[present], present[alone.items])


def test_more_neighbours_than_items_lists_all_others():
    lists = nearest_neighbours(random_modality(2, n=4), 50)
    assert [sorted(row) for row in lists.items.tolist()] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


@pytest.mark.parametrize("absent", [[0, 1, 2], [0, 2]], ids=["nobody present", "one present"])
def test_where_nobody_can_be_near_lists_are_empty(absent):
    lists = nearest_neighbours(worlds.modality(np.ones((3, 2)), absent), 2)
    assert (lists.items == -1).all()


def test_a_zero_vector_that_is_present_is_far_from_all_and_not_a_number_appears():
    lists = nearest_neighbours(worlds.modality([[1, 0], [0, 0], [1, 0.1]]), 2)
    assert lists.items[0].tolist() == [2, 1]
    assert np.isfinite(lists.weights).all()


def test_no_neighbours_at_all_is_refused():
    with pytest.raises(DataError, match="must be at least 1; found 0"):
        nearest_neighbours(random_modality(0), 0)


def test_unit_rows_have_length_one_and_zero_rows_stay():
    rows = unit_rows(np.array([[3, 4], [0, 0]], dtype=np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_distinct_rows_by_hand():
    table = np.array([[5, 1], [2, 2], [5, 1], [0, 0], [2, 2]], dtype=np.float32)
    distinct, copy_of = distinct_rows(table)
    assert distinct.tolist() == [[5, 1], [2, 2], [0, 0]]
    assert copy_of.tolist() == [0, 1, 0, 2, 1]
