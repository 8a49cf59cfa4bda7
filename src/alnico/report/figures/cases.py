"""One recommendation on one picture: what the user had, what was compared, and where the pair was sent."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from alnico.report.figures.canvas import (
    BLUE,
    FAMILY_COLOURS,
    GREEN,
    GREY,
    INK,
    MUTED,
    RED,
    Picture,
    brief,
    paint,
    part_colours,
    plain,
)

PLACES = 7
"""Cards in a row; fewer are set to the right."""
_ROLE_COLOURS = {"target": GREEN, "candidate": BLUE, "hard negative": RED}


@dataclass(frozen=True, eq=False)
class ItemCard:
    """An item as a person sees it; ``role`` is history, target, candidate or hard negative; ``remark`` its rank."""

    role: str
    title: str
    remark: str
    picture: UInt8[NDArray[np.uint8], "height width 3"] | None


@dataclass(frozen=True, eq=False)
class CaseSheet:
    """Everything drawn about one pair.

    ``routing`` is group -> family -> mass; ``experts`` are the kept ones, (label, group, contribution to the score),
    largest weight first; ``facts`` are short lines.
    """

    heading: str
    items: Sequence[ItemCard]
    routing: Mapping[str, Mapping[str, float]]
    groups: Mapping[str, float]
    families: Mapping[str, float]
    reliance: Mapping[str, float]
    experts: Sequence[tuple[str, str, float]]
    facts: Sequence[str]


def case(sheet: CaseSheet) -> Picture:
    """The items above; below them the routing, its sums, the experts' contributions and the facts."""

    def draw(figure: Figure) -> None:
        figure.suptitle(sheet.heading, x=0.01, ha="left", fontsize=10, fontweight="bold")
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.75, 2.1])[:, 0]
        columns = max(len(sheet.items), PLACES)
        grid = upper.subplots(1, columns, squeeze=False)[0]
        empty = columns - len(sheet.items)
        for axes in grid[:empty]:
            axes.set_visible(False)
        shapes = [item.picture.shape for item in sheet.items if item.picture is not None]
        shape = shapes[0][0] / shapes[0][1] if shapes else 1.0
        for axes, item in zip(grid[empty:], sheet.items, strict=True):
            _item(axes, item, shape)
        heat, sums, experts = lower.subplots(1, 3, width_ratios=[1.15, 1, 1.25])
        _heat(heat, sheet.routing)
        _sums(sums, sheet)
        _experts(experts, sheet)
        lower.supxlabel("   ·   ".join(sheet.facts), fontsize=8.5, color=INK)

    return paint(4.5, draw)


def _item(axes: Axes, item: ItemCard, shape: float) -> None:
    """One card; without a picture a field of the others' shape (height over width)."""
    plain(axes)
    axes.set_xticks([])
    axes.set_yticks([])
    if item.picture is not None:
        axes.imshow(item.picture)
        axes.set_anchor("S")
    else:
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect(shape, anchor="S")
        axes.add_patch(Rectangle((0, 0), 1, 1, facecolor="#eceef1", edgecolor="none"))
        axes.text(0.5, 0.5, "no picture", ha="center", va="center", fontsize=7, color=MUTED)
    colour = _ROLE_COLOURS.get(item.role, MUTED)
    for spine in axes.spines.values():
        spine.set_visible(item.role in _ROLE_COLOURS)
        spine.set_color(colour)
        spine.set_linewidth(2.2)
    axes.set_title(item.role, loc="center", fontsize=8, color=colour, pad=4)
    title = "\n".join(textwrap.wrap(item.title, 17, max_lines=2, placeholder="…"))
    axes.set_xlabel(f"{title}\n{item.remark}" if item.remark else title, fontsize=7, color=INK)


def _heat(axes: Axes, routing: Mapping[str, Mapping[str, float]]) -> None:
    families = list(dict.fromkeys(family for row in routing.values() for family in row))
    table = np.array([[row.get(family, 0.0) for family in families] for row in routing.values()])
    axes.imshow(table, cmap="Blues", vmin=0, vmax=max(float(table.max(initial=0)), 1e-9), aspect="auto")
    for row in range(len(routing)):
        for column in range(len(families)):
            mass = table[row, column]
            axes.text(
                column,
                row,
                f"{mass:.1%}",
                ha="center",
                va="center",
                fontsize=8.5,
                color="white" if mass > 0.5 * table.max() else INK,
            )
    axes.set_xticks(range(len(families)), [brief(family) for family in families], fontsize=8)
    axes.set_yticks(range(len(routing)), list(routing), fontsize=8)
    colours = part_colours(routing)
    for label, group in zip(axes.get_yticklabels(), routing, strict=True):
        label.set_color(colours[group])
        label.set_fontweight("bold")
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_title("Routing of the target")


def _sums(axes: Axes, sheet: CaseSheet) -> None:
    colours = part_colours(sheet.reliance)
    rows: list[tuple[str, Mapping[str, float], Mapping[str, str]]] = [
        ("groups", sheet.groups, {group: colours.get(group, GREY) for group in sheet.groups}),
        (
            "families",
            sheet.families,
            {family: FAMILY_COLOURS.get(family, GREY) for family in sheet.families},
        ),
        ("reliance", sheet.reliance, colours),
    ]
    for row, (_, shares, own) in enumerate(rows):
        start = 0.0
        for name, share in shares.items():
            axes.barh(row, share, 0.6, left=start, color=own[name])
            if share >= 0.13:
                light = own[name] not in ("#ccd2da", "#E69F00", "#56B4E9")
                axes.text(
                    start + share / 2,
                    row,
                    f"{brief(name)} {share:.0%}" if share > 0.34 else f"{share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if light else INK,
                )
            start += share
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(visible=False)
    axes.set_title("Sums")


def _experts(axes: Axes, sheet: CaseSheet) -> None:
    colours = part_colours(sheet.reliance)
    values = [value for _, _, value in sheet.experts]
    axes.barh(
        range(len(values)), values, 0.62, color=[colours.get(group, GREY) for _, group, _ in sheet.experts]
    )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(values)), [label for label, _, _ in sheet.experts], fontsize=7.5)
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.grid(axis="y", visible=False)
    axes.set_title("Contributions")
