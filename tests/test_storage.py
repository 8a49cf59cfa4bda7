"""Files are whole or not there."""

import json
import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from alnico.errors import StorageError
from alnico.storage import (
    read_json,
    read_tensors,
    write_atomically,
    write_json,
    write_tensors,
    write_text,
)


def test_tensors_and_notes_come_back_bit_for_bit(tmp_path):
    tensors = {
        "a": torch.tensor([[0.1, -0.0], [float("inf"), 1e-40]]),
        "b": torch.tensor([1, -(2**62)]),
        "scalar": torch.tensor(3.0, dtype=torch.float64),
        "flags": torch.tensor([True, False]),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "nothing": torch.zeros(0, 4),
    }
    notes = {"name": "ä", "numbers": [1, 2.5, None], "deep": {"flag": True}}
    write_tensors(tmp_path / "deep" / "file.safetensors", tensors, notes)
    read, said = read_tensors(tmp_path / "deep" / "file.safetensors")
    assert said == notes
    assert set(read) == set(tensors)
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


def test_equal_content_is_stored_in_equal_bytes(tmp_path):
    tensors = {"b": torch.arange(5.0), "a": torch.tensor([1, 2])}
    # Two notes in random order would agree by chance in half of the cases, sixteen times in hardly any.
    for number in range(16):
        write_tensors(tmp_path / f"{number}.safetensors", tensors, {"name": "ä"})
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_tensors_read_back_stand_at_even_addresses(tmp_path):
    # A product may differ in the last bit where a table stands at an odd address, as tensors in a file do.
    sizes = {f"t{size}": torch.ones(size) for size in (1, 3, 5, 7, 11)}
    write_tensors(tmp_path / "file", sizes, {"odd": "x" * 13})
    read, _ = read_tensors(tmp_path / "file")
    assert [tensor.data_ptr() % 64 for tensor in read.values()] == [0] * 5


def test_tensors_that_share_memory_can_be_written(tmp_path):
    table = torch.arange(6.0).reshape(3, 2)
    write_tensors(tmp_path / "file", {"one": table, "same": table, "part": table[1:]}, {})
    read, _ = read_tensors(tmp_path / "file")
    assert torch.equal(read["one"], read["same"])
    assert read["part"].tolist() == [[2, 3], [4, 5]]


def test_a_full_disk_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    target = tmp_path / "notes.txt"
    write_text(target, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StorageError, match=r"cannot write .*notes.txt: No space left on device; nothing was changed"
    ):
        write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_writer_that_fails_half_way_leaves_nothing(tmp_path):
    def half(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", half)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*taken"):
        write_text(tmp_path / "taken" / "file", "text")


def test_others_may_read_what_was_written(tmp_path):
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_json_comes_back_and_is_readable_by_people(tmp_path):
    content = {"name": "Käse", "list": [1, None, 0.1]}
    write_json(tmp_path / "file.json", content)
    assert read_json(tmp_path / "file.json") == content
    assert "Käse" in (tmp_path / "file.json").read_text()


def test_missing_json_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"there is no file .*gone.json"):
        read_json(tmp_path / "gone.json")


def test_broken_json_is_named(tmp_path):
    (tmp_path / "file.json").write_text('{"a": 1')
    with pytest.raises(StorageError, match=r"file.json cannot be read as JSON"):
        read_json(tmp_path / "file.json")


def test_missing_tensors_are_named(tmp_path):
    with pytest.raises(StorageError, match=r"there is no file .*gone"):
        read_tensors(tmp_path / "gone")


@pytest.mark.parametrize("kept", [0, 5, -3], ids=["empty", "a few bytes", "last bytes cut"])
def test_a_damaged_file_of_tensors_is_refused(tmp_path, kept):
    path = tmp_path / "file"
    write_tensors(path, {"a": torch.arange(9.0)}, {})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(StorageError, match="is damaged or not a safetensors file"):
        read_tensors(path)


def test_a_file_of_others_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "file")
    with pytest.raises(StorageError, match="was not written by alnico"):
        read_tensors(tmp_path / "file")


def test_a_newer_format_is_refused(tmp_path):
    save_file({"a": torch.zeros(2)}, tmp_path / "file", {"format": "99", "notes": json.dumps({})})
    with pytest.raises(StorageError, match="has format 99, newer than this alnico reads"):
        read_tensors(tmp_path / "file")
