"""Pixels from any picture file, safely."""

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from alnico.errors import DataError

SIDE = 64
"""Pictures are read as squares of this many pixels a side; what they show is kept whole, not cropped."""

MAX_PIXELS = 64_000_000
"""Pictures with more pixels are refused before they are decoded."""

# What Pillow's readers raise on damaged files; decompression bombs are warnings below twice the limit.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    OverflowError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


Prepare = Callable[[Image.Image], NDArray[Any]]
"""What becomes of an upright RGB picture."""


def read_picture(path: Path, prepare: Prepare | None = None, least: int = SIDE) -> NDArray[Any]:
    """The picture as RGB pixels, shape [SIDE, SIDE, 3], or as ``prepare`` makes it.

    The orientation in EXIF is followed; transparent parts become white; of an animation the first frame
    counts. Large pictures may be decoded smaller, with sides of at least four times ``least``.
    Raises: DataError that says why the file cannot be read as a picture.
    """
    with strict_about_size():
        return decode(path, prepare or square, least)


@contextmanager
def strict_about_size() -> Iterator[None]:
    """Pillow's warnings as ``decode`` needs them. They are one for all threads: enter it before starting any."""
    with warnings.catch_warnings():
        # Oddities in metadata matter to nobody here; only the size of the picture does.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode(path: Path, prepare: Prepare, least: int) -> NDArray[Any]:
    """Like ``read_picture``, for several threads at a time; call it inside ``strict_about_size``."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    # Reading a pipe or a device would never end.
    if not path.is_file():
        raise DataError(f"{path}: not an ordinary file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    try:
        with Image.open(path) as opened:
            return prepare(_upright(opened, least))
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a picture in a known format") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from error


def square(picture: Image.Image) -> NDArray[np.uint8]:
    """The whole picture squeezed to [SIDE, SIDE, 3]."""
    resized = picture.resize((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(resized, dtype=np.uint8)


def _upright(opened: Image.Image, least: int) -> Image.Image:
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width} x {height} pixels are more than {MAX_PIXELS}")
    # Large JPEGs are decoded at a fraction of their size, several times faster.
    opened.draft("RGB", (4 * least, 4 * least))
    return _rgb(ImageOps.exif_transpose(opened))


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB; transparency is laid on white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, np.float64)
        # Sixteen bits hold 0..65535; other wide pictures have no agreed range and are stretched to theirs.
        low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (values.min(), values.max())
        stretched = (values - low) / max(high - low, 1e-12) * 255
        return Image.fromarray(np.clip(np.nan_to_num(stretched), 0, 255).astype(np.uint8)).convert("RGB")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")
