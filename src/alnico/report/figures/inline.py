"""Curves and bars as SVG inside a page.

Colours are names of the page's own variables, so that one picture suits light and dark.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from alnico.experiment.results import Duel

# These stand for the page's variables until the picture is text; nobody would choose them by accident.
INK, MUTED, LINE = "#0a0b01", "#0a0b02", "#0a0b03"
N_SERIES = 6
SERIES = tuple(f"#0a0c0{number}" for number in range(N_SERIES))
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(SERIES)},
}

# Small in points, because a page shows them at half its width and on a phone at the phone's.
_SIZE = (5.0, 2.9)
_STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    # Names inside the file depend on nothing but the picture: the same runs give the same page.
    "svg.hashsalt": "alnico",
}


@dataclass(frozen=True)
class Curve:
    """One line of a chart; ``mark`` is the x of the point to be marked."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    mark: float | None = None


def curves(lines: Sequence[Curve], x_label: str, *, logarithmic: bool = False) -> str:
    """Lines over a common axis, with a dot where a line has a mark."""

    def draw(axes: Axes) -> None:
        for number, line in enumerate(lines):
            colour = SERIES[number % N_SERIES]
            axes.plot(line.x, line.y, color=colour, label=line.label)
            if line.mark is not None and line.mark in line.x:
                axes.plot(
                    [line.mark], [line.y[list(line.x).index(line.mark)]], "o", color=colour, markersize=4.5
                )
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if logarithmic:
            axes.set_yscale("log")
        else:
            axes.yaxis.set_major_locator(MaxNLocator(5))
        _legend(axes, len(lines))

    return _picture(draw)


def stages(lines: Sequence[Curve], threshold: float | None, switch_step: int | None) -> str:
    """Shares between 0 and 1 over training steps, with the trigger's threshold and the step at which it
    fired."""

    def draw(axes: Axes) -> None:
        for number, line in enumerate(lines):
            axes.plot(line.x, line.y, color=SERIES[number % N_SERIES], label=line.label)
        if threshold is not None:
            axes.axhline(threshold, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="threshold H*")
        if switch_step is not None:
            axes.axvline(switch_step, color=INK, linewidth=0.9)
            axes.annotate(
                "stage 2",
                (switch_step, 0.55),
                xycoords=("data", "axes fraction"),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=8.5,
            )
        axes.set_ylim(-0.02, 1.05)
        axes.set_xlabel("training step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        _legend(axes, len(lines) + 1)

    return _picture(draw)


def grouped_bars(groups: Sequence[str], values: Mapping[str, Sequence[float | None]]) -> str:
    """For each group one horizontal bar per label; a missing value leaves its place empty."""
    thickness = 0.8 / max(len(values), 1)

    def draw(axes: Axes) -> None:
        for number, (label, lengths) in enumerate(values.items()):
            places = [row + (number - (len(values) - 1) / 2) * thickness for row in range(len(groups))]
            axes.barh(
                places,
                [length or 0.0 for length in lengths],
                thickness * 0.92,
                color=SERIES[number % N_SERIES],
                label=label,
            )
        axes.set_yticks(range(len(groups)), list(groups))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        _legend(axes, len(values))

    return _picture(draw, height=0.7 + 0.14 * len(groups) * (len(values) + 1))


def intervals(fought: Sequence[Duel]) -> str:
    """The difference of each duel with its interval, around a line at zero."""

    def draw(axes: Axes) -> None:
        for row, duel in enumerate(fought):
            told = duel.comparison
            colour = (
                SERIES[0] if duel.verdict == "better" else SERIES[1] if duel.verdict == "worse" else MUTED
            )
            axes.plot(told.interval, [row, row], color=colour, linewidth=2.2, solid_capstyle="round")
            axes.plot([told.difference], [row], "o", color=colour, markersize=6)
        axes.axvline(0, color=INK, linewidth=0.9)
        axes.set_yticks(range(len(fought)), [f"{duel.first}\nminus {duel.second}" for duel in fought])
        axes.set_ylim(len(fought) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        if fought:
            axes.set_xlabel(f"difference in {fought[0].comparison.metric}, 95 % interval")
        axes.xaxis.set_major_locator(MaxNLocator(5))

    return _picture(draw, height=0.8 + 0.5 * max(len(fought), 1))


def _legend(axes: Axes, entries: int) -> None:
    if entries > 1:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=3,
            borderaxespad=0.2,
            handlelength=1.4,
            columnspacing=1.2,
        )


def _picture(draw: Callable[[Axes], None], height: float = _SIZE[1]) -> str:
    """The drawing as an ``<svg>`` element whose colours are the page's."""
    with style.context(_STYLE):
        figure = Figure(figsize=(_SIZE[0], height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        buffer = StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _for_a_page(buffer.getvalue())


def _for_a_page(text: str) -> str:
    body = text[text.index("<svg") :].strip()
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # Several pictures share a page: names of groups would repeat, and nothing refers to them.
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", body)
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    return body
