"""Data sets on disk: a folder of plain files, each with its checksum, written whole or not at all."""

import ctypes
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from alnico.data.dataset import Dataset, ItemCards
from alnico.data.features import Encoding, ItemFeatures, Modality
from alnico.data.ids import IdMap
from alnico.data.interactions import Interactions
from alnico.data.neighbours import ItemNeighbours
from alnico.errors import DataError, StorageError

FORMAT = "alnico data"
VERSION = 1
MANIFEST = "manifest.json"
# From Linux's headers: paths relative to the working folder, and exchange instead of replace.
_HERE, _EXCHANGE = -100, 2
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class FileRecord(BaseModel, frozen=True):
    """Size and checksum of one file."""

    bytes: int
    sha256: str


class Manifest(BaseModel, frozen=True):
    """What a data folder holds; ``manifest.json`` in words.

    ``notices`` are what the import had to say about the data, ``split`` is the recipe that made the labels
    where `alnico data split` did, ``encodings`` are how the vectors of modalities were made, where that is known.
    """

    format: str
    version: int
    name: str
    users: int
    items: int
    interactions: int
    has_times: bool
    has_weights: bool
    has_labels: bool
    modalities: dict[str, int]
    neighbours: dict[str, int]
    cards: list[str]
    fingerprint: str
    notices: list[str] = []
    split: dict[str, str | int | float | bool | None] | None = None
    encodings: dict[str, Encoding] = {}
    files: dict[str, FileRecord]


def is_data_folder(folder: Path) -> bool:
    """Whether ``folder`` holds a stored data set."""
    return (folder / MANIFEST).is_file()


def save_dataset(
    dataset: Dataset,
    folder: Path,
    *,
    force: bool = False,
    notices: Sequence[str] = (),
    split: Mapping[str, str | int | float | bool | None] | None = None,
) -> Manifest:
    """Write the data set as a folder of plain files and return its manifest.

    Everything is written beside the target first and moved into place at the end: under the final name stands
    either nothing, the old data, or all of the new data. With ``force`` an existing data folder is replaced,
    else it is an error; what is no data folder is never replaced.
    Raises StorageError if the disk is full or not writable; nothing stays behind then.
    """
    for name in (*dataset.features, *dataset.neighbours):
        if not _SAFE_NAME.fullmatch(name):
            raise DataError(
                f"the name {name!r} of a modality or item graph cannot name a file; use letters, digits, "
                "'_', '-', '.'"
            )
    with replaced_folder(folder, force=force, expected=MANIFEST) as partial:
        files = {name: _write(partial / name, write) for name, write in _contents(dataset)}
        manifest = Manifest(
            format=FORMAT,
            version=VERSION,
            name=dataset.name,
            users=dataset.n_users,
            items=dataset.n_items,
            interactions=len(dataset.interactions),
            has_times=dataset.interactions.times is not None,
            has_weights=dataset.interactions.weights is not None,
            has_labels=dataset.labels is not None,
            modalities={name: modality.width for name, modality in dataset.features.items()},
            neighbours={name: lists.k for name, lists in dataset.neighbours.items()},
            cards=list(dataset.cards.columns),
            fingerprint=dataset.fingerprint,
            notices=list(notices),
            split=None if split is None else dict(split),
            encodings={
                name: modality.encoding
                for name, modality in dataset.features.items()
                if modality.encoding is not None
            },
            files=files,
        )
        _write(partial / MANIFEST, lambda file: file.write(manifest.model_dump_json(indent=2).encode()))
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """What a data folder says of itself.

    Raises DataError if it is not a data folder, StorageError if its manifest is broken or of a newer version.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise DataError(
            f"there is no data folder {folder}; make one with `alnico data import RAW --to {folder}`"
        )
    if not path.is_file():
        raise DataError(
            f"{folder} has no {MANIFEST}, so it is no data folder; make one from raw files with "
            "`alnico data import RAW --to FOLDER`"
        )
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} is damaged: it is not JSON; import the data again") from error
    version = record.get("version") if isinstance(record, dict) and record.get("format") == FORMAT else None
    if not isinstance(version, int):
        raise StorageError(f"{path} does not describe alnico data; import the data again")
    if version > VERSION:
        raise StorageError(
            f"{folder} has data format {version}, this alnico reads up to {VERSION}; update alnico or import "
            "again"
        )
    try:
        return Manifest.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StorageError(f"{path} is damaged at {place}: {first['msg']}; import the data again") from error


def open_dataset(folder: Path, *, verify: bool = True) -> Dataset:
    """The stored data set; vectors stay on disk and are read as they are used.

    File sizes are always compared with the manifest; with ``verify`` so are the checksums of all files.
    Raises DataError if ``folder`` is not a data folder, StorageError naming the file that is missing or
    changed.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, record in manifest.files.items():
        check_file(folder, name, record, verify)
    try:
        return _assemble(folder, manifest)
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise StorageError(f"{folder} cannot be read back ({error}); import the data again") from error


def check_file(
    folder: Path,
    name: str,
    record: FileRecord,
    verify: bool,
    advice: str = "import the data again",
    manifest: str = MANIFEST,
) -> None:
    """Raise StorageError, with this advice, if a file is missing or not the one that the manifest's record describes.

    Sizes are always compared, contents with ``verify``.
    """
    path = folder / name
    if not path.is_file():
        raise StorageError(f"{folder} lacks its file {name}; {advice}")
    size = path.stat().st_size
    if size != record.bytes:
        raise StorageError(
            f"{path} has {size} bytes but the manifest says {record.bytes}; it was changed or cut short, {advice}"
        )
    if verify and file_record(path).sha256 != record.sha256:
        raise StorageError(
            f"{path} does not match its checksum in {manifest}; it was changed or damaged, {advice}"
        )


def file_record(path: Path) -> FileRecord:
    """Size and checksum of a file as it is."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(bytes=path.stat().st_size, sha256=digest)


class _Hashing:
    """A file to write to that keeps size and checksum of what went through."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes | memoryview) -> int:
        self._digest.update(data)
        self._bytes += len(data)
        return self._file.write(data)

    def record(self) -> FileRecord:
        return FileRecord(bytes=self._bytes, sha256=self._digest.hexdigest())


def _contents(dataset: Dataset) -> Iterator[tuple[str, Callable[[_Hashing], object]]]:
    """Every file of the folder but the manifest: its name and what writes it."""
    events = dataset.interactions
    columns: dict[str, NDArray[Any] | None] = {
        "user": events.users,
        "item": events.items,
        "time": events.times,
        "weight": events.weights,
        "label": dataset.labels,
    }
    yield (
        "interactions.parquet",
        _parquet({name: values for name, values in columns.items() if values is not None}),
    )
    yield "users.parquet", _parquet({"id": dataset.users.names})
    yield "items.parquet", _parquet({"id": dataset.items.names})
    if dataset.cards.columns:
        yield "cards.parquet", _parquet(dataset.cards.columns)
    for name, modality in dataset.features.items():
        yield f"features/{name}.npy", _array(modality.vectors)
        yield f"features/{name}.present.npy", _array(modality.present)
    for name, lists in dataset.neighbours.items():
        yield f"neighbours/{name}.items.npy", _array(lists.items)
        yield f"neighbours/{name}.weights.npy", _array(lists.weights)


def _parquet(columns: Mapping[str, Any]) -> Callable[[_Hashing], object]:
    def write(file: _Hashing) -> None:
        # By way of memory: only our own writes meet the disk, so a full disk has one way to show.
        buffer = BytesIO()
        pl.DataFrame({name: pl.Series(name, values) for name, values in columns.items()}).write_parquet(
            buffer
        )
        file.write(buffer.getbuffer())

    return write


def _array(values: NDArray[Any]) -> Callable[[_Hashing], object]:
    return lambda file: np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)


def _write(path: Path, write: Callable[[_Hashing], object]) -> FileRecord:
    """Create one file, on the disk when this returns."""
    path.parent.mkdir(exist_ok=True)
    with path.open("xb") as file:
        through = _Hashing(file)
        write(through)
        file.flush()
        os.fsync(file.fileno())
    return through.record()


@contextmanager
def replaced_folder(folder: Path, *, force: bool, expected: str) -> Iterator[Path]:
    """A fresh folder to fill; when the block ends well it takes the place of ``folder``, else it vanishes.

    An existing ``folder`` is replaced if it is empty, or with ``force`` if it holds a file ``expected``.
    Raises StorageError where it may not be, and for any failure of the disk inside the block.
    """
    folder = folder.resolve()
    check_place(folder, force=force, expected=expected)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        yield partial
        _swap(partial, folder)
    except OSError as error:
        raise StorageError(
            f"{folder} could not be written: {error.strerror or error}; nothing of it was kept"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_place(folder: Path, *, force: bool, expected: str = MANIFEST) -> None:
    """Refuse to write to ``folder`` if something stands there, see ``replaced_folder``.

    Cheap: call it before the work whose result would have no place. Raises StorageError.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    # Other tools write a manifest.json too; theirs does not say what ours says.
    ours = (folder / expected).is_file() and (expected != MANIFEST or _says_data_folder(folder))
    if not (force and ours):
        advice = "pass --force to replace it" if ours else "choose another place"
        raise StorageError(f"{folder} exists already; {advice}")


def _says_data_folder(folder: Path) -> bool:
    try:
        return f'"format": "{FORMAT}"' in (folder / MANIFEST).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False


def _swap(new: Path, place: Path) -> None:
    """Move ``new`` to ``place``; what was there comes back if that fails, else it is deleted.

    Where the system can exchange two folders in one step, whoever looks finds either the old one or the new one.
    """
    if not place.exists():
        new.rename(place)
        return
    if _exchanged(new, place):
        return
    aside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.replaced")
    place.rename(aside)
    try:
        new.rename(place)
    except OSError:
        aside.rename(place)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    rename = (
        getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    )
    paths = os.fsencode(one.resolve()), os.fsencode(other.resolve())
    return rename is not None and rename(_HERE, paths[0], _HERE, paths[1], _EXCHANGE) == 0


def _assemble(folder: Path, manifest: Manifest) -> Dataset:
    events = {column.name: column.to_numpy() for column in pl.read_parquet(folder / "interactions.parquet")}
    features = {
        name: Modality(
            np.load(folder / f"features/{name}.npy", mmap_mode="r", allow_pickle=False),
            np.load(folder / f"features/{name}.present.npy", allow_pickle=False),
            manifest.encodings.get(name),
        )
        for name in manifest.modalities
    }
    neighbours = {
        name: ItemNeighbours(
            np.load(folder / f"neighbours/{name}.items.npy", allow_pickle=False),
            np.load(folder / f"neighbours/{name}.weights.npy", allow_pickle=False),
        )
        for name in manifest.neighbours
    }
    cards = pl.read_parquet(folder / "cards.parquet") if manifest.cards else pl.DataFrame()
    return Dataset(
        manifest.name,
        Interactions(
            events["user"],
            events["item"],
            manifest.users,
            manifest.items,
            events.get("time"),
            events.get("weight"),
        ),
        ItemFeatures(manifest.items, features),
        _read_ids(folder / "users.parquet", "user"),
        _read_ids(folder / "items.parquet", "item"),
        # The rows were stored in the order that Interactions keeps, so labels stay beside theirs.
        events.get("label"),
        neighbours,
        ItemCards({name: tuple(cards[name].to_list()) for name in manifest.cards}),
    )


def _read_ids(path: Path, kind: str) -> IdMap:
    names = pl.read_parquet(path)["id"]
    # polars would hand text over as Python objects.
    return IdMap(names.to_numpy() if names.dtype == pl.Int64 else np.array(names.to_list(), np.str_), kind)
