"""What of an item table is encoded: pictures and texts, and what they are known by."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

TEXT_FIELDS = ("title", "category", "description")
Parts = tuple[str, str, str]
"""What TEXT_FIELDS hold of one item."""


@dataclass(frozen=True, eq=False)
class Content:
    """Per row of an item table: the picture's path, the text's parts (title, category, description).

    Sources change when the content does and are empty where there is none: of a picture its name, size and
    time of change, of a text its parts.
    """

    pictures: tuple[Path | None, ...]
    texts: tuple[Parts, ...]
    picture_sources: tuple[str, ...]
    text_sources: tuple[str, ...]
    has_addresses: bool


def picture_paths(items: pl.DataFrame) -> list[Path | None]:
    """Where each item's picture lies; None for an empty cell and for an address on a network."""
    return [Path(text) if text.strip() and "://" not in text else None for text in _column(items, "image")]


def text_parts(items: pl.DataFrame) -> list[Parts]:
    """The texts of each item, empty where there is no such column."""
    return list(zip(*(_column(items, field) for field in TEXT_FIELDS), strict=True))


def parts_of(card: Mapping[str, str]) -> Parts:
    """The texts of one item."""
    title, category, description = (card.get(field, "") for field in TEXT_FIELDS)
    return title, category, description


def has_words(parts: Parts) -> bool:
    """Whether any of an item's texts says something."""
    return any(part.strip() for part in parts)


def _column(items: pl.DataFrame, name: str) -> list[str]:
    return items[name].to_list() if name in items.columns else [""] * items.height


def content_of(items: pl.DataFrame, folder: Path) -> Content:
    """The content that an item table names; files are looked up, not read."""
    pictures, texts, base = picture_paths(items), text_parts(items), folder.resolve()
    return Content(
        tuple(pictures),
        tuple(texts),
        tuple("" if path is None else _looks(path, base) for path in pictures),
        tuple(json.dumps(parts) if has_words(parts) else "" for parts in texts),
        any("://" in text for text in _column(items, "image")),
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
