"""Encoding a shop's folder: pictures and texts of its item table become feature files."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from alnico.data.sources.cards import read_items
from alnico.data.sources.shop import find_table
from alnico.data.sources.vectors import item_ids_digest
from alnico.encoders.blocks import Block, Blocks, Make, Tally, Unreadable, encode_in_blocks
from alnico.encoders.choosing import check_choice, picture_encoder, text_encoder
from alnico.encoders.content import Content, content_of, sources_digest
from alnico.encoders.encoder import (
    AUTO,
    LIGHT,
    NONE,
    Encoder,
    PictureEncoder,
    Progress,
    TextEncoder,
    Watch,
    fingerprint,
    note_of,
)
from alnico.encoders.reading import decoders, read_block
from alnico.errors import DataError, StorageError
from alnico.storage import read_json, write_atomically, write_json

_LISTED = 20


class UnreadableImage(BaseModel, frozen=True):
    """A picture that an item names but that could not be read."""

    item: str
    path: str
    reason: str


class ModalityReport(BaseModel, frozen=True):
    """What was made for one modality.

    ``renewed`` is false where the file was up to date already. ``resumed`` items were taken up from a run
    that was cut off, ``encoded`` were encoded now, in ``seconds``.
    """

    modality: str
    encoder: str
    fingerprint: str
    file: Path
    renewed: bool
    width: int
    items: int
    present: int
    unreadable: int
    unreadable_images: tuple[UnreadableImage, ...]
    resumed: int = 0
    encoded: int = 0
    seconds: float = 0.0


class EncodeReport(BaseModel, frozen=True):
    """What was made for a folder, modality by modality; ``notices`` say what was left out and why."""

    folder: Path
    table: Path
    modalities: tuple[ModalityReport, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Job:
    """One modality to encode: what identifies the result, and how to get it.

    ``make`` encodes a range of rows, None where rows cannot be encoded apart; ``settle`` makes the final
    vectors of all rows from all that ``make`` gave, None where these are final.
    """

    folder: Path
    modality: str
    things: str
    names: Sequence[int | str]
    encoder: Encoder
    sources: Sequence[str]
    make: Make | None
    settle: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None

    @property
    def vectors(self) -> Path:
        """Where the vectors go."""
        return self.folder / "features" / f"{self.modality}.npy"

    @property
    def note(self) -> Path:
        """Where it is said how they were made."""
        return self.folder / "features" / f"{self.modality}.json"

    @property
    def identity(self) -> dict[str, str]:
        """Equal where making the vectors again would change nothing."""
        return {
            "fingerprint": fingerprint(self.encoder),
            "item_ids_sha256": item_ids_digest(self.names),
            "source_sha256": sources_digest(self.sources),
        }


def encode_folder(
    folder: Path,
    image: str = AUTO,
    text: str = AUTO,
    *,
    force: bool = False,
    watch: Watch | None = None,
) -> EncodeReport:
    """Write ``features/image.npy`` and ``features/text.npy`` for the item table of this folder, and report.

    The table is items.csv, .tsv or .parquet with an item id and any of title, description, category and image
    (paths relative to the folder). Row r of a feature file belongs to row r of the table; float32, all zero
    where the item has no such content. Beside each stands a .json that says how it was made. ``image`` and
    ``text`` are "auto" (the best that is installed), "light" (the built-in encoder), "none", the name of an
    encoder or of a model, or a model's folder (an error if there is nothing to encode). Files that are up to
    date stay, unless ``force``. What a run that was cut off has done is taken up.
    Raises: DataError if there is no item table or nothing to encode; ConfigError for an encoder that is not
    there; StorageError if a file cannot be written.
    """
    check_choice("image", image)
    check_choice("text", text)
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    table = find_table(folder, "items")
    if table is None:
        raise DataError(f"{folder} has no item table; expected items.csv, items.tsv or items.parquet")
    items = read_items(table, {})
    content = content_of(items, folder)
    notices = _check_content(table, items, content, image, text)
    names = items["item"].to_list()
    reports = []
    if image != NONE and any(content.picture_sources):
        with decoders() as pool:
            job = _picture_job(folder, names, content, picture_encoder(image), pool)
            reports.append(_encode(job, force, watch or _unwatched))
    if text != NONE and any(content.text_sources):
        job = _text_job(folder, names, content, text_encoder(text))
        reports.append(_encode(job, force, watch or _unwatched))
    return EncodeReport(folder=folder, table=table, modalities=tuple(reports), notices=tuple(notices))


@contextmanager
def _unwatched(things: str) -> Iterator[Progress]:
    yield lambda done, total: None


def _check_content(table: Path, items: pl.DataFrame, content: Content, image: str, text: str) -> list[str]:
    """Notices about content that is left out. Raises DataError if an encoder asked for has nothing to do."""
    found = f"it has the columns {', '.join(items.columns)}"
    missing = {}
    if not any(content.picture_sources):
        missing["image"] = (
            f"the image column of {table} holds addresses; download the pictures and name the files"
            if content.has_addresses
            else f"{table} names no picture file in a column called image; {found}"
        )
    if not any(content.text_sources):
        missing["text"] = f"{table} has no words in columns called title, description or category; {found}"
    chosen = {"image": image, "text": text}
    for modality, reason in missing.items():
        if chosen[modality] not in (AUTO, LIGHT, NONE):
            raise DataError(reason)
    if all(choice == NONE or modality in missing for modality, choice in chosen.items()):
        raise DataError(
            "nothing to encode: " + ("; ".join(missing.values()) or "both image and text are 'none'")
        )
    return [reason for modality, reason in missing.items() if chosen[modality] in (AUTO, LIGHT)]


def _picture_job(
    folder: Path,
    names: Sequence[int | str],
    content: Content,
    encoder: PictureEncoder,
    pool: ThreadPoolExecutor,
) -> _Job:
    def make(rows: slice, tell: Callable[[int], None]) -> Block:
        block = read_block(content.pictures[rows], encoder, pool, tell)
        return Block(block.vectors, tuple(replace(bad, row=bad.row + rows.start) for bad in block.unreadable))

    def settle(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return encoder.settle(vectors, np.any(vectors, axis=1))

    return _Job(
        folder,
        "image",
        "pictures",
        names,
        encoder,
        content.picture_sources,
        make,
        None if encoder.piecewise else settle,
    )


def _text_job(folder: Path, names: Sequence[int | str], content: Content, encoder: TextEncoder) -> _Job:
    told = [encoder.words(*parts) for parts in content.texts]

    def make(rows: slice, tell: Callable[[int], None]) -> Block:
        vectors = encoder.encode(told[rows])
        tell(sum(map(bool, told[rows])))
        return Block(vectors)

    def whole(_: NDArray[np.float32]) -> NDArray[np.float32]:
        return encoder.encode(told)

    kept = (make, None) if encoder.piecewise else (None, whole)
    return _Job(folder, "text", "texts", names, encoder, content.text_sources, *kept)


def _encode(job: _Job, force: bool, watch: Watch) -> ModalityReport:
    """Make the vectors of one modality if they are not there, and report."""
    note = None if force else _fresh_note(job)
    if note is not None:
        return _report(job, note, renewed=False)
    began = time.perf_counter()
    # Dots keep the blocks out of the way of who looks for feature files.
    kept = Blocks(job.folder / "features" / f".{job.modality}.blocks", fingerprint(job.encoder))
    if force:
        kept.drop()
    tally = Tally(sum(map(bool, job.sources)))
    with watch(job.things) as tell:
        made = _made(job, kept, tally, tell)
    if not made.present:
        kept.drop()
        raise DataError(_nothing_made(job, made))
    note = _store(job, made)
    kept.drop()
    report = _report(job, note, renewed=True)
    return report.model_copy(
        update={
            "resumed": tally.resumed,
            "encoded": tally.encoded,
            "seconds": time.perf_counter() - began,
        }
    )


@dataclass(frozen=True, eq=False)
class _Made:
    """Final vectors in pieces, to be gone through as often as wanted, and what could not be read."""

    pieces: Callable[[], Iterator[NDArray[np.float32]]]
    width: int
    present: int
    unreadable: tuple[Unreadable, ...] = ()


def _made(job: _Job, kept: Blocks, tally: Tally, tell: Progress) -> _Made:
    """Encode, block by block where rows can be encoded apart."""
    if job.make is None:
        tally.encoded = tally.total
        made = _settled(job, np.zeros((len(job.sources), 0), np.float32), ())
        tell(tally.total, tally.total)
        return made
    width = present = 0
    unreadable: list[Unreadable] = []
    for block in encode_in_blocks(job.sources, job.make, kept, tally, tell):
        width = max(width, block.vectors.shape[1])
        present += int(block.vectors.any(axis=1).sum())
        unreadable += block.unreadable
    again = partial(encode_in_blocks, job.sources, job.make, kept, Tally(0), lambda done, total: None)

    def pieces() -> Iterator[NDArray[np.float32]]:
        # A block without any content does not know the width.
        return (np.resize(block.vectors, (len(block.vectors), width)) for block in again())

    if job.settle is not None and present:
        return _settled(job, np.concatenate(list(pieces())), tuple(unreadable))
    return _Made(pieces, width, present, tuple(unreadable))


def _settled(job: _Job, vectors: NDArray[np.float32], unreadable: tuple[Unreadable, ...]) -> _Made:
    assert job.settle is not None
    final = job.settle(vectors)
    return _Made(lambda: iter([final]), final.shape[1], int(final.any(axis=1).sum()), unreadable)


def _nothing_made(job: _Job, made: _Made) -> str:
    """Why there is no vector at all."""
    if made.unreadable:
        first = made.unreadable[0]
        return (
            f"none of the {len(made.unreadable)} pictures that the item table names can be read (the first, "
            f"{first.path}: {first.reason}); mend the image column, or leave pictures out with --image none"
        )
    return f"the {job.things} of the item table differ in nothing, so vectors of them would say nothing"


def _fresh_note(job: _Job) -> dict[str, Any] | None:
    """The note of the stored vectors if making them again would change nothing."""
    try:
        note = read_json(job.note)
        with job.vectors.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except (StorageError, OSError):
        return None
    expected = {**job.identity, "vectors_sha256": found}
    same = isinstance(note, dict) and all(note.get(key) == value for key, value in expected.items())
    return note if same else None


def _store(job: _Job, made: _Made) -> dict[str, Any]:
    """Write vectors and note, and return the note."""
    digest = hashlib.sha256()

    def write(file: BinaryIO) -> None:
        header = BytesIO()
        shape = (len(job.sources), made.width)
        facts = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, facts)
        pieces = (np.ascontiguousarray(piece, "<f4").tobytes() for piece in made.pieces())
        for part in chain([header.getvalue()], pieces):
            digest.update(part)
            file.write(part)

    base = job.folder.resolve()
    try:
        # The old note goes first: vectors with a note for others must never stand together.
        job.note.unlink(missing_ok=True)
    except OSError as problem:
        raise StorageError(f"cannot write to {job.note.parent}: {problem.strerror or problem}") from problem
    write_atomically(job.vectors, write)
    note = {
        "modality": job.modality,
        **note_of(job.encoder).model_dump(),
        **job.identity,
        "vectors_sha256": digest.hexdigest(),
        "width": made.width,
        "items": len(job.names),
        "present": made.present,
        "unreadable": len(made.unreadable),
        "unreadable_images": [
            {
                "item": str(job.names[bad.row]),
                "path": bad.path.removeprefix(f"{base}/"),
                "reason": bad.reason,
            }
            for bad in made.unreadable[:_LISTED]
        ],
    }
    write_json(job.note, note)
    return note


def _report(job: _Job, note: Mapping[str, Any], *, renewed: bool) -> ModalityReport:
    taken = ("modality", "encoder", "fingerprint", "width", "items", "present", "unreadable")
    return ModalityReport(
        **{key: note[key] for key in taken},
        file=job.vectors,
        renewed=renewed,
        unreadable_images=tuple(UnreadableImage(**bad) for bad in note["unreadable_images"]),
    )
