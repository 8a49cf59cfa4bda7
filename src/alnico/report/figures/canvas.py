"""The look of a study's figures: one size, one set of colours, SVG and PNG from the same drawing."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, StringIO
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

WIDTH = 9.0
"""Inches; a page that is 900 pixels wide shows a point as 1.4 pixels."""
_PNG_DPI = 200
_GAP = 0.06
_FONTS = "'DejaVu Sans', Verdana, sans-serif"

INK, MUTED, LINE = "#1b1f27", "#5a616d", "#d9dce1"

# Okabe and Ito's colours, told apart by the colour-blind; yellow is too light for lines.
BLUE, ORANGE, GREEN, PINK, RED, SKY = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"
GREY = "#7f7f7f"

PART_COLOURS: Mapping[str, str] = {
    "behaviour": BLUE,
    "image": ORANGE,
    "text": GREEN,
    "audio": PINK,
    "video": SKY,
}
"""A part has the same colour in every figure; others follow in order."""
_SPARE = ("#B8860B", "#6A3D9A", "#8C564B", GREY)

FAMILY_COLOURS: Mapping[str, str] = {
    "dominant": "#2f3640",
    "balanced": "#8791a0",
    "complementary": "#ccd2da",
}
FAMILY_MARKERS: Mapping[str, str] = {"dominant": "o", "balanced": "s", "complementary": "^"}

OWN_COLOUR = RED
_BASELINE_COLOURS = (BLUE, GREEN, PINK, "#B8860B", SKY, "#4a4a4a", "#6A3D9A")
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))

PLACE_COLOURS = (BLUE, RED, GREEN, PINK, "#B8860B", SKY)
PLACE_MARKERS = ("o", "s", "^", "D", "v", "P")

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    # Names inside the file depend on nothing but the picture: the same runs give the same bytes.
    "svg.hashsalt": "alnico",
}


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished drawing that can be written in two forms."""

    figure: Figure

    @cached_property
    def svg(self) -> str:
        """As an SVG document with real text."""
        buffer = StringIO()
        with style.context(STYLE):
            self.figure.savefig(buffer, format="svg", dpi=_PNG_DPI, metadata={"Date": None})
        text = re.sub(r"'DejaVu Sans'[^;\"]*", _FONTS, buffer.getvalue())
        return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)

    @cached_property
    def png(self) -> bytes:
        """As pixels, twice as fine as a page shows it."""
        buffer = BytesIO()
        with style.context(STYLE):
            self.figure.savefig(buffer, format="png", dpi=_PNG_DPI, metadata={"Software": None})
        return buffer.getvalue()


def paint(height: float, draw: Callable[[Figure], None]) -> Picture:
    """A picture of the common width, ``height`` inches high."""
    with style.context(STYLE):
        figure = Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(w_pad=_GAP, h_pad=_GAP))
        FigureCanvasAgg(figure)
        draw(figure)
        # Placed once: both forms look alike, and neither has to do it again.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return Picture(figure)


def part_colours(parts: Iterable[str]) -> dict[str, str]:
    """A colour per part: behaviour, image and text have theirs everywhere, others by their place among these parts."""
    spare = iter(_SPARE * 4)
    return {part: PART_COLOURS[part] if part in PART_COLOURS else next(spare) for part in parts}


def model_lines(labels: Sequence[str], own: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, dash and width of each model's line; MAGNETs share a colour, the first of ``own`` is whole and widest."""
    lines: dict[str, dict[str, Any]] = {}
    others = [label for label in labels if label not in own]
    for number, label in enumerate(own):
        dash, width = _DASHES[number % len(_DASHES)], 2.4 if number == 0 else 1.5
        lines[label] = {"color": OWN_COLOUR, "linestyle": dash, "linewidth": width}
    for number, label in enumerate(others):
        lines[label] = {
            "color": _BASELINE_COLOURS[number % len(_BASELINE_COLOURS)],
            "linestyle": _DASHES[number // len(_BASELINE_COLOURS) % len(_DASHES)],
            "linewidth": 1.3,
        }
    return lines


def place_style(number: int) -> dict[str, Any]:
    """Colour and marker of a data set."""
    return {
        "color": PLACE_COLOURS[number % len(PLACE_COLOURS)],
        "marker": PLACE_MARKERS[number % len(PLACE_MARKERS)],
    }


def legend_above(axes: Axes, columns: int = 4) -> None:
    """A legend over the plot, where it hides nothing; the title then stands over it."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=columns,
            borderaxespad=0.1,
            handlelength=1.6,
            columnspacing=1.1,
            handletextpad=0.5,
        )
        rows = -(-len(labels) // columns)
        axes.set_title(axes.get_title(loc="left"), pad=7 + 13 * rows)


def legend_below(figure: Figure, axes: Axes, columns: int = 5) -> None:
    """One legend for the whole figure, under it, from what ``axes`` shows."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=2.0)


def plain(axes: Axes) -> None:
    """No grid and no ticks: for pictures and tables."""
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def brief(name: str) -> str:
    """A family or part in a few letters, for places where the whole name does not fit."""
    return name if len(name) <= 5 else f"{name[:3]}."
