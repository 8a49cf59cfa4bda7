"""Bundles on disk: whole or not there, and refused unless every byte is as it was written."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alnico.errors import StorageError
from alnico.serving.folder import load_bundle, save_bundle
from alnico.serving.manifest import CARDS, IDS, MANIFEST, SCORER, VERSION, Manifest, migrated, read_manifest
from exported_bundles import Exported

Everything = dict[str, Exported]


@pytest.fixture
def copy(exported: Everything, tmp_path: Path) -> Path:
    """A bundle's folder that may be harmed."""
    return Path(shutil.copytree(exported["bpr_mf"].folder, tmp_path / "bundle"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object], *, sign: bool = True) -> None:
    """Change the manifest; ``sign`` it again, as somebody does who knows how bundles are made."""
    record = json.loads((folder / MANIFEST).read_text())
    change(record)
    if sign:
        record["fingerprint"] = Manifest.model_validate(record).true_fingerprint()
    (folder / MANIFEST).write_text(json.dumps(record))


def test_what_is_written_twice_has_the_same_bytes(exported: Everything, tmp_path: Path) -> None:
    for name in ("magnet", "item_knn"):
        first = read_manifest(exported[name].folder)
        second = save_bundle(exported[name].bundle, tmp_path / name)
        assert second.files == first.files
        assert second.facts == first.facts


def test_every_file_is_checked_to_the_last_byte(exported: Everything, tmp_path: Path) -> None:
    for name in read_manifest(exported["bpr_mf"].folder).files:
        folder = Path(shutil.copytree(exported["bpr_mf"].folder, tmp_path / name))
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
        with pytest.raises(StorageError, match=f"{name} does not match its checksum in {MANIFEST}"):
            load_bundle(folder)
        (folder / name).write_bytes(content[:-1])
        with pytest.raises(StorageError, match=f"{name} has .* bytes but the manifest says"):
            load_bundle(folder)
        (folder / name).unlink()
        with pytest.raises(StorageError, match=f"lacks its file {name}"):
            load_bundle(folder)


def test_changed_manifest_is_refused(copy: Path) -> None:
    rewrite(copy, lambda record: record["facts"].update(label="better"), sign=False)
    with pytest.raises(StorageError, match="does not match its own checksum; it was changed or damaged"):
        load_bundle(copy)


def test_a_file_that_was_swapped_with_its_checksum_is_refused(exported: Everything, copy: Path) -> None:
    # The model of another run, with a manifest made for it: its users and items are not these.
    other = exported["popularity"].folder / SCORER
    shutil.copy(other, copy / SCORER)
    record = read_manifest(exported["popularity"].folder).files[SCORER].model_dump()
    rewrite(copy, lambda told: told["files"].update({SCORER: record}))
    assert load_bundle(copy).scorer.kind == "popularity"  # it fits, and says so
    (copy / IDS).write_text('{"users": [1, 2], "items": [1]}')
    digest = {"bytes": (copy / IDS).stat().st_size, "sha256": _sha256(copy / IDS)}
    rewrite(copy, lambda told: told["files"].update({IDS: digest}))
    with pytest.raises(StorageError, match="cannot be read back"):
        load_bundle(copy)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "name", ["../run.json", "/etc/passwd", "sub/scorer.safetensors", "scorer.pkl", "", ".", "bundle.json"]
)
def test_names_that_no_bundle_has_are_refused_unread(copy: Path, name: str) -> None:
    fake = {"bytes": 3, "sha256": "0" * 64}
    rewrite(copy, lambda record: record["files"].update({name: fake}))
    with pytest.raises(StorageError, match="which no bundle holds"):
        load_bundle(copy)


def test_files_that_do_not_belong_are_refused(copy: Path) -> None:
    (copy / "extra.pkl").write_bytes(b"cos\nsystem\n")
    with pytest.raises(StorageError, match=r"extra\.pkl does not belong to this bundle; take it out"):
        load_bundle(copy)
    (copy / "extra.pkl").unlink()
    (copy / "folder").mkdir()
    with pytest.raises(StorageError, match="folder does not belong to this bundle"):
        load_bundle(copy)


def test_links_are_not_followed(copy: Path, tmp_path: Path) -> None:
    (copy / CARDS).rename(tmp_path / "outside.json")
    (copy / CARDS).symlink_to(tmp_path / "outside.json")
    with pytest.raises(StorageError, match=r"cards\.json is no ordinary file"):
        load_bundle(copy)


def test_a_bundle_that_lacks_a_part_is_refused(copy: Path) -> None:
    (copy / IDS).unlink()
    rewrite(copy, lambda record: record["files"].pop(IDS))
    with pytest.raises(StorageError, match=f"does not list {IDS}"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged: it is not JSON"),
        (b"\x80\x04.", "is damaged: it is not JSON"),
        (b"[" * 100_000, "is damaged: it is not JSON"),
        (b"[1]", "does not describe an alnico bundle"),
        (b'{"format": "alnico data", "version": 1}', "does not describe an alnico bundle"),
        (b'{"format": "alnico bundle", "version": true}', "does not describe an alnico bundle"),
        (b'{"format": "alnico bundle", "version": 1}', "is damaged at created: Field required"),
    ],
)
def test_what_is_no_manifest_is_one_sentence(copy: Path, content: bytes, message: str) -> None:
    (copy / MANIFEST).write_bytes(content)
    with pytest.raises(StorageError, match=message):
        load_bundle(copy)


def test_a_folder_that_is_no_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"is no bundle: it has no bundle\.json; make one with `alnico export"
    ):
        load_bundle(tmp_path)


def test_a_newer_version_is_refused_and_an_unknown_older_one_too(copy: Path) -> None:
    rewrite(copy, lambda record: record.update(version=VERSION + 1), sign=False)
    with pytest.raises(
        StorageError,
        match=rf"is a bundle of version {VERSION + 1}, this alnico reads up to {VERSION}; update",
    ):
        load_bundle(copy)
    rewrite(copy, lambda record: record.update(version=0), sign=False)
    with pytest.raises(StorageError, match="of version 0, which this alnico no longer reads; export the run"):
        load_bundle(copy)


def test_older_versions_are_led_on_step_by_step(tmp_path: Path) -> None:
    steps = {
        1: lambda record: {"two": record["one"]},
        2: lambda record: {**record, "three": record["two"] + 1},
    }
    told = migrated({"version": 1, "one": 5}, tmp_path, steps, 3)
    assert told == {"version": 3, "two": 5, "three": 6}
    assert migrated({"version": 3, "x": 1}, tmp_path, steps, 3) == {"version": 3, "x": 1}
    with pytest.raises(StorageError, match="of version 2, which this alnico no longer reads"):
        migrated({"version": 1, "one": 5}, tmp_path, {1: steps[1]}, 3)


def test_an_old_bundle_is_replaced_only_when_asked_and_other_folders_never(
    exported: Everything, copy: Path, tmp_path: Path
) -> None:
    bundle = exported["popularity"].bundle
    with pytest.raises(StorageError, match="exists already; pass --force to replace it"):
        save_bundle(bundle, copy)
    save_bundle(bundle, copy, force=True)
    assert load_bundle(copy).facts.model == "popularity"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(StorageError, match="exists already; choose another place"):
        save_bundle(bundle, tmp_path / "photos", force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "photos"]


WRITING = """
import sys
from pathlib import Path
from alnico.serving.folder import load_bundle, save_bundle
one, two = (load_bundle(Path(folder)) for folder in sys.argv[1:3])
print("begun", flush=True)
while True:
    for bundle in (one, two):
        save_bundle(bundle, Path(sys.argv[3]), force=True)
"""


def test_readers_and_kills_meet_whole_bundles_only(exported: Everything, tmp_path: Path) -> None:
    place = tmp_path / "place"
    folders = [str(exported[name].folder) for name in ("bpr_mf", "popularity")]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITING, *folders, str(place)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    found = set()
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        while not place.exists():
            time.sleep(0.001)
        for _ in range(20):
            try:
                found.add(load_bundle(place).facts.model)
            except StorageError:
                found.add("read it again")
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()
    assert found <= {"bpr_mf", "popularity", "read it again"}
    assert load_bundle(place).facts.model in ("bpr_mf", "popularity")
