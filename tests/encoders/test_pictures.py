"""Reading pictures of every kind, and refusing what is none."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alnico.encoders import pictures
from alnico.encoders.pictures import SIDE, read_picture
from alnico.errors import DataError


def two_halves() -> Image.Image:
    """80 x 80 pixels: the left half red, the right half blue."""
    image = Image.new("RGB", (80, 80), (255, 0, 0))
    image.paste((0, 0, 255), (40, 0, 80, 80))
    return image


def left_and_right(path: Path) -> tuple[list[int], list[int]]:
    """The colours in the middle of both halves, as read."""
    pixels = read_picture(path)
    return pixels[SIDE // 2, SIDE // 4].tolist(), pixels[SIDE // 2, 3 * SIDE // 4].tolist()


def test_picture_is_read_as_a_small_square(tmp_path: Path) -> None:
    two_halves().resize((300, 80)).save(tmp_path / "wide.png")
    pixels = read_picture(tmp_path / "wide.png")
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    assert left_and_right(tmp_path / "wide.png") == ([255, 0, 0], [0, 0, 255])


@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "webp", "tiff"])
def test_common_formats_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"picture.{kind}"
    two_halves().save(path, lossless=True) if kind == "webp" else two_halves().save(path)
    assert left_and_right(path) == ([255, 0, 0], [0, 0, 255])


def test_orientation_in_exif_is_followed(tmp_path: Path) -> None:
    # Orientation 3 says: turned by half a circle, so left and right change places.
    exif = Image.Exif()
    exif[0x0112] = 3
    two_halves().save(tmp_path / "turned.png", exif=exif)
    assert left_and_right(tmp_path / "turned.png") == ([0, 0, 255], [255, 0, 0])


def test_palette_pictures_are_read(tmp_path: Path) -> None:
    two_halves().quantize(2).save(tmp_path / "palette.png")
    assert left_and_right(tmp_path / "palette.png") == ([255, 0, 0], [0, 0, 255])


def test_cmyk_pictures_are_read(tmp_path: Path) -> None:
    # No cyan, full magenta and yellow is red; full cyan and magenta is blue. JPEG and inks round a little.
    two_halves().convert("CMYK").save(tmp_path / "print.jpg", quality=95)
    left, right = left_and_right(tmp_path / "print.jpg")
    assert np.abs(np.array([left, right]) - [[255, 0, 0], [0, 0, 255]]).max() < 12


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    image = two_halves().convert("RGBA")
    image.paste((0, 0, 255, 0), (40, 0, 80, 80))
    image.save(tmp_path / "glass.png")
    assert left_and_right(tmp_path / "glass.png") == ([255, 0, 0], [255, 255, 255])


def test_transparent_palette_entries_become_white(tmp_path: Path) -> None:
    image = two_halves().quantize(2)
    blue = image.getpixel((60, 40))
    image.save(tmp_path / "glass.gif", transparency=blue)
    assert left_and_right(tmp_path / "glass.gif") == ([255, 0, 0], [255, 255, 255])


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    later = Image.new("RGB", (80, 80), (0, 255, 0))
    two_halves().save(tmp_path / "moving.gif", save_all=True, append_images=[later])
    assert left_and_right(tmp_path / "moving.gif") == ([255, 0, 0], [0, 0, 255])


def test_sixteen_bits_are_read_on_their_own_scale(tmp_path: Path) -> None:
    # Half of 65,535 is half of 255.
    values = np.full((80, 80), 32768, np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    assert read_picture(tmp_path / "deep.png")[5, 5].tolist() == [127, 127, 127]


def test_pictures_of_other_depths_are_stretched(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(-3, 5, 80, dtype=np.float32), (80, 1))
    Image.fromarray(ramp).save(tmp_path / "depth.tiff")
    pixels = read_picture(tmp_path / "depth.tiff")
    assert pixels[:, 0].max() < 5
    assert pixels[:, -1].min() > 250


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (7, 8, 9)).save(tmp_path / "dot.png")
    assert (read_picture(tmp_path / "dot.png") == [7, 8, 9]).all()


def cut_short(path: Path) -> None:
    """A JPEG of which the second half is missing."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def broken_header(path: Path) -> None:
    """A PNG whose first chunk has a wrong checksum."""
    buffer = io.BytesIO()
    two_halves().save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[29] ^= 255
    path.write_bytes(bytes(content))


def huge(width: int) -> Callable[[Path], None]:
    """A PNG that claims width x width pixels in a few bytes."""

    def write(path: Path) -> None:
        def chunk(kind: bytes, data: bytes) -> bytes:
            checksum = zlib.crc32(kind + data)
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

        header = struct.pack(">IIBBBBB", width, width, 8, 2, 0, 0, 0)
        body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)

    return write


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_text("<html>not found</html>"), "not a picture in a known format"),
        (cut_short, "truncated"),
        (broken_header, "broken PNG file|not a picture in a known format"),
        (huge(9_000), "pixels"),
        (huge(11_000), "exceeds limit"),
        (huge(30_000), "exceeds limit"),
        (lambda path: None, "there is no such file"),
        (lambda path: path.mkdir(), "not an ordinary file"),
    ],
    ids=["empty", "page", "cut", "header", "large", "larger", "bomb", "missing", "folder"],
)
def test_what_is_no_picture_is_refused_with_its_reason(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "picture.jpg"
    spoil(path)
    with pytest.raises(DataError, match=reason) as told:
        read_picture(path)
    assert str(told.value).startswith(f"{path}: ")
    assert "\n" not in str(told.value)


def test_pixel_limit_is_counted_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_halves().save(tmp_path / "fine.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 80 * 80)
    read_picture(tmp_path / "fine.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 80 * 80 - 1)
    with pytest.raises(DataError, match="80 x 80 pixels are more than 6399"):
        read_picture(tmp_path / "fine.png")
