"""Item pictures small enough to stand inside a page."""

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps

SIDE = 192
"""Longest side in pixels; twice what the page shows, for dense screens."""
_QUALITY = 82


def thumbnail(path: str, folder: Path, side: int = SIDE) -> Image.Image | None:
    """The picture in RGB, shrunk to at most ``side`` pixels; None where there is none that can be read.

    ``path`` is absolute or relative to ``folder``; addresses on a network are not followed.
    """
    if not path or "://" in path:
        return None
    try:
        with Image.open(folder / path) as opened:
            # Camera pictures carry their orientation as a note.
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    picture.thumbnail((side, side))
    return picture


def inlined(path: str, folder: Path) -> str | None:
    """The picture as a ``data:`` address, shrunk; None where there is none that can be read; see ``thumbnail``."""
    picture = small_jpeg(path, folder)
    return None if picture is None else f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def small_jpeg(path: str, folder: Path) -> bytes | None:
    """The picture as the bytes of a JPEG file, shrunk; None where there is none that can be read; see ``thumbnail``."""
    picture = thumbnail(path, folder)
    if picture is None:
        return None
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
