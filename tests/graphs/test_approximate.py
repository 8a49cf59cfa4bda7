"""Approximate neighbours against exact ones."""

import logging
import sys

import numpy as np
import pytest
import torch

import worlds
from alnico.errors import UnsupportedError
from alnico.graphs.approximate import nearest_by_faiss
from alnico.graphs.cache import GraphCache
from alnico.graphs.content import nearest_neighbours, unit_rows

pytest.importorskip("faiss")


def clustered(seed=0, n=1500, width=16, copies=0):
    """Vectors around a few centres, as content has them; the first ``copies`` of them equal."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((20, width))[rng.integers(0, 20, n)] + 0.5 * rng.standard_normal((n, width))
    vectors[:copies] = vectors[0]
    return worlds.modality(vectors, absent=[n - 1])


def test_nearly_all_neighbours_are_found_and_the_recall_is_told(caplog):
    modality = clustered()
    with caplog.at_level(logging.INFO, logger="alnico"):
        near = nearest_neighbours(modality, 10, search="approximate")
    true = nearest_neighbours(modality, 10)
    found = np.mean(
        [len(np.intersect1d(*pair)) / 10 for pair in zip(near.items[:-1], true.items[:-1], strict=True)]
    )
    assert true.recall is None
    assert found > 0.97
    # Measured on 1,000 of the 1,499 items: near the share among all of them.
    assert near.recall == pytest.approx(found, abs=0.01)
    assert f"{100 * near.recall:.1f} % of the true ones were found" in caplog.text
    assert (near.items[-1] == -1).all()
    assert near.first(3).recall == near.recall


def test_small_tables_are_searched_wholly():
    modality = clustered(n=40)
    near, true = nearest_neighbours(modality, 5, search="approximate"), nearest_neighbours(modality, 5)
    np.testing.assert_array_equal(near.items, true.items)
    np.testing.assert_allclose(near.weights, true.weights, atol=1e-6)
    assert near.recall == 1


def test_twins_tie_exactly_and_come_by_number():
    near = nearest_neighbours(clustered(copies=6), 8, search="approximate")
    for item in range(6):
        assert near.items[item, :5].tolist() == [other for other in range(6) if other != item]
        assert len(set(near.weights[item, :5].tolist())) == 1


def test_the_same_table_gives_the_same_lists_and_torch_keeps_its_threads():
    table = unit_rows(clustered(1).vectors)
    before = torch.get_num_threads()
    one, other = nearest_by_faiss(table, 9), nearest_by_faiss(table, 9)
    assert torch.get_num_threads() == before
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])
    torch.set_num_threads(1)
    try:
        np.testing.assert_array_equal(nearest_by_faiss(table, 9)[0], one[0])
    finally:
        torch.set_num_threads(before)


def test_longer_lists_than_rows_end_in_fillers():
    rows, values = nearest_by_faiss(unit_rows(clustered(n=5).vectors), 9)
    assert (rows[:, 5:] == -1).all()
    assert np.isneginf(values[:, 5:]).all()


def test_nobody_present_leaves_empty_lists():
    lists = nearest_neighbours(worlds.modality(np.ones((3, 2)), [0, 1, 2]), 2, search="approximate")
    assert (lists.items == -1).all()


def test_a_cache_keeps_both_kinds_apart_and_remembers_the_recall(tmp_path):
    modality = clustered(2)
    made = nearest_neighbours(modality, 10, GraphCache(tmp_path), search="approximate")
    assert nearest_neighbours(modality, 10, GraphCache(tmp_path)).recall is None
    again = nearest_neighbours(modality, 10, GraphCache(tmp_path), search="approximate")
    assert again.recall == made.recall
    np.testing.assert_array_equal(again.items, made.items)
    assert len(list(tmp_path.iterdir())) == 2


def test_without_faiss_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UnsupportedError, match=r"need faiss; install alnico\[ann\], or set neighbour_search"):
        nearest_neighbours(clustered(), 3, search="approximate")
