"""What of an item table is encoded: pictures and texts, and what they are known by."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

TEXT_FIELDS = ("title", "category", "description")


@dataclass(frozen=True, eq=False)
class Content:
    """Per row of an item table: the picture's path, the text's parts (title, category, description).

    Sources change when the content does and are empty where there is none: of a picture its name, size and
    time of change, of a text its parts.
    """

    pictures: tuple[Path | None, ...]
    texts: tuple[tuple[str, str, str], ...]
    picture_sources: tuple[str, ...]
    text_sources: tuple[str, ...]
    has_addresses: bool


def content_of(items: pl.DataFrame, folder: Path) -> Content:
    """The content that an item table names; files are looked up, not read."""
    named = items["image"].to_list() if "image" in items.columns else [""] * items.height
    pictures = tuple(Path(text) if text.strip() and "://" not in text else None for text in named)
    columns = [
        items[field].to_list() if field in items.columns else [""] * items.height for field in TEXT_FIELDS
    ]
    texts = tuple(zip(*columns, strict=True))
    base = folder.resolve()
    return Content(
        pictures,
        texts,
        tuple("" if path is None else _looks(path, base) for path in pictures),
        tuple(json.dumps(parts) if any(part.strip() for part in parts) else "" for parts in texts),
        any("://" in text for text in named),
    )


def sources_digest(sources: Sequence[str]) -> str:
    """A hash that changes when the content of any row does."""
    return hashlib.sha256(json.dumps(list(sources)).encode()).hexdigest()


def _looks(path: Path, base: Path) -> str:
    """A picture's name, size and time of change; it need not be there."""
    told = f"{path.relative_to(base) if path.is_relative_to(base) else path}"
    if path.is_file():
        facts = path.stat()
        told += f" {facts.st_size} {facts.st_mtime_ns}"
    return told
