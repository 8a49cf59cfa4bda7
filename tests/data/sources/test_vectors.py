"""Feature tables and item graphs from files."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from alnico.data.sources.vectors import (
    check_freshness,
    item_ids_digest,
    neighbours_from,
    read_neighbours,
    read_vectors,
    vectors_from,
)
from alnico.errors import DataError

ROWS = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


def test_npy_is_a_table_in_the_order_of_the_items(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", ROWS.astype(np.float16))
    table = read_vectors(tmp_path / "image.npy", "image")
    assert table.ids is None
    assert table.values.dtype == np.float32
    assert table.values.tolist() == ROWS.tolist()


def test_npz_may_carry_ids_and_presence(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "image.npz", vectors=ROWS, item_ids=np.array(["c", "a", "b"]), present=np.array([1, 0, 1])
    )
    table = read_vectors(tmp_path / "image.npz", "image")
    assert table.ids is not None
    assert table.ids.to_list() == ["c", "a", "b"]
    assert table.present is not None
    assert table.present.tolist() == [True, False, True]


def test_archive_of_several_tables_is_read_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "all.npz", image=ROWS, text=ROWS + 1)
    assert read_vectors(tmp_path / "all.npz", "text").values[0, 0] == 2
    with pytest.raises(
        DataError, match=r"one table .* or one named 'audio'; found image \(3, 2\), text \(3, 2\)"
    ):
        read_vectors(tmp_path / "all.npz", "audio")


def test_safetensors_of_any_precision(tmp_path: Path) -> None:
    save_file(
        {"clip": torch.from_numpy(ROWS).to(torch.bfloat16), "ids": torch.tensor([7, 8, 9])},
        tmp_path / "clip.safetensors",
    )
    table = read_vectors(tmp_path / "clip.safetensors", "image")
    assert table.values.tolist() == ROWS.tolist()
    assert table.ids is not None
    assert table.ids.to_list() == [7, 8, 9]


@pytest.mark.parametrize(
    "frame",
    [
        pl.DataFrame({"item_id": ["a", "b", "c"], "vector": ROWS.tolist()}),
        pl.DataFrame({"item_id": ["a", "b", "c"], "vector": ROWS}),
        pl.DataFrame({"asin": ["a", "b", "c"], "x": ROWS[:, 0], "y": ROWS[:, 1]}),
    ],
    ids=["lists", "arrays", "columns"],
)
def test_parquet_and_frames_align_by_id(tmp_path: Path, frame: pl.DataFrame) -> None:
    frame.write_parquet(tmp_path / "image.parquet")
    for table in (read_vectors(tmp_path / "image.parquet", "image"), vectors_from(frame, "image")):
        assert table.values.tolist() == ROWS.tolist()
        assert table.ids is not None
        assert table.ids.to_list() == ["a", "b", "c"]


def test_missing_lists_are_absent_and_uneven_ones_refused() -> None:
    frame = pl.DataFrame({"item": [1, 2, 3], "vector": [[1.0, 2.0], None, []]})
    assert vectors_from(frame, "image").values.tolist() == [[1, 2], [0, 0], [0, 0]]
    with pytest.raises(DataError, match="column 'vector': vectors have 2 different lengths, expected one"):
        vectors_from(pl.DataFrame({"item": [1, 2], "vector": [[1.0, 2.0], [1.0]]}), "image")


def test_arrays_in_memory_are_tables() -> None:
    assert vectors_from(ROWS.tolist(), "image").values.tolist() == ROWS.tolist()
    with pytest.raises(DataError, match=r"features 'image' has the shape \(3,\); features must be a table"):
        vectors_from(np.arange(3.0), "image")
    with pytest.raises(DataError, match="holds values of kind complex64; features must be numbers"):
        vectors_from(ROWS * 1j, "image")


def object_array(path: Path) -> None:
    np.save(path, np.array([[{}]], dtype=object), allow_pickle=True)


def half_a_file(path: Path) -> None:
    np.save(path, np.ones((50, 50)))
    path.write_bytes(path.read_bytes()[:-1000])


def half_a_header(path: Path) -> None:
    np.save(path, ROWS)
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            object_array,
            r"cannot be read as \.npy: it holds Python objects, not numbers; save a plain float array",
        ),
        (half_a_file, r"cannot be read as \.npy: it is cut short; copy it again"),
        (half_a_header, r"cannot be read as \.npy: it is cut short"),
        (lambda path: path.write_bytes(b""), r"cannot be read as \.npy: it is cut short"),
        (lambda path: path.write_bytes(b"GIF89a, not numbers"), r"cannot be read as \.npy"),
        (
            lambda path: path.write_bytes(pickle.dumps([1])),
            r"it holds Python objects|cannot be read as \.npy",
        ),
    ],
)
def test_broken_npy_is_one_sentence(tmp_path: Path, make: object, message: str) -> None:
    make(tmp_path / "image.npy")  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        read_vectors(tmp_path / "image.npy", "image")


def test_broken_archives_are_one_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", vectors=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"a\.npz cannot be read as \.npz: it holds Python objects"):
        read_vectors(tmp_path / "a.npz", "a")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 nothing more")
    with pytest.raises(DataError, match=r"b\.npz cannot be read as \.npz"):
        read_vectors(tmp_path / "b.npz", "b")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")
    with pytest.raises(DataError, match=r"c\.npz is not an \.npz archive with arrays in it"):
        read_vectors(tmp_path / "c.npz", "c")
    np.save(tmp_path / "e.npy", ROWS)
    with pytest.raises(DataError, match=r"e\.npz is not an \.npz archive with arrays in it"):
        read_vectors((tmp_path / "e.npy").rename(tmp_path / "e.npz"), "e")
    (tmp_path / "d.safetensors").write_bytes(b"1234")
    with pytest.raises(DataError, match=r"d\.safetensors cannot be read as safetensors"):
        read_vectors(tmp_path / "d.safetensors", "d")


def test_missing_file_and_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no feature file .*image\.npy \(for modality 'image'\)"):
        read_vectors(tmp_path / "image.npy", "image")
    (tmp_path / "image.pkl").write_bytes(b"")
    with pytest.raises(DataError, match=r"unknown suffix; expected \.npy, \.npz, \.safetensors, \.parquet"):
        read_vectors(tmp_path / "image.pkl", "image")


def test_ids_and_vectors_must_be_as_many(tmp_path: Path) -> None:
    np.savez(tmp_path / "image.npz", vectors=ROWS, ids=np.array([1, 2]))
    with pytest.raises(DataError, match="has 3 vectors but 2 item ids"):
        read_vectors(tmp_path / "image.npz", "image")


def test_own_item_is_left_out_and_lists_keep_one_length() -> None:
    # Item 1 was pushed out of its own list by twins: it loses its last neighbour instead of itself.
    graph = neighbours_from(
        {
            "indices": np.array([[0, 2, 1], [3, 2, 0], [2, 0, 1], [1, 3, 0]], np.int32),
            "cosine": np.array([[1, 0.9, 0.8], [1, 0.7, 0.6], [1, 0.9, 0.7], [1, 1, 0.5]], np.float32),
        },
        "g.npz",
    )
    assert graph.items.tolist() == [[2, 1], [3, 2], [0, 1], [1, 0]]
    assert graph.weights == pytest.approx(np.array([[0.9, 0.8], [1, 0.7], [0.9, 0.7], [1, 0.5]]))


def test_lists_without_own_items_stay_whole_and_are_sorted() -> None:
    graph = neighbours_from(
        {
            "indices": np.array([[1, 2], [2, -1], [0, 1]]),
            "weights": np.array([[0.1, 0.9], [0.5, 7], [0.2, 0.2]]),
        },
        "g.npz",
    )
    assert graph.items.tolist() == [[2, 1], [2, -1], [0, 1]]
    assert graph.weights == pytest.approx(np.array([[0.9, 0.1], [0.5, 0], [0.2, 0.2]]))


def test_sparse_matrix_becomes_lists(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "g.npz",
        rows=np.array([0, 0, 0, 2, 2]),
        cols=np.array([0, 1, 2, 1, 0]),
        weights=np.array([9, 0.2, 0.3, 0.5, 0.5]),
        shape=np.array([3, 3]),
    )
    graph = read_neighbours(tmp_path / "g.npz", "g")
    # The loop 0-0 goes; equal weights stand in the order of item numbers; item 1 has no neighbour.
    assert graph.items.tolist() == [[2, 1], [-1, -1], [0, 1]]
    assert graph.weights == pytest.approx(np.array([[0.3, 0.2], [0, 0], [0.5, 0.5]]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"indices": np.zeros((2, 2), int)},
         "has indices but no cosine, similarity or weights; it has indices"),
        ({"a": np.zeros(2)},
         "is no item graph: expected indices and cosine, or rows, cols, weights and shape; found a"),
        ({"indices": np.zeros((2, 2), int), "cosine": np.zeros((2, 3))}, "need two equal tables"),
        ({"indices": np.array([[5], [0]]), "cosine": np.ones((2, 1))}, "name item number 5"),
        ({"rows": np.array([0]), "cols": np.array([3]), "weights": np.ones(1), "shape": np.array([2, 2])},
         "an edge names an item outside 0 to 1"),
        ({"rows": np.array([0]), "cols": np.array([1]), "weights": np.ones(1), "shape": np.array([2, 3])},
         "expected a square matrix"),
    ],
)  # fmt: skip
def test_broken_graph_is_one_sentence(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        neighbours_from(arrays, "g.npz")


def test_digest_is_that_of_the_ids_one_per_line() -> None:
    # printf '1\n2\nx' | sha256sum
    assert item_ids_digest([1, 2, "x"]) == "e8bdc33d9d724c37f392b22523e22d51a40867a559454bc5ca6e8a520267c2b4"


def test_features_of_other_items_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.npy"
    check_freshness(path, ["a", "b"])
    note = tmp_path / "image.json"
    note.write_text(json.dumps({"item_ids_sha256": item_ids_digest(["a", "b"])}))
    check_freshness(path, ["a", "b"])
    with pytest.raises(DataError, match=r"made for another list of items .* run `alnico encode` again"):
        check_freshness(path, ["b", "a"])
    note.write_text("[")
    with pytest.raises(DataError, match=r"image\.json is not a JSON record"):
        check_freshness(path, ["a", "b"])
