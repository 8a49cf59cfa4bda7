"""Product pictures: a style is a palette, a pattern, a way of drawing and two kinds of product."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from alnico.catalogue.silhouettes import SILHOUETTES, Point, Sheet

SIDE = 96
"""Width and height of a picture, in pixels."""

_FINE = 2
Grid = NDArray[np.floating]


class Palette(NamedTuple):
    """Four colours as 0xRRGGBB."""

    name: str
    background: int
    base: int
    mark: int
    accent: int


PALETTES = (
    Palette("brick", 0xF6E7DC, 0xC8553D, 0xF2C6A0, 0x588B8B),
    Palette("sky", 0xE4F0F6, 0x3A86C8, 0xCDE7F5, 0xF4A259),
    Palette("moss", 0xEDF1E0, 0x6A8D3A, 0xD9E5B0, 0x8C5E3C),
    Palette("plum", 0xF1E6F0, 0x7B3F73, 0xE3B9DB, 0xD9A441),
    Palette("sunshine", 0xFDF6DA, 0xF2B705, 0xFFF3C2, 0x3D5A80),
    Palette("charcoal", 0xE6E6E8, 0x3C4048, 0xA9AFB8, 0xE07A5F),
    Palette("mint", 0xE2F4EE, 0x3FB8A0, 0xFFFFFF, 0xD1495B),
    Palette("rose", 0xFBE6EA, 0xE5738B, 0xFCD5DC, 0x6D597A),
    Palette("denim", 0xE3E6F1, 0x2F4173, 0x9FB4E0, 0xC9A227),
    Palette("cream", 0xE9E2D3, 0xE8D5B0, 0x9C7A4D, 0x4F6D5A),
    Palette("tangerine", 0xFDEBDC, 0xF0802B, 0xFFE0C0, 0x2A6F97),
    Palette("forest", 0xDFEAE4, 0x1F5C46, 0x86C5A4, 0xE9C46A),
)


def _wave(phase: Grid) -> Grid:
    """A triangle wave of period 1 between 0 and 1."""
    wave: Grid = np.abs((phase % 1) * 2 - 1)
    return wave


def _from_middle(x: Grid, y: Grid) -> Grid:
    """Distance from the middle of the cell."""
    distance: Grid = np.hypot(x % 1 - 0.5, y % 1 - 0.5)
    return distance


def _plain(x: Grid, y: Grid) -> Grid:
    return np.zeros_like(x)


def _stripes(x: Grid, y: Grid) -> Grid:
    return _wave(x) - 0.5


def _checks(x: Grid, y: Grid) -> Grid:
    return (_wave(x) - 0.5) * (_wave(y) - 0.5) * 4


def _grid(x: Grid, y: Grid) -> Grid:
    bars: Grid = np.maximum(_wave(x), _wave(y))
    return bars - 0.78


def _dots(x: Grid, y: Grid) -> Grid:
    shifted = x + 0.5 * np.floor(y)
    return 0.33 - _from_middle(shifted, y)


def _rings(x: Grid, y: Grid) -> Grid:
    ring: Grid = np.abs(_from_middle(x, y) - 0.3)
    return 0.12 - ring


def _waves(x: Grid, y: Grid) -> Grid:
    return _wave(y + 0.15 * np.sin(2 * np.pi * x)) - 0.5


def _zigzag(x: Grid, y: Grid) -> Grid:
    return _wave(y + 0.6 * _wave(x)) - 0.5


def _diamonds(x: Grid, y: Grid) -> Grid:
    return 0.36 - (_wave(x) + _wave(y)) / 2


PATTERNS: tuple[tuple[str, Callable[[Grid, Grid], Grid]], ...] = (
    ("stripes", _stripes),
    ("dots", _dots),
    ("checks", _checks),
    ("plain", _plain),
    ("waves", _waves),
    ("diamonds", _diamonds),
    ("zigzag", _zigzag),
    ("rings", _rings),
    ("grid", _grid),
)
"""Names and fields of the patterns: positive where the mark's colour stands. Each cell is one unit wide."""

MANNERS = ("flat", "outlined", "shaded", "sticker")
"""Ways of drawing."""


class Style(NamedTuple):
    """One look: indices into PALETTES, PATTERNS, MANNERS and SILHOUETTES."""

    palette: int
    pattern: int
    manner: int
    products: tuple[int, int]

    @property
    def name(self) -> str:
        """The look in words, for reports; no item's text contains it."""
        return f"{PALETTES[self.palette].name} {PATTERNS[self.pattern][0]}, {MANNERS[self.manner]}"


def _style(number: int) -> Style:
    half, palette = divmod(number, len(PALETTES))
    pattern = (5 * palette + 4 * half) % len(PATTERNS)
    products = ((palette + 6 * half) % len(SILHOUETTES), (palette + 5 + 2 * half) % len(SILHOUETTES))
    return Style(palette, pattern, (palette + 2 * half) % len(MANNERS), products)


STYLES = tuple(_style(number) for number in range(2 * len(PALETTES)))
"""All looks; each palette serves two that differ in everything else."""


def draw(style: int, random: np.random.Generator) -> Image.Image:
    """A fresh picture of a product in this style, RGB, SIDE x SIDE.

    Pictures of one style differ in product, size, place, tilt, pattern and shade.
    """
    look = STYLES[style]
    back, body, front = _layers(look, random)
    picture, tints = _scene(PALETTES[look.palette], random)
    everything = np.maximum(np.maximum(back, body), front)
    picture = _over(picture, _shadow(everything, random), picture * 0.72)
    if look.manner == MANNERS.index("sticker"):
        picture = _over(picture, _grown(everything, 7), np.full(3, 255.0, np.float32))
    elif look.manner == MANNERS.index("outlined"):
        picture = _over(picture, _grown(everything, 5), tints["ink"])
    picture = _over(picture, back, tints["accent"])
    marked = _pattern(look.pattern, random)[..., None]
    picture = _over(picture, body, tints["base"] * (1 - marked) + tints["mark"] * marked)
    picture = _over(picture, front, tints["accent"])
    if look.manner == MANNERS.index("outlined"):
        seams = np.clip(_grown(front, 3) - front, 0, 1)
        picture = _over(picture, seams, tints["ink"])
    elif look.manner == MANNERS.index("shaded"):
        light = np.linspace(1.18, 0.66, SIDE, dtype=np.float32)[None, :, None]
        picture = _over(picture, everything, picture * light)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def _layers(look: Style, random: np.random.Generator) -> tuple[Grid, Grid, Grid]:
    """Coverage (0..1) of the layer behind the body, the body, and the layer before it."""
    product = SILHOUETTES[look.products[int(random.integers(2))]]
    scale, tilt = random.uniform(0.82, 1.02), random.uniform(-7, 7)
    shift: Point = (random.uniform(-0.04, 0.04), random.uniform(-0.03, 0.03))
    mirrored = bool(random.integers(2))
    sheets = [Sheet(SIDE * _FINE, scale, shift, mirrored) for _ in range(3)]
    product(*sheets)
    back, body, front = (
        np.asarray(sheet.image.rotate(tilt, Image.Resampling.BILINEAR).reduce(_FINE), np.float32) / 255
        for sheet in sheets
    )
    return back, body, front


def _scene(palette: Palette, random: np.random.Generator) -> tuple[Grid, dict[str, Grid]]:
    """A background with light from above, and this picture's own shade of each colour."""
    tone = random.uniform(0.93, 1.07)
    tint = random.normal(0, 6, 3)
    colours = {
        name: np.clip(_rgb(value) * tone + tint, 0, 255).astype(np.float32)
        for name, value in palette._asdict().items()
        if name != "name"
    }
    colours["ink"] = colours["base"] * np.float32(0.32)
    fall = np.linspace(1.03, 0.93, SIDE, dtype=np.float32)[:, None, None]
    return np.broadcast_to(colours["background"] * fall, (SIDE, SIDE, 3)).copy(), colours


def _pattern(pattern: int, random: np.random.Generator) -> Grid:
    """Share of the mark's colour at each pixel, with soft edges."""
    cells, angle = random.uniform(5, 8), np.radians(random.uniform(-12, 12))
    across, down = random.uniform(0, 1, 2)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE * cells
    turned_x = (x * np.cos(angle) - y * np.sin(angle) + across).astype(np.float32)
    turned_y = (x * np.sin(angle) + y * np.cos(angle) + down).astype(np.float32)
    field = PATTERNS[pattern][1](turned_x, turned_y)
    return np.clip(field * (SIDE / cells) * 0.5 + 0.5, 0, 1) if field.any() else field


def _shadow(coverage: Grid, random: np.random.Generator) -> Grid:
    """A soft shadow a little below and beside the product."""
    across = int(random.integers(2, 5))
    blurred = Image.fromarray((coverage * 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(3))
    return np.roll(np.asarray(blurred, np.float32) / 255, (3, across), axis=(0, 1)) * 0.6


def _grown(coverage: Grid, width: int) -> Grid:
    """Coverage widened by half of ``width`` (odd) pixels on each side."""
    widened = Image.fromarray((coverage * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(width))
    return np.asarray(widened, np.float32) / 255


def _over(picture: Grid, coverage: Grid, paint: Grid) -> Grid:
    """Paint laid over the picture where there is coverage."""
    return picture + coverage[..., None] * (paint - picture)


def _rgb(colour: int) -> Grid:
    return np.array([colour >> 16, colour >> 8 & 255, colour & 255], np.float32)
