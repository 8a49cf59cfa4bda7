"""Users and items in the plane."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from alnico.report.figures.canvas import FAMILY_MARKERS, INK, Picture, paint, part_colours

Points = Float[NDArray[np.float64], "nodes 2"]
_LABEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B", "#6A3D9A")
_OTHER = "#c3c7cd"
_DOT = 7


@dataclass(frozen=True, eq=False)
class Coloured:
    """Points with a label each; ``figures`` is a line of numbers about them."""

    title: str
    points: Points
    labels: Int[NDArray[np.int64], " nodes"]
    names: Sequence[str]
    figures: str


@dataclass(frozen=True, eq=False)
class Routed:
    """Item points with their dominant anchor group and family, and their popularity (training users).

    ``parts`` are all groups of the model, in its order.
    """

    points: Points
    groups: Sequence[str]
    parts: Sequence[str]
    families: Sequence[str]
    popularity: Int[NDArray[np.int64], " nodes"]
    head: NDArray[np.bool_]


def maps(items: Sequence[Coloured], users: Sequence[Coloured], routed: Routed) -> Picture:
    """Items and users before and after fusion, and the fused items by routing and by popularity."""

    def draw(figure: Figure) -> None:
        grid = figure.subplots(2, 3)
        for row, panels in enumerate((items, users)):
            for column, panel in enumerate(panels):
                _coloured(grid[row, column], panel, with_names=column == len(panels) - 1)
        _by_group(grid[0, 2], routed)
        _by_popularity(figure, grid[1, 2], routed)

    return paint(7.2, draw)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#c6cad1")


def _coloured(axes: Axes, panel: Coloured, *, with_names: bool) -> None:
    colours = dict(enumerate(_LABEL_COLOURS))
    for label in np.unique(panel.labels)[::-1]:
        inside = panel.labels == label
        name = panel.names[label]
        axes.scatter(
            panel.points[inside, 0],
            panel.points[inside, 1],
            s=_DOT,
            color=_OTHER if name == "other" else colours[int(label) % len(_LABEL_COLOURS)],
            linewidths=0,
            rasterized=True,
        )
    _bare(axes)
    axes.set_title(panel.title)
    axes.set_xlabel(panel.figures, fontsize=8)
    if with_names:
        handles = [
            _dot(_OTHER if name == "other" else colours[number % len(_LABEL_COLOURS)], name)
            for number, name in enumerate(panel.names)
        ]
        _key(axes, handles, 3)


def _dot(colour: str, name: str, marker: str = "o") -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, markersize=4.5, color=colour, label=name)


def _key(axes: Axes, handles: Sequence[Line2D], columns: int) -> None:
    axes.legend(
        handles=list(handles),
        loc="upper center",
        bbox_to_anchor=(0.5, -0.09),
        ncols=columns,
        fontsize=7,
        handletextpad=0.1,
        columnspacing=0.7,
        borderaxespad=0.1,
    )


def _by_group(axes: Axes, routed: Routed) -> None:
    present = set(routed.groups)
    colours = {part: colour for part, colour in part_colours(routed.parts).items() if part in present}
    groups, families = np.array(routed.groups), np.array(routed.families)
    for family in dict.fromkeys(routed.families):
        for group in colours:
            inside = (groups == group) & (families == family)
            axes.scatter(
                routed.points[inside, 0],
                routed.points[inside, 1],
                s=_DOT,
                marker=FAMILY_MARKERS.get(family, "o"),
                color=colours[group],
                linewidths=0,
                rasterized=True,
            )
    _bare(axes)
    axes.set_title("Items by dominant group")
    shapes = [_dot(INK, family, FAMILY_MARKERS.get(family, "o")) for family in dict.fromkeys(routed.families)]
    _key(axes, [*(_dot(colour, group) for group, colour in colours.items()), *shapes], 3)


def _by_popularity(figure: Figure, axes: Axes, routed: Routed) -> None:
    families = np.array(routed.families)
    level = np.log1p(routed.popularity.astype(np.float64))
    top = float(level.max(initial=1.0)) or 1.0
    shown = None
    for family in dict.fromkeys(routed.families):
        inside = families == family
        shown = axes.scatter(
            routed.points[inside, 0],
            routed.points[inside, 1],
            s=3 + 22 * (level[inside] / top) ** 2,
            c=level[inside],
            cmap="cividis_r",
            vmin=0,
            vmax=top,
            marker=FAMILY_MARKERS.get(family, "o"),
            linewidths=np.where(routed.head[inside], 0.5, 0.0).tolist(),
            edgecolors=INK,
            rasterized=True,
        )
    _bare(axes)
    axes.set_title("Items by popularity")
    axes.set_xlabel("outlined: the most popular fifth", fontsize=8)
    if shown is not None:
        bar = figure.colorbar(shown, ax=axes, location="bottom", aspect=30, pad=0.02, shrink=0.8)
        bar.outline.set_visible(False)
        bar.set_label("log(1 + training users)", fontsize=7.5)
        bar.ax.tick_params(labelsize=7)
