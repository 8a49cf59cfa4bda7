"""Data folders: what goes in comes out, and nothing half-written ever stands."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alnico.data import store
from alnico.data.dataset import Dataset
from alnico.data.features import Modality
from alnico.data.ids import IdMap
from alnico.data.neighbours import ItemNeighbours
from alnico.data.sources.assemble import dataset_from_columns
from alnico.data.store import open_dataset, read_manifest, replaced_folder, save_dataset
from alnico.errors import DataError, StorageError


def full_dataset() -> Dataset:
    """Three users, four items, and everything that a data set may have."""
    return dataset_from_columns(
        "full",
        np.array([2, 0, 0, 1]),
        np.array([3, 1, 0, 2]),
        IdMap(np.array(["ann", "bob", "çağ"]), "user"),
        IdMap(np.array([10, 20, 30, 40]), "item"),
        times=np.array([4.0, 3.5, 1.0, 2.0]),
        weights=np.array([1, 2, 3, 4], np.float32),
        labels=np.array([0, 2, 0, 0], np.int8),
        features={
            "text": Modality(
                np.arange(12, dtype=np.float32).reshape(4, 3), np.array([True, False, True, True])
            ),
            "image": Modality(np.eye(4, dtype=np.float32), np.ones(4, np.bool_)),
        },
        neighbours={
            "image": ItemNeighbours(
                np.array([[1], [2], [3], [-1]], np.int32), np.array([[0.5], [0.25], [1], [0]], np.float32)
            )
        },
        cards={"title": ("Cup", "", "Tea, green", "Pot\nlarge"), "id": ("a", "b", "c", "d")},
    )


def leftovers(folder: Path) -> list[str]:
    """Names of all files and folders beside and under ``folder``."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_everything_survives_the_disk(tmp_path: Path) -> None:
    before = full_dataset()
    manifest = save_dataset(before, tmp_path / "full", notices=["3 repeated interactions were merged"])
    after = open_dataset(tmp_path / "full")
    assert after.fingerprint == before.fingerprint == manifest.fingerprint
    assert after.name == "full"
    assert after.users == before.users
    assert after.items.names.dtype.kind == "i"
    assert after.cards.columns == before.cards.columns
    assert after.features.names == ("text", "image")
    assert list(after.neighbours) == ["image"]
    assert after.labels is not None
    assert after.labels.tolist() == [0, 2, 0, 0]
    assert read_manifest(tmp_path / "full").notices == ["3 repeated interactions were merged"]
    assert leftovers(tmp_path)[0] == "full"
    assert not any(name.startswith(".") for name in leftovers(tmp_path))


def test_bare_interactions_survive_the_disk(tmp_path: Path) -> None:
    before = dataset_from_columns(
        "bare", np.array([0, 1]), np.array([1, 0]), IdMap.range(2, "user"), IdMap.range(2, "item")
    )
    save_dataset(before, tmp_path / "bare")
    after = open_dataset(tmp_path / "bare")
    assert after.fingerprint == before.fingerprint
    assert after.interactions.times is None
    assert after.labels is None


def test_vectors_stay_on_the_disk_until_they_are_read(tmp_path: Path) -> None:
    save_dataset(full_dataset(), tmp_path / "full")
    vectors = open_dataset(tmp_path / "full").features["image"].vectors
    assert isinstance(vectors, np.memmap)
    assert not vectors.flags.writeable


def test_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    one = save_dataset(full_dataset(), tmp_path / "one")
    two = save_dataset(full_dataset(), tmp_path / "two")
    assert one == two


def test_existing_data_are_replaced_only_when_told(tmp_path: Path) -> None:
    save_dataset(full_dataset(), tmp_path / "full", notices=["first"])
    with pytest.raises(StorageError, match="full exists already; pass --force to replace it"):
        save_dataset(full_dataset(), tmp_path / "full")
    save_dataset(full_dataset(), tmp_path / "full", force=True, notices=["second"])
    assert read_manifest(tmp_path / "full").notices == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.parametrize(
    "content", [{"holiday.jpg": "pixels"}, {"manifest.json": '{"name": "a browser plugin"}'}]
)
def test_what_is_no_data_folder_is_never_replaced(tmp_path: Path, content: dict[str, str]) -> None:
    (tmp_path / "mine").mkdir()
    for name, text in content.items():
        (tmp_path / "mine" / name).write_text(text)
    with pytest.raises(StorageError, match="mine exists already; choose another place"):
        save_dataset(full_dataset(), tmp_path / "mine", force=True)
    assert leftovers(tmp_path) == ["mine", *(f"mine/{name}" for name in content)]


def test_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    save_dataset(full_dataset(), tmp_path / "empty")
    assert open_dataset(tmp_path / "empty").n_users == 3


class FullDisk:
    """Lets a number of bytes through to any file, then acts like a disk without space."""

    def __init__(self, room: int) -> None:
        self.room = room

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = store._Hashing.write
        disk = self

        def write(self: store._Hashing, data: bytes | memoryview) -> int:
            disk.room -= len(data)
            if disk.room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(self, data)

        monkeypatch.setattr(store._Hashing, "write", write)


@pytest.mark.parametrize("room", [0, 500, 2000, 4000])
def test_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    FullDisk(room).install(monkeypatch)
    with pytest.raises(
        StorageError, match="could not be written: No space left on device; nothing of it was kept"
    ):
        save_dataset(full_dataset(), tmp_path / "full")
    assert leftovers(tmp_path) == []


def test_full_disk_keeps_the_old_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_dataset(full_dataset(), tmp_path / "full", notices=["old"])
    FullDisk(1000).install(monkeypatch)
    with pytest.raises(StorageError, match="No space left"):
        save_dataset(full_dataset(), tmp_path / "full", force=True, notices=["new"])
    monkeypatch.undo()
    assert open_dataset(tmp_path / "full").n_items == 4
    assert read_manifest(tmp_path / "full").notices == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_file_system_that_refuses_more_bytes_leaves_nothing_behind(tmp_path: Path) -> None:
    # A real refusal, not a simulated one: this process may write no file longer than 2,000 bytes.
    program = (
        "import numpy as np, pathlib\n"
        "from alnico.data.features import Modality\nfrom alnico.data.ids import IdMap\n"
        "from alnico.data.sources.assemble import dataset_from_columns\n"
        "from alnico.data.store import save_dataset\nfrom alnico.errors import StorageError\n"
        "wide = Modality(np.ones((2, 4000), np.float32), np.ones(2, bool))\n"
        "pair, ids = np.array([0, 1]), IdMap.range(2)\n"
        "data = dataset_from_columns('wide', pair, pair, ids, ids, features={'wide': wide})\n"
        "try:\n    save_dataset(data, pathlib.Path('wide'))\n"
        "except StorageError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "could not be written: File too large; nothing of it was kept" in done.stdout
    assert leftovers(tmp_path) == []


def test_interrupted_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupted() -> None:
        with replaced_folder(tmp_path / "x", force=False, expected="y") as partial:
            (partial / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert leftovers(tmp_path) == []


def test_folder_that_cannot_be_swapped_in_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_dataset(full_dataset(), tmp_path / "full", notices=["old"])
    rename = Path.rename

    def refusing(self: Path, target: Path) -> Path:
        if self.suffix == ".partial":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(self, target)

    # As on systems that cannot exchange two folders in one step.
    monkeypatch.setattr(store, "_exchanged", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(StorageError, match="could not be written: Permission denied"):
        save_dataset(full_dataset(), tmp_path / "full", force=True, notices=["new"])
    assert read_manifest(tmp_path / "full").notices == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("name", ["features/image.npy", "interactions.parquet", "items.parquet"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_byte, "{name} does not match its checksum in manifest.json"),
        (cut_short, "{name} has .* bytes but the manifest says"),
        (Path.unlink, "lacks its file {name}"),
    ],
)
def test_damaged_file_is_named(
    tmp_path: Path, name: str, damage: Callable[[Path], object], message: str
) -> None:
    save_dataset(full_dataset(), tmp_path / "full")
    damage(tmp_path / "full" / name)
    with pytest.raises(StorageError, match=message.format(name=name)):
        open_dataset(tmp_path / "full")


def test_sizes_are_checked_even_without_checksums(tmp_path: Path) -> None:
    save_dataset(full_dataset(), tmp_path / "full")
    flip_a_byte(tmp_path / "full" / "features" / "image.npy")
    assert open_dataset(tmp_path / "full", verify=False).n_items == 4
    cut_short(tmp_path / "full" / "features" / "image.npy")
    with pytest.raises(StorageError, match=r"features/image\.npy has .* bytes but"):
        open_dataset(tmp_path / "full", verify=False)


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "has data format 2, this alnico reads up to 1; update alnico"),
        ({"format": "other"}, "does not describe alnico data"),
        ({"users": "many"}, "is damaged at users: .*valid integer"),
    ],
)
def test_manifest_of_another_kind_is_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    save_dataset(full_dataset(), tmp_path / "full")
    edit_manifest(tmp_path / "full", **changes)
    with pytest.raises(StorageError, match=message):
        open_dataset(tmp_path / "full")


def test_broken_manifest_is_refused(tmp_path: Path) -> None:
    save_dataset(full_dataset(), tmp_path / "full")
    cut_short(tmp_path / "full" / "manifest.json")
    with pytest.raises(StorageError, match=r"manifest.json is damaged: it is not JSON"):
        open_dataset(tmp_path / "full")


def test_missing_folder_and_other_folders_say_how_to_import(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"there is no data folder .*nowhere; make one with `alnico data import"
    ):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"has no manifest.json, so it is no data folder"):
        open_dataset(tmp_path)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    save_dataset(full_dataset(), tmp_path / "full")
    path = tmp_path / "full" / "features" / "image.npy"
    with path.open("wb") as file:
        np.save(file, np.array([{}, {}], dtype=object), allow_pickle=True)
    record = read_manifest(tmp_path / "full").model_dump()["files"]
    record["features/image.npy"] = {"bytes": path.stat().st_size, "sha256": ""}
    edit_manifest(tmp_path / "full", files=record)
    with pytest.raises(StorageError, match="cannot be read back"):
        open_dataset(tmp_path / "full", verify=False)


def test_modality_that_cannot_name_a_file_is_refused(tmp_path: Path) -> None:
    data = dataset_from_columns(
        "odd",
        np.array([0]),
        np.array([0]),
        IdMap.range(1),
        IdMap.range(1),
        features={"../image": Modality(np.ones((1, 1), np.float32), np.ones(1, np.bool_))},
    )
    with pytest.raises(
        DataError, match=r"the name '../image' of a modality or item graph cannot name a file"
    ):
        save_dataset(data, tmp_path / "odd")
    assert leftovers(tmp_path) == []


def test_data_folder_can_be_moved(tmp_path: Path) -> None:
    save_dataset(full_dataset(), tmp_path / "full")
    shutil.move(tmp_path / "full", tmp_path / "elsewhere")
    assert open_dataset(tmp_path / "elsewhere").fingerprint == full_dataset().fingerprint


def test_files_are_on_the_disk_before_they_take_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)

    record = store._write(tmp_path / "file", lambda file: file.write(b"content"))
    assert record.bytes == 7
    assert len(synced) == 1
