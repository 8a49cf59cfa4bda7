"""Item pictures inside a page."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alnico.report.pictures import SIDE, inlined


def opened(address: str) -> Image.Image:
    """The picture in a ``data:`` address."""
    head, _, body = address.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(BytesIO(base64.b64decode(body)))


def test_picture_is_shrunk_and_keeps_its_shape_and_colour(tmp_path: Path) -> None:
    Image.new("RGB", (2000, 1000), (200, 30, 30)).save(tmp_path / "red.png")
    address = inlined("red.png", tmp_path)
    assert address is not None
    picture = opened(address)
    assert picture.size == (SIDE, SIDE // 2)
    assert np.abs(np.array(picture)[10, 10].astype(int) - (200, 30, 30)).max() < 6


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_pictures_of_any_mode_are_read(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (20, 20)).save(tmp_path / "picture.tiff")
    assert inlined(str(tmp_path / "picture.tiff"), Path("elsewhere")) is not None


def test_what_cannot_be_read_has_no_picture(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    Image.effect_noise((50, 50), 50).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:300])
    for path in ("", "missing.jpg", "text.jpg", "cut.jpg", ".", "https://example.org/a.jpg"):
        assert inlined(path, tmp_path) is None
