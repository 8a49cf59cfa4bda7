"""Settings moved one or two at a time: lines with their spread, and heat maps with their numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

from alnico.report.figures.canvas import BLUE, GREEN, INK, MUTED, ORANGE, RED, WIDTH, Picture, paint

MEASURE_COLOURS = (BLUE, GREEN, RED, ORANGE)
LOGARITHMIC_FROM = 8.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""
LETTER = 0.078
"""Width of a letter of a tick's label in inches."""


@dataclass(frozen=True)
class Point:
    """One value of the setting: the measure's mean over seeds, its deviation where there are several."""

    x: float
    mean: float
    deviation: float | None = None
    is_default: bool = False


@dataclass(frozen=True)
class Panel:
    """One setting against one measure; ``colour`` numbers the measure."""

    x_label: str
    y_label: str
    points: Sequence[Point]
    colour: int = 0


def sweep_grid(rows: Sequence[Sequence[Panel | None]], height_per_row: float = 1.75) -> Picture:
    """Panels in a grid, each with a y axis of its own; the default value has a hollow mark."""

    def draw(figure: Figure) -> None:
        columns = max(len(row) for row in rows)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for line, row in enumerate(rows):
            for column in range(columns):
                panel = row[column] if column < len(row) else None
                if panel is None:
                    grid[line, column].set_visible(False)
                else:
                    _sweep(grid[line, column], panel, WIDTH / columns - 0.7)

    return paint(0.25 + height_per_row * len(rows), draw)


def _sweep(axes: Axes, panel: Panel, width: float) -> None:
    """One panel whose x axis is about ``width`` inches long."""
    points = sorted(panel.points, key=lambda point: point.x)
    x = [point.x for point in points]
    mean = np.array([point.mean for point in points])
    colour = MEASURE_COLOURS[panel.colour % len(MEASURE_COLOURS)]
    axes.plot(x, mean, color=colour, zorder=2)
    spread = np.array([point.deviation or 0.0 for point in points])
    if spread.any():
        axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.16, linewidth=0)
    for point in points:
        face = "white" if point.is_default else colour
        size = 6.5 if point.is_default else 4.5
        axes.plot(
            [point.x],
            [point.mean],
            "o",
            color=colour,
            markerfacecolor=face,
            markersize=size,
            markeredgewidth=1.5,
            zorder=3,
        )
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.margins(y=0.18)
    if x and x[0] > 0 and x[-1] / x[0] >= LOGARITHMIC_FROM:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    _name_values(axes, x, width)


def _name_values(axes: Axes, x: Sequence[float], inches: float) -> None:
    """Ticks at the values that were tried, as many of them as can be read beside each other."""
    if not x:
        return
    scale = np.log(x) if axes.get_xscale() == "log" else np.array(x, dtype=float)
    width = float(scale[-1] - scale[0]) or 1.0
    kept = [0]
    for place in range(1, len(x)):
        letters = (len(f"{x[place]:g}") + len(f"{x[kept[-1]]:g}")) / 2
        room = (letters * LETTER + 0.07) / inches
        if (scale[place] - scale[kept[-1]]) / width >= room:
            kept.append(place)
    axes.xaxis.set_major_locator(FixedLocator([x[place] for place in kept]))
    axes.set_xticks([x[place] for place in kept], [f"{x[place]:g}" for place in kept])


@dataclass(frozen=True)
class HeatMap:
    """A table of numbers as colours; None is a run that is missing. ``texts`` stand in cells without a number.

    ``impossible`` cells print a backslash; the ``default`` cell is framed.
    """

    title: str
    x_label: str
    y_label: str
    columns: Sequence[str]
    rows: Sequence[str]
    values: Sequence[Sequence[float | None]]
    impossible: frozenset[tuple[int, int]] = frozenset()
    texts: Mapping[tuple[int, int], str] = field(default_factory=dict)
    digits: int = 4
    default: tuple[int, int] | None = None


@dataclass(frozen=True)
class Log:
    """A signal over steps with its threshold and, where it fired, its step."""

    title: str
    steps: Sequence[float]
    values: Sequence[float]
    threshold: float
    switch: int | None
    y_label: str = "normalised entropy"
    remark: str = ""
    shown_steps: int = field(default=60)


def heat_maps(rows: Sequence[Sequence[HeatMap | Log]]) -> Picture:
    """Heat maps in rows, each with a colour scale of its own; a log stands as a line chart."""
    heights = [_row_height(row) for row in rows]

    def draw(figure: Figure) -> None:
        parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)
        for line, row in enumerate(rows):
            widths = [max(len(one.columns), 3) + 2.2 if isinstance(one, HeatMap) else 5.0 for one in row]
            grid = parts[line, 0].subplots(1, len(row), squeeze=False, width_ratios=widths)
            for column, one in enumerate(row):
                if isinstance(one, HeatMap):
                    _heat(grid[0, column], one)
                else:
                    _log(grid[0, column], one)

    return paint(sum(heights), draw)


def _row_height(row: Sequence[HeatMap | Log]) -> float:
    return max(1.15 + 0.36 * len(one.rows) if isinstance(one, HeatMap) else 2.6 for one in row)


def _heat(axes: Axes, one: HeatMap) -> None:
    values = np.array(
        [[np.nan if value is None else value for value in row] for row in one.values], dtype=float
    )
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    norm = Normalize(low, high if high > low else low + 1)
    axes.imshow(np.ma.masked_invalid(values), cmap="cividis", norm=norm, aspect="auto")
    for line in range(len(one.rows)):
        for column in range(len(one.columns)):
            value = values[line, column]
            if (line, column) in one.impossible:
                text, colour = "\\", MUTED
            elif np.isfinite(value):
                text = f"{value:.{one.digits}f}"
                colour = "white" if norm(value) < 0.55 else INK
            else:
                text, colour = one.texts.get((line, column), ""), MUTED
            axes.text(column, line, text, ha="center", va="center", color=colour, fontsize=8)
    if one.default is not None:
        line, column = one.default
        box = [column - 0.46, column + 0.46], [line - 0.46, line + 0.46]
        axes.plot(
            [box[0][0], box[0][1], box[0][1], box[0][0], box[0][0]],
            [box[1][0], box[1][0], box[1][1], box[1][1], box[1][0]],
            color=RED,
            linewidth=2,
        )
    axes.set_xticks(range(len(one.columns)), list(one.columns))
    axes.set_yticks(range(len(one.rows)), list(one.rows))
    axes.set_xlabel(one.x_label)
    axes.set_ylabel(one.y_label)
    axes.set_title(one.title)
    axes.grid(visible=False)
    axes.tick_params(length=0)


def _log(axes: Axes, one: Log) -> None:
    steps, values = np.array(one.steps, dtype=float), np.array(one.values, dtype=float)
    last = max(one.shown_steps, 2 * (one.switch or 0))
    inside = steps <= last
    axes.plot(steps[inside], values[inside], color=BLUE, label="signal")
    axes.axhline(one.threshold, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"H* = {one.threshold:g}",
        (1, one.threshold),
        xycoords=("axes fraction", "data"),
        xytext=(-2, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        color=MUTED,
    )
    if one.switch is not None:
        axes.axvline(one.switch, color=RED, linewidth=1.2)
        axes.annotate(
            f"stage 2 at step {one.switch}",
            (one.switch, 0.06),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=8,
            color=RED,
        )
    axes.set_xlabel("training step")
    axes.set_ylabel(one.y_label)
    axes.set_title(one.title)
    axes.set_ylim(min(float(values[inside].min(initial=1.0)), one.threshold) - 0.05, 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
