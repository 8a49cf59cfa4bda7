"""The examination as one page that needs nothing else."""

import base64
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alnico.data.describe import Finding
from alnico.doctor.examination import Examination
from alnico.encoders.pictures import read_picture
from alnico.errors import DataError
from alnico.storage import write_text
from alnico.template import filled

_SIDE = 96
_PICTURES = 400


def write_page(path: Path, name: str, findings: Sequence[Finding], found: Examination | None) -> None:
    """Write findings and lists as HTML, small pictures inside. Raises StorageError if it cannot be written."""
    left = [_PICTURES]
    inlined = partial(_inlined, left)
    text = filled(
        "alnico.doctor", "examination.html", name=name, findings=findings, found=found, inlined=inlined
    )
    write_text(path, text)


def _inlined(left: list[int], path: str) -> str:
    """The picture as a ``data:`` address; empty where it cannot be read, or after very many."""
    if not path or "://" in path or not left[0]:
        return ""
    left[0] -= 1
    try:
        pixels = read_picture(Path(path), _small, _SIDE)
    except DataError:
        return ""
    kept = BytesIO()
    Image.fromarray(pixels).save(kept, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(kept.getvalue()).decode()}"


def _small(picture: Image.Image) -> NDArray[np.uint8]:
    picture.thumbnail((_SIDE, _SIDE))
    return np.asarray(picture, dtype=np.uint8)
