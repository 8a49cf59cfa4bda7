"""What a picture's colours, edges and layout say, as a vector."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alnico.encoders.pictures import SIDE, square
from alnico.encoders.scaling import Floats, centred_rows, unit_rows

IMAGE_ENCODER = "colour-gradient"

_HUES, _GREYS = 8, 4
_COLOUR_CELLS = 2
_EDGE_CELLS, _ANGLES = 4, 8
_LAYOUT_CELLS = 4

COLOUR_WIDTH = (1 + _COLOUR_CELLS**2) * (_HUES * 2 + _GREYS)
EDGE_WIDTH = _EDGE_CELLS**2 * _ANGLES
LAYOUT_WIDTH = _LAYOUT_CELLS**2 * 3
IMAGE_WIDTH = COLOUR_WIDTH + EDGE_WIDTH + LAYOUT_WIDTH
"""Numbers per picture: colour histogram, edge directions, coarse layout."""

BLOCKS = ((COLOUR_WIDTH, 1.0), (EDGE_WIDTH, 0.7), (LAYOUT_WIDTH, 0.5))
"""Width and weight of each block of a description."""

IMAGE_SETTINGS = {
    "side": SIDE,
    "hues": _HUES,
    "greys": _GREYS,
    "colour_cells": _COLOUR_CELLS,
    "edge_cells": _EDGE_CELLS,
    "angles": _ANGLES,
    "layout_cells": _LAYOUT_CELLS,
    "block_weights": [weight for _, weight in BLOCKS],
}
"""All that the vectors depend on besides the pictures."""


class ColourGradient:
    """The built-in encoder of pictures: colours, edge directions and layout.

    Final vectors have length 1 and are centred over all items, so that unrelated pictures have a cosine near
    0.
    """

    name = IMAGE_ENCODER
    version = 1
    settings: Mapping[str, Any] = IMAGE_SETTINGS
    least = SIDE
    batch = 256
    piecewise = False

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """The whole picture as a small square."""
        return square(picture)

    def encode(self, prepared: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw descriptions [pictures, IMAGE_WIDTH]."""
        return describe(prepared)

    def settle(self, vectors: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Descriptions centred over the present rows, blocks brought to equal weight, rows to length 1.

        Histograms are all positive: without centring any two pictures would look alike. Zero where a picture
        differs in nothing from the others.
        """
        settled = np.zeros_like(vectors)
        if present.any():
            blocks, start = [], 0
            for width, weight in BLOCKS:
                blocks.append(weight * balanced(vectors[present, start : start + width]))
                start += width
            settled[present] = unit_rows(np.concatenate(blocks, axis=1))
        return settled


def describe(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Raw descriptions of pictures [n, SIDE, SIDE, 3]: colours, edges and layout side by side, not centred.

    Colours: soft counts of hue (light and dark apart) weighed by saturation, and of grey levels, over the
    whole and each quarter. Edges: directions of brightness change weighed by its strength, in a grid of
    cells, as in Dalal and Triggs, Histograms of Oriented Gradients, CVPR 2005. Layout: mean colour in a grid
    of cells.
    """
    scaled = pictures.astype(np.float32) / 255
    parts = _colours(scaled), _edges(scaled.mean(axis=3)), _layout(scaled)
    return np.concatenate(parts, axis=1).astype(np.float32)


def _colours(pictures: Floats) -> Floats:
    """Square roots of the shares of each colour, [n, COLOUR_WIDTH]."""
    hue, saturation, value = _hsv(pictures)
    place = hue * _HUES
    lower = np.floor(place).astype(np.int64)
    upper_share = place - lower
    # A pixel speaks for its two nearest hues as far as it is coloured, and for its grey level as far as it is
    # not.
    coloured = np.minimum(saturation * 2, 1) * np.minimum(value * 2, 1)
    dark = np.where(value < 0.6, _HUES, 0)
    grey = 2 * _HUES + np.minimum((value * _GREYS).astype(np.int64), _GREYS - 1)
    votes = (
        (lower % _HUES + dark, coloured * (1 - upper_share)),
        ((lower + 1) % _HUES + dark, coloured * upper_share),
        (grey, 1 - coloured),
    )
    bins = 2 * _HUES + _GREYS
    quarters = np.zeros((len(pictures), _COLOUR_CELLS**2, bins))
    for which, weight in votes:
        quarters += _counted(which, weight, _COLOUR_CELLS, bins)
    whole = quarters.mean(axis=1, keepdims=True)
    roots: Floats = np.sqrt(np.concatenate([whole * 2, quarters], axis=1))
    return roots.reshape(len(pictures), -1)


def _edges(brightness: Floats) -> Floats:
    """Square roots of the shares of each edge direction in each cell, [n, EDGE_WIDTH]."""
    down, across = np.gradient(brightness, axis=(1, 2))
    strength = np.hypot(down, across)
    place = (np.arctan2(down, across) / np.pi % 1) * _ANGLES
    lower = np.floor(place).astype(np.int64)
    upper_share = place - lower
    counts = _counted(lower % _ANGLES, strength * (1 - upper_share), _EDGE_CELLS, _ANGLES)
    counts += _counted((lower + 1) % _ANGLES, strength * upper_share, _EDGE_CELLS, _ANGLES)
    total = counts.sum(axis=(1, 2), keepdims=True)
    roots: Floats = np.sqrt(counts / (total + 1e-6))
    return roots.reshape(len(brightness), -1)


def _layout(pictures: Floats) -> Floats:
    """Mean colour of each cell, [n, LAYOUT_WIDTH]."""
    step = SIDE // _LAYOUT_CELLS
    cells = pictures.reshape(len(pictures), _LAYOUT_CELLS, step, _LAYOUT_CELLS, step, 3)
    means: Floats = cells.mean(axis=(2, 4))
    return means.reshape(len(pictures), -1)


def _hsv(pictures: Floats) -> tuple[Floats, Floats, Floats]:
    """Hue (0..1, circular), saturation and value of each pixel."""
    high, low = pictures.max(axis=3), pictures.min(axis=3)
    spread = high - low
    safe = np.where(spread > 0, spread, 1)
    red, green, blue = pictures[..., 0], pictures[..., 1], pictures[..., 2]
    sector: Floats = np.where(
        high == red,
        (green - blue) / safe,
        np.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return sector / 6 % 1, spread / np.where(high > 0, high, 1), high


def _counted(which: NDArray[np.int64], weight: Floats, cells: int, bins: int) -> Floats:
    """Mean weight per pixel that falls into each bin, by cell of a grid: [n, cells * cells, bins]."""
    n = len(which)
    line = np.arange(SIDE) * cells // SIDE
    cell = line[:, None] * cells + line[None, :]
    slots = (np.arange(n)[:, None, None] * cells**2 + cell) * bins + which
    counts = np.bincount(slots.ravel(), weights=weight.ravel(), minlength=n * cells**2 * bins)
    return counts.reshape(n, cells**2, bins) / (SIDE / cells) ** 2


LEAST_SIZE = 1e-6
"""Blocks whose rows are no longer than this on average say nothing."""


def balanced(block: Floats) -> Floats:
    """The rows centred and divided by their root mean square length; zero where they hardly differ."""
    centred = centred_rows(block)
    size = root_mean_square(centred)
    return centred / size if size > LEAST_SIZE else np.zeros_like(block)


def root_mean_square(rows: Floats) -> float:
    """The root mean square length of rows."""
    return float(np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1).mean()))
