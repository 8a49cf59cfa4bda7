"""What a bundle says of itself, and the checks before a byte of it is believed."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, NonNegativeInt, PositiveInt, ValidationError

from alnico.data.features import EncoderNote
from alnico.data.store import FileRecord, check_file
from alnico.errors import StorageError

FORMAT = "alnico bundle"
VERSION = 1
MANIFEST = "bundle.json"

CARD, SCORER, IDS, CARDS = "card.md", "scorer.safetensors", "ids.json", "cards.json"
CONTENT, NEIGHBOURS, ITEMS = "content.safetensors", "neighbours.safetensors", "items.safetensors"
HISTORIES, PICTURES, ENCODERS = "histories.safetensors", "pictures.safetensors", "encoders.safetensors"
REQUIRED = (CARD, SCORER, IDS, CARDS, CONTENT, NEIGHBOURS, ITEMS)
OPTIONAL = (HISTORIES, PICTURES, ENCODERS)

Record = dict[str, Any]
MIGRATIONS: Mapping[int, Callable[[Record], Record]] = {}
"""By version: what makes a manifest of this version one of the next."""

_AGAIN = "export the run again"


class Stages(BaseModel, frozen=True, extra="forbid"):
    """How lists are made over a large catalogue, and what was measured of that at export."""

    above: NonNegativeInt = 50_000
    """With more items than this, candidates come first where the model has a way to find them."""
    recall: float | None = None
    """The share of the exact lists' items that the two stages found; None where nothing was measured."""
    k: PositiveInt = 20
    """The lists' length in that measurement."""
    users: NonNegativeInt = 0
    """How many users' lists it compared."""


class Facts(BaseModel, frozen=True, extra="forbid"):
    """Where a bundle's model comes from: what its card tells in words.

    ``settings`` is the run's whole record of settings, ``measures`` its means by part of the split, ``data`` and
    ``split`` what the run says of them. ``induced`` counts the content neighbours that induced edges were made from.
    ``course`` has, epoch by epoch, the ``entropy`` of the mean routing in training and the ``stage``; empty for a model
    that does not route.
    """

    label: str
    model: str
    title: str
    source: str
    remark: str
    settings: dict[str, Any]
    data: dict[str, Any]
    split: dict[str, Any]
    measures: dict[str, dict[str, float | None]]
    trained: str
    versions: dict[str, str]
    induced: int = 0
    encoders: dict[str, EncoderNote] = {}
    course: dict[str, list[float]] = {}
    stages: Stages = Stages()


class Manifest(BaseModel, frozen=True, extra="forbid"):
    """``bundle.json`` in words, written by version ``alnico`` of this package.

    ``fingerprint`` is a hash of everything else in it, the files' checksums included.
    """

    format: str
    version: int
    created: str
    alnico: str
    users: int
    items: int
    added_items: int
    modalities: dict[str, int]
    facts: Facts
    files: dict[str, FileRecord]
    fingerprint: str

    def true_fingerprint(self) -> str:
        """The hash that an untouched manifest carries."""
        return fingerprint_of_record(self.model_dump(mode="json"))


def fingerprint_of_record(record: Record) -> str:
    """The hash of a manifest's record, as it was written: a field that a later alnico adds changes nothing in it."""
    told = {name: value for name, value in record.items() if name != "fingerprint"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def is_bundle(folder: Path) -> bool:
    """Whether ``folder`` says that it is a bundle."""
    return (folder / MANIFEST).is_file()


def read_manifest(folder: Path) -> Manifest:
    """What the bundle in this folder says of itself, older versions made new.

    Raises StorageError if it is none, is broken, or is newer than this alnico.
    """
    if not is_bundle(folder):
        raise StorageError(
            f"{folder} is no bundle: it has no {MANIFEST}; make one with `alnico export RUN --to {folder}`"
        )
    path = folder / MANIFEST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise StorageError(f"{path} is damaged: it is not JSON; {_AGAIN}") from problem
    version = record.get("version") if isinstance(record, dict) and record.get("format") == FORMAT else None
    if type(version) is not int:
        raise StorageError(f"{path} does not describe an alnico bundle; {_AGAIN}")
    is_whole = record.get("fingerprint") == fingerprint_of_record(record)
    record = migrated(record, folder)
    try:
        manifest = Manifest.model_validate(record)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise StorageError(f"{path} is damaged at {place}: {first['msg']}; {_AGAIN}") from problem
    if not is_whole:
        raise StorageError(f"{path} does not match its own checksum; it was changed or damaged, {_AGAIN}")
    return manifest


def migrated(
    record: Record,
    where: Path,
    steps: Mapping[int, Callable[[Record], Record]] = MIGRATIONS,
    newest: int = VERSION,
) -> Record:
    """The manifest's record brought to version ``newest``, one step at a time.

    Raises StorageError for a newer version, and for an older one that no step leads on from.
    """
    version = record["version"]
    if version > newest:
        raise StorageError(
            f"{where} is a bundle of version {version}, this alnico reads up to {newest}; update alnico, or "
            f"{_AGAIN} with this one"
        )
    while version < newest:
        if version not in steps:
            raise StorageError(
                f"{where} is a bundle of version {version}, which this alnico no longer reads; {_AGAIN}"
            )
        version += 1
        record = {**steps[version - 1](record), "version": version}
    return record


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raise StorageError unless the folder holds exactly the files that its manifest lists, each as it was written.

    Only names that a bundle may have are ever looked for, and no link is followed.
    """
    for name in manifest.files:
        if name not in (*REQUIRED, *OPTIONAL):
            raise StorageError(f"{folder / MANIFEST} lists {name!r}, which no bundle holds; {_AGAIN}")
    for name in REQUIRED:
        if name not in manifest.files:
            raise StorageError(f"{folder / MANIFEST} does not list {name}; {_AGAIN}")
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST and path.name not in manifest.files:
            raise StorageError(f"{path} does not belong to this bundle; take it out")
        if path.is_symlink() or not path.is_file():
            raise StorageError(f"{path} is no ordinary file; {_AGAIN}")
    for name, record in manifest.files.items():
        check_file(folder, name, record, True, _AGAIN, MANIFEST)
