"""Outlines of twelve everyday products, cut as masks in the unit square (y points down)."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]


class Sheet:
    """One layer to draw on: shapes in unit coordinates, filled with full coverage."""

    def __init__(self, size: int, scale: float, shift: Point, mirrored: bool) -> None:
        self.image = Image.new("L", (size, size), 0)
        self._draw = ImageDraw.Draw(self.image)
        self._size, self._scale, self._shift, self._mirrored = size, scale, shift, mirrored

    def _at(self, point: Point) -> Point:
        """Unit coordinates as pixels, scaled about the middle."""
        x, y = point
        if self._mirrored:
            x = 1 - x
        across, down = (0.5 + (place - 0.5) * self._scale for place in (x, y))
        return (across + self._shift[0]) * self._size, (down + self._shift[1]) * self._size

    def _box(self, a: Point, b: Point) -> list[float]:
        (x0, y0), (x1, y1) = self._at(a), self._at(b)
        return [min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)]

    def _length(self, length: float) -> int:
        return max(1, round(length * self._scale * self._size))

    def polygon(self, *points: Point) -> None:
        """Fill a polygon."""
        self._draw.polygon([self._at(p) for p in points], fill=255)

    def smooth(self, points: Sequence[Point]) -> None:
        """Fill the closed smooth curve through these points (quadratic, corners rounded)."""
        corners = np.array(points)
        middles = (corners + np.roll(corners, -1, axis=0)) / 2
        t = np.linspace(0, 1, 9)[:-1, None, None]
        nexts = np.roll(corners, -1, axis=0)
        curve = (1 - t) ** 2 * middles + 2 * t * (1 - t) * nexts + t**2 * np.roll(middles, -1, axis=0)
        self.polygon(*[(float(x), float(y)) for x, y in curve.transpose(1, 0, 2).reshape(-1, 2)])

    def ellipse(self, a: Point, b: Point) -> None:
        """Fill the ellipse inside this box."""
        self._draw.ellipse(self._box(a, b), fill=255)

    def block(self, a: Point, b: Point, radius: float = 0.0) -> None:
        """Fill a rectangle with rounded corners."""
        self._draw.rounded_rectangle(self._box(a, b), radius=radius * self._scale * self._size, fill=255)

    def half_disc(self, a: Point, b: Point) -> None:
        """Fill the upper half of the ellipse inside this box."""
        self._draw.pieslice(self._box(a, b), 180, 360, fill=255)

    def ring(self, a: Point, b: Point, width: float, start: float = 0.0, end: float = 360.0) -> None:
        """Stroke an arc of the ellipse inside this box; degrees clockwise from the right."""
        if self._mirrored:
            start, end = 180 - end, 180 - start
        self._draw.arc(self._box(a, b), start, end, fill=255, width=self._length(width))

    def line(self, width: float, *points: Point) -> None:
        """Stroke a line through these points."""
        self._draw.line([self._at(p) for p in points], fill=255, width=self._length(width), joint="curve")


def mug(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A mug with its handle to the right."""
    back.ring((0.54, 0.36), (0.86, 0.70), 0.06, -95.0, 95.0)
    body.block((0.22, 0.26), (0.68, 0.80), 0.07)
    front.ellipse((0.27, 0.275), (0.63, 0.335))


def lamp(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A table lamp."""
    back.block((0.47, 0.46), (0.53, 0.84))
    back.block((0.33, 0.81), (0.67, 0.87), 0.03)
    body.polygon((0.36, 0.14), (0.64, 0.14), (0.82, 0.52), (0.18, 0.52))
    front.line(0.02, (0.60, 0.52), (0.60, 0.62))
    front.ellipse((0.58, 0.61), (0.62, 0.65))


def bag(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A shopping bag with two handles."""
    back.ring((0.34, 0.12), (0.66, 0.64), 0.045, 180.0, 360.0)
    body.polygon((0.22, 0.36), (0.78, 0.36), (0.84, 0.86), (0.16, 0.86))
    front.block((0.43, 0.42), (0.57, 0.49), 0.02)


def chair(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A chair seen from the front."""
    back.line(0.045, (0.31, 0.64), (0.25, 0.90))
    back.line(0.045, (0.69, 0.64), (0.75, 0.90))
    back.block((0.36, 0.46), (0.41, 0.60))
    back.block((0.59, 0.46), (0.64, 0.60))
    body.block((0.28, 0.12), (0.72, 0.49), 0.09)
    body.block((0.22, 0.56), (0.78, 0.67), 0.05)
    front.block((0.30, 0.67), (0.70, 0.695))


def shirt(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A T-shirt."""
    back.ellipse((0.40, 0.13), (0.60, 0.25))
    body.polygon(
        (0.36, 0.17), (0.43, 0.22), (0.57, 0.22), (0.64, 0.17), (0.92, 0.34), (0.82, 0.51), (0.71, 0.45),
        (0.71, 0.87), (0.29, 0.87), (0.29, 0.45), (0.18, 0.51), (0.08, 0.34),
    )  # fmt: skip
    front.line(0.025, (0.37, 0.18), (0.43, 0.23), (0.57, 0.23), (0.63, 0.18))


def plant(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A plant in a pot."""
    for tip, side in (
        ((0.20, 0.28), 0.08),
        ((0.36, 0.11), 0.07),
        ((0.64, 0.11), -0.07),
        ((0.80, 0.28), -0.08),
    ):
        x, y = tip
        back.smooth([(x, y), (x + side + 0.06, y + 0.08), (0.5, 0.62), (x + side - 0.06, y + 0.20), (x, y)])
    body.polygon((0.29, 0.57), (0.71, 0.57), (0.64, 0.89), (0.36, 0.89))
    front.block((0.26, 0.53), (0.74, 0.61), 0.02)


def cushion(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A square cushion with tassels."""
    for x, y in ((0.16, 0.20), (0.84, 0.20), (0.16, 0.80), (0.84, 0.80)):
        back.ellipse((x - 0.05, y - 0.05), (x + 0.05, y + 0.05))
    body.polygon((0.15, 0.19), (0.33, 0.23), (0.5, 0.24), (0.67, 0.23), (0.85, 0.19), (0.81, 0.36), (0.80,
    0.5), (0.81, 0.64), (0.85, 0.81), (0.67, 0.77), (0.5, 0.76), (0.33, 0.77), (0.15, 0.81), (0.19, 0.64),
                 (0.20, 0.5), (0.19, 0.36))  # fmt: skip
    front.ellipse((0.475, 0.475), (0.525, 0.525))


def vase(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A vase with three stems."""
    for x, y in ((0.34, 0.14), (0.50, 0.08), (0.66, 0.15)):
        back.line(0.018, (0.5, 0.42), (x, y))
        back.ellipse((x - 0.055, y - 0.055), (x + 0.055, y + 0.055))
    body.smooth(
        [
            (0.40, 0.34),
            (0.60, 0.34),
            (0.56, 0.46),
            (0.80, 0.60),
            (0.72, 0.94),
            (0.28, 0.94),
            (0.20, 0.60),
            (0.44, 0.46),
        ]
    )
    front.block((0.40, 0.355), (0.60, 0.39), 0.015)


def umbrella(back: Sheet, body: Sheet, front: Sheet) -> None:
    """An open umbrella."""
    back.block((0.485, 0.10), (0.515, 0.80))
    back.ring((0.485, 0.70), (0.63, 0.90), 0.03, 0.0, 180.0)
    body.half_disc((0.10, 0.16), (0.90, 0.96))
    for x in (0.10, 0.30, 0.50, 0.70):
        front.ring((x, 0.52), (x + 0.20, 0.60), 0.016, 180.0, 360.0)


def clock(back: Sheet, body: Sheet, front: Sheet) -> None:
    """An alarm clock."""
    back.ellipse((0.18, 0.12), (0.42, 0.34))
    back.ellipse((0.58, 0.12), (0.82, 0.34))
    back.line(0.05, (0.32, 0.76), (0.24, 0.89))
    back.line(0.05, (0.68, 0.76), (0.76, 0.89))
    back.ellipse((0.16, 0.18), (0.84, 0.86))
    body.ellipse((0.22, 0.24), (0.78, 0.80))
    front.line(0.03, (0.5, 0.34), (0.5, 0.52), (0.62, 0.60))


def hat(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A sun hat."""
    back.ellipse((0.06, 0.56), (0.94, 0.80))
    body.smooth([(0.26, 0.16), (0.74, 0.16), (0.80, 0.74), (0.5, 0.78), (0.20, 0.74)])
    front.smooth([(0.23, 0.54), (0.5, 0.62), (0.77, 0.54), (0.79, 0.68), (0.5, 0.74), (0.21, 0.68)])


def bottle(back: Sheet, body: Sheet, front: Sheet) -> None:
    """A bottle with a cap."""
    back.block((0.44, 0.18), (0.56, 0.36))
    body.block((0.32, 0.32), (0.68, 0.90), 0.10)
    front.block((0.42, 0.10), (0.58, 0.20), 0.02)


SILHOUETTES: tuple[Callable[[Sheet, Sheet, Sheet], None], ...] = (
    mug, lamp, bag, chair, shirt, plant, cushion, vase, umbrella, clock, hat, bottle,
)  # fmt: skip
