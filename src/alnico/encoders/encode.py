"""Encoding a shop's folder: pictures and texts of its item table become feature files."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel

from alnico.data.features import Modality
from alnico.data.sources.cards import read_items
from alnico.data.sources.shop import find_table
from alnico.data.sources.vectors import item_ids_digest
from alnico.encoders.images import (
    IMAGE_ENCODER,
    IMAGE_SETTINGS,
    IMAGE_VERSION,
    Progress,
    Unreadable,
    read_and_encode,
)
from alnico.encoders.texts import TEXT_ENCODER, TEXT_SETTINGS, TEXT_VERSION, encode_texts
from alnico.errors import ConfigError, DataError, StorageError, nearest
from alnico.storage import read_json, write_atomically, write_json

AUTO, NONE = "auto", "none"

TEXT_FIELDS = ("title", "title", "description", "category")
"""Columns whose words are counted together; the title counts twice."""

_LISTED = 20


class UnreadableImage(BaseModel, frozen=True):
    """A picture that an item names but that could not be read."""

    item: str
    path: str
    reason: str


class ModalityReport(BaseModel, frozen=True):
    """What was made for one modality. ``renewed`` is false where the file was up to date already."""

    modality: str
    encoder: str
    file: Path
    renewed: bool
    width: int
    items: int
    present: int
    unreadable: int
    unreadable_images: tuple[UnreadableImage, ...]


class EncodeReport(BaseModel, frozen=True):
    """What was made for a folder, modality by modality; ``notices`` say what was left out and why."""

    folder: Path
    table: Path
    modalities: tuple[ModalityReport, ...]
    notices: tuple[str, ...]


def fingerprint_of(encoder: str, version: int, settings: Mapping[str, Any]) -> str:
    """A hash of an encoder and its settings: equal for vectors that may be compared."""
    told = json.dumps([encoder, version, dict(settings)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class _Job:
    """One modality to encode: what identifies the result, and how to get it."""

    modality: str
    encoder: str
    version: int
    settings: Mapping[str, Any]
    source: str

    @property
    def fingerprint(self) -> str:
        """See ``fingerprint_of``."""
        return fingerprint_of(self.encoder, self.version, self.settings)


def encode_folder(
    folder: Path,
    image: str = AUTO,
    text: str = AUTO,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> EncodeReport:
    """Write ``features/image.npy`` and ``features/text.npy`` for the item table of this folder, and report.

    The table is items.csv, .tsv or .parquet with an item id and any of title, description, category and image
    (paths relative to the folder). Row r of a feature file belongs to row r of the table; float32, all zero
    where the item has no such content. Beside each stands a .json that says how it was made. ``image`` and
    ``text`` are "auto" (encode what is there), "none", or the name of an encoder (an error if there is
    nothing to encode). Files that are up to date stay, unless ``force``. ``progress`` is told (pictures done,
    pictures in all).
    Raises: DataError if there is no item table or nothing to encode; ConfigError for an unknown encoder;
    StorageError if a file cannot be written.
    """
    _check_choice("image", image, IMAGE_ENCODER)
    _check_choice("text", text, TEXT_ENCODER)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    table = find_table(folder, "items")
    if table is None:
        raise DataError(f"{folder} has no item table; expected items.csv, items.tsv or items.parquet")
    items = read_items(table, {})
    paths, texts = picture_paths(items), words_of(items)
    notices = _check_content(table, items, paths, texts, image, text)
    reports = []
    if image != NONE and any(path is not None for path in paths):
        reports.append(_encode_pictures(folder, items, paths, force, progress))
    if text != NONE and any(texts):
        reports.append(_encode_words(folder, items, texts, force))
    return EncodeReport(folder=folder, table=table, modalities=tuple(reports), notices=tuple(notices))


def _check_choice(modality: str, choice: str, encoder: str) -> None:
    choices = (AUTO, NONE, encoder)
    if choice not in choices:
        raise ConfigError(f"there is no {modality} encoder {choice!r}{nearest(choice, choices)}")


def picture_paths(items: pl.DataFrame) -> list[Path | None]:
    """Where each item's picture lies; None for an empty cell and for an address on a network."""
    named = items["image"].to_list() if "image" in items.columns else [""] * items.height
    return [Path(text) if text.strip() and "://" not in text else None for text in named]


def words_of(items: pl.DataFrame) -> list[str]:
    """The words of each item, fields one after the other; empty where it has none."""
    fields = [items[field].to_list() for field in TEXT_FIELDS if field in items.columns]
    return (
        ["\n".join(parts).strip() for parts in zip(*fields, strict=True)] if fields else [""] * items.height
    )


def _check_content(
    table: Path,
    items: pl.DataFrame,
    paths: Sequence[Path | None],
    texts: Sequence[str],
    image: str,
    text: str,
) -> list[str]:
    """Notices about content that is left out. Raises DataError if an encoder asked for has nothing to do."""
    found = f"it has the columns {', '.join(items.columns)}"
    missing = {}
    if not any(path is not None for path in paths):
        missing["image"] = f"{table} names no picture file in a column called image; {found}"
        if "image" in items.columns and any("://" in named for named in items["image"]):
            missing["image"] = (
                f"the image column of {table} holds addresses; download the pictures and name the files"
            )
    if not any(texts):
        missing["text"] = f"{table} has no words in columns called title, description or category; {found}"
    chosen = {"image": image, "text": text}
    for modality, reason in missing.items():
        if chosen[modality] not in (AUTO, NONE):
            raise DataError(reason)
    if all(choice == NONE or modality in missing for modality, choice in chosen.items()):
        raise DataError(
            "nothing to encode: " + ("; ".join(missing.values()) or "both image and text are 'none'")
        )
    return [reason for modality, reason in missing.items() if chosen[modality] == AUTO]


def _encode_pictures(
    folder: Path, items: pl.DataFrame, paths: Sequence[Path | None], force: bool, progress: Progress | None
) -> ModalityReport:
    job = _Job("image", IMAGE_ENCODER, IMAGE_VERSION, IMAGE_SETTINGS, _hash_of_files(folder, paths))
    note = None if force else _fresh_note(folder, items, job)
    if note is None:
        encoded = read_and_encode(paths, progress)
        if not encoded.modality.present.any():
            raise DataError(_why_no_picture(encoded.unreadable))
        note = _store(folder, items, job, encoded.modality, encoded.unreadable)
        return _report(folder, note, renewed=True)
    return _report(folder, note, renewed=False)


def _encode_words(folder: Path, items: pl.DataFrame, texts: Sequence[str], force: bool) -> ModalityReport:
    settings = {**TEXT_SETTINGS, "fields": list(TEXT_FIELDS)}
    source = hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
    job = _Job("text", TEXT_ENCODER, TEXT_VERSION, settings, source)
    note = None if force else _fresh_note(folder, items, job)
    if note is None:
        modality = encode_texts(texts)
        if not modality.present.any():
            raise DataError(
                "the texts of the item table differ in nothing, so vectors of them would say nothing"
            )
        note = _store(folder, items, job, modality, ())
        return _report(folder, note, renewed=True)
    return _report(folder, note, renewed=False)


def _why_no_picture(unreadable: Sequence[Unreadable]) -> str:
    if not unreadable:
        return "the pictures of the item table differ in nothing, so vectors of them would say nothing"
    first = unreadable[0]
    return (
        f"none of the {len(unreadable)} pictures that the item table names can be read (the first, "
        f"{first.path}: {first.reason}); mend the image column, or leave pictures out with --image none"
    )


def _hash_of_files(folder: Path, paths: Sequence[Path | None]) -> str:
    """A hash that changes when a picture is renamed, resized or touched."""
    digest = hashlib.sha256()
    base = folder.resolve()
    for path in paths:
        told = ""
        if path is not None:
            name = path.relative_to(base) if path.is_relative_to(base) else path
            told = f"{name}"
            if path.is_file():
                facts = path.stat()
                told += f" {facts.st_size} {facts.st_mtime_ns}"
        digest.update(f"{told}\n".encode())
    return digest.hexdigest()


def _note_file(folder: Path, modality: str) -> Path:
    return folder / "features" / f"{modality}.json"


def _vector_file(folder: Path, modality: str) -> Path:
    return folder / "features" / f"{modality}.npy"


def _fresh_note(folder: Path, items: pl.DataFrame, job: _Job) -> dict[str, Any] | None:
    """The note of the stored vectors if making them again would change nothing."""
    vectors = _vector_file(folder, job.modality)
    try:
        note = read_json(_note_file(folder, job.modality))
        content = vectors.read_bytes()
    except (StorageError, OSError):
        return None
    expected = {
        "fingerprint": job.fingerprint,
        "item_ids_sha256": item_ids_digest(items["item"].to_list()),
        "source_sha256": job.source,
        "vectors_sha256": hashlib.sha256(content).hexdigest(),
    }
    same = isinstance(note, dict) and all(note.get(key) == value for key, value in expected.items())
    return note if same else None


def _store(
    folder: Path, items: pl.DataFrame, job: _Job, modality: Modality, unreadable: Sequence[Unreadable]
) -> dict[str, Any]:
    """Write vectors and note, and return the note."""
    buffer = BytesIO()
    np.save(buffer, modality.vectors, allow_pickle=False)
    content = buffer.getvalue()
    names = items["item"].to_list()
    base = folder.resolve()
    note = {
        "modality": job.modality,
        "encoder": job.encoder,
        "version": job.version,
        "settings": dict(job.settings),
        "fingerprint": job.fingerprint,
        "item_ids_sha256": item_ids_digest(names),
        "source_sha256": job.source,
        "vectors_sha256": hashlib.sha256(content).hexdigest(),
        "width": modality.width,
        "items": len(names),
        "present": int(modality.present.sum()),
        "unreadable": len(unreadable),
        "unreadable_images": [
            {"item": str(names[bad.row]), "path": bad.path.removeprefix(f"{base}/"), "reason": bad.reason}
            for bad in unreadable[:_LISTED]
        ],
    }
    try:
        # The old note goes first: vectors with a note for others must never stand together.
        _note_file(folder, job.modality).unlink(missing_ok=True)
        write_atomically(_vector_file(folder, job.modality), lambda file: file.write(content))
    except OSError as problem:
        raise StorageError(
            f"cannot write to {folder / 'features'}: {problem.strerror or problem}"
        ) from problem
    write_json(_note_file(folder, job.modality), note)
    return note


def _report(folder: Path, note: Mapping[str, Any], *, renewed: bool) -> ModalityReport:
    kept = {key: note[key] for key in ("modality", "encoder", "width", "items", "present", "unreadable")}
    return ModalityReport(
        **kept,
        file=_vector_file(folder, note["modality"]),
        renewed=renewed,
        unreadable_images=tuple(UnreadableImage(**bad) for bad in note["unreadable_images"]),
    )
