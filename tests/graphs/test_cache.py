"""The cache never answers a question that was not asked."""

import numpy as np
import pytest

import worlds
from alnico.errors import StorageError
from alnico.graphs.cache import GraphCache
from alnico.graphs.content import nearest_neighbours

INPUT = np.arange(6, dtype=np.float32).reshape(2, 3)


class Maker:
    """Gives a small answer and counts how often it was asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"answer": np.array([self.calls])}


def ask(cache, make, name="graph", version=1, arguments=None, inputs=(INPUT,)):
    """One question with one thing changed."""
    return cache.get(name, version, arguments or {"k": 5}, list(inputs), make)["answer"].tolist()


def test_the_same_question_is_answered_once():
    cache, make = GraphCache(), Maker()
    assert ask(cache, make) == ask(cache, make) == [1]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"version": 2},
        {"arguments": {"k": 6}},
        {"arguments": {"k": 5, "mode": "full"}},
        {"inputs": (INPUT + np.float32(1e-6),)},
        {"inputs": (INPUT.astype(np.float64),)},
        {"inputs": (INPUT.reshape(3, 2),)},
        {"inputs": (INPUT, INPUT)},
    ],
    ids=["name", "version", "argument", "one more argument", "bytes", "precision", "shape", "one more input"],
)
def test_whatever_changes_asks_anew(change, tmp_path):
    cache, make = GraphCache(tmp_path), Maker()
    ask(cache, make)
    assert ask(cache, make, **change) == [2]
    assert ask(cache, make) == [1]


def test_a_folder_remembers_for_the_next_process(tmp_path):
    make = Maker()
    ask(GraphCache(tmp_path / "graphs"), make)
    assert ask(GraphCache(tmp_path / "graphs"), make) == [1]
    assert make.calls == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    make = Maker()
    ask(GraphCache(tmp_path), make)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"not a graph"}[damage])
    assert ask(GraphCache(tmp_path), make) == [2]
    # The new file is whole again.
    assert ask(GraphCache(tmp_path), make) == [2]


def test_a_failure_while_making_leaves_no_file(tmp_path):
    def fail():
        raise RuntimeError("no answer")

    with pytest.raises(RuntimeError, match="no answer"):
        ask(GraphCache(tmp_path), fail)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "graphs").write_text("a file stands where the folder should be")
    with pytest.raises(StorageError, match=r"cannot write .*graphs"):
        ask(GraphCache(tmp_path / "graphs"), Maker())


def test_changed_features_never_reuse_old_neighbours(tmp_path):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((8, 3)).astype(np.float32)
    cache = GraphCache(tmp_path)
    before = nearest_neighbours(worlds.modality(vectors), 2, cache)
    assert nearest_neighbours(worlds.modality(vectors), 2, cache).items is not None
    vectors[0] = -vectors[0]
    after = nearest_neighbours(worlds.modality(vectors), 2, cache)
    np.testing.assert_array_equal(after.items, nearest_neighbours(worlds.modality(vectors), 2).items)
    assert not np.array_equal(after.items, before.items)
    masked = nearest_neighbours(worlds.modality(vectors, absent=[3]), 2, cache)
    assert not (masked.items == 3).any()
