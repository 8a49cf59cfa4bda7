"""Where pairs are sent, and how that came about while training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alnico.diagnostics.dynamics import unit_curve
from alnico.report.figures.canvas import (
    BLUE,
    FAMILY_COLOURS,
    GREY,
    INK,
    MUTED,
    ORANGE,
    RED,
    Picture,
    brief,
    legend_above,
    legend_below,
    paint,
    part_colours,
    place_style,
    plain,
)

RADARS_PER_ROW = 3


@dataclass(frozen=True)
class Shares:
    """The mean routing of a data set's test pairs.

    ``experts`` are (group, family, share) in the pool's order; ``reliance`` the parts' shares in what the scores are
    made of; ``content`` the mass of the content groups, None where there are none.
    """

    place: str
    experts: Sequence[tuple[str, str, float]]
    groups: Mapping[str, float]
    families: Mapping[str, float]
    reliance: Mapping[str, float]
    effective_experts: float
    diversity: float
    content: float | None


def overview(found: Sequence[Shares]) -> Picture:
    """A radar of experts per data set; under them the masses of groups and families, and reliance."""
    n_rows = -(-len(found) // RADARS_PER_ROW)
    named = [part for shares in found for part in (*shares.reliance, *shares.groups)]
    colours = part_colours(dict.fromkeys(named))

    def draw(figure: Figure) -> None:
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[2.75 * n_rows, 3.0])[:, 0]
        for number, shares in enumerate(found, start=1):
            axes = upper.add_subplot(n_rows, min(len(found), RADARS_PER_ROW), number, projection="polar")
            _radar(axes, shares, place_style(number - 1)["color"], colours)
        _bars(lower, found, colours)

    return paint(2.75 * n_rows + 3.0, draw)


def _radar(axes: Axes, shares: Shares, colour: str, colours: Mapping[str, str]) -> None:
    n = len(shares.experts)
    angles = 2 * np.pi * np.arange(n) / n
    values = np.array([share for _, _, share in shares.experts])
    closed = np.append(np.arange(n), 0)
    # The numbers of the rings stand over the lines.
    axes.set_axisbelow(False)
    axes.set_theta_offset(np.pi / 2)  # type: ignore[attr-defined]
    axes.set_theta_direction(-1)  # type: ignore[attr-defined]
    axes.plot(angles[closed], np.full(n + 1, 1 / n), color=GREY, linewidth=0.9, linestyle=(0, (3, 2)))
    axes.plot(angles[closed], values[closed], color=colour, linewidth=1.8)
    axes.fill(angles, values, color=colour, alpha=0.15, linewidth=0)
    axes.set_xticks(angles, [f"{group}\n{brief(family)}" for group, family, _ in shares.experts])
    for label, (group, _, _) in zip(axes.get_xticklabels(), shares.experts, strict=True):
        label.set_color(colours[group])
        label.set_fontsize(7.5)
    axes.tick_params(axis="x", pad=5)
    axes.yaxis.set_major_locator(MaxNLocator(3, prune="lower"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="y", labelsize=7)
    for label in axes.get_yticklabels():
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6})
    axes.spines["polar"].set_color("#c6cad1")
    axes.spines["polar"].set_visible(True)
    axes.set_title(shares.place, loc="center", pad=10)


def _bars(figure: SubFigure, found: Sequence[Shares], colours: Mapping[str, str]) -> None:
    left, middle, right = figure.subplots(1, 3)
    places = [shares.place for shares in found]
    groups = list(dict.fromkeys(group for shares in found for group in shares.groups))
    _stack(
        left, places, {group: [shares.groups.get(group, 0) for shares in found] for group in groups}, colours
    )
    left.set_title("Mass of groups (A+S: content)")
    _over_bars(
        left,
        ["" if shares.content is None else f"A+S\n{shares.content:.0%}" for shares in found],
    )
    second = left.twinx()
    second.plot(
        range(len(found)),
        [shares.effective_experts for shares in found],
        "D-",
        color=INK,
        markersize=5,
        linewidth=1,
        label="N_eff",
    )
    second.set_ylim(0, max(len(shares.experts) for shares in found) * 1.28)
    second.set_ylabel("N_eff, effective experts")
    second.grid(visible=False)
    second.spines["right"].set_visible(True)
    families = list(dict.fromkeys(family for shares in found for family in shares.families))
    _stack(
        middle,
        places,
        {family: [shares.families.get(family, 0) for shares in found] for family in families},
        {family: FAMILY_COLOURS.get(family, GREY) for family in families},
    )
    middle.set_title("Mass of families")
    _over_bars(middle, [f"Div {shares.diversity:.2f}" for shares in found])
    parts = list(dict.fromkeys(part for shares in found for part in shares.reliance))
    _stack(
        right,
        places,
        {part: [shares.reliance.get(part, 0) for shares in found] for part in parts},
        colours,
    )
    right.set_title("Reliance")


def reliance_bars(bars: Mapping[str, Mapping[str, float]]) -> Picture:
    """What scores are made of, a bar for each of some runs by name."""
    parts = list(dict.fromkeys(part for told in bars.values() for part in told))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        shares = {part: [told.get(part, 0) for told in bars.values()] for part in parts}
        _stack(axes, list(bars), shares, part_colours(parts))
        axes.set_ylim(0, 1)
        axes.set_ylabel("reliance")

    return paint(3.4, draw)


def _stack(
    axes: Axes, places: Sequence[str], parts: Mapping[str, Sequence[float]], colours: Mapping[str, str]
) -> None:
    bottom = np.zeros(len(places))
    for name, shares in parts.items():
        heights = np.array(shares)
        axes.bar(range(len(places)), heights, 0.62, bottom=bottom, color=colours[name], label=name)
        bottom += heights
    axes.set_xticks(range(len(places)), list(places))
    axes.set_xlim(-0.6, len(places) - 0.4)
    axes.set_ylim(0, 1.28)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, handlelength=1.0, columnspacing=1.0)


def _over_bars(axes: Axes, texts: Sequence[str]) -> None:
    for place, text in enumerate(texts):
        axes.text(place, 1.02, text, ha="center", va="bottom", fontsize=7.5, color=INK)


@dataclass(frozen=True)
class StageLog:
    """One training: specialisation per step and smoothed, and what the trigger looked at.

    ``window`` is where the signal had to stay above the threshold, from and to which step; ``switch`` where stage 2
    began. Both are None where the trigger did not fire.
    """

    steps: Sequence[float]
    specialisation: Sequence[float]
    smooth: Sequence[float]
    signal_steps: Sequence[float]
    signal: Sequence[float]
    threshold: float
    window: tuple[float, float] | None
    switch: float | None


@dataclass(frozen=True)
class Strategy:
    """What one stage strategy arrives at over its last steps, by measure, and its course after the switch."""

    name: str
    late: Mapping[str, float]


@dataclass(frozen=True)
class AfterSwitch:
    """Per epoch after the switch: mean normalised entropy of single pairs, and distance of the two largest shares."""

    epochs: Sequence[float]
    entropy: Sequence[float]
    gap: Sequence[float]


@dataclass(frozen=True)
class Scheme:
    """The stage rule in words: weights of both stages and the condition between them."""

    cover: str
    sharpen: str
    condition: str


def mechanism(
    log: StageLog, strategies: Sequence[Strategy], scheme: Scheme, after: AfterSwitch | None
) -> Picture:
    """The two stages: a log, what strategies arrive at, the rule, and what happens after the switch."""

    def draw(figure: Figure) -> None:
        grid = figure.subplots(2, 2, height_ratios=[1.15, 1])
        _stage_log(grid[0, 0], log)
        _strategies(grid[0, 1], strategies)
        _scheme(grid[1, 0], scheme)
        _after(grid[1, 1], after)

    return paint(6.2, draw)


def _stage_log(axes: Axes, log: StageLog) -> None:
    axes.plot(log.steps, log.specialisation, color=BLUE, alpha=0.35, linewidth=0.9, label="SpecScore")
    axes.plot(log.steps, log.smooth, color=BLUE, label="smoothed")
    axes.plot(log.signal_steps, log.signal, color=ORANGE, linewidth=1.3, label="signal H")
    axes.axhline(log.threshold, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="H*")
    if log.window is not None:
        axes.axvspan(*log.window, color=RED, alpha=0.13, linewidth=0, label="window W")
    if log.switch is not None:
        axes.axvline(log.switch, color=RED, linewidth=1.4, label=f"switch, step {log.switch:.0f}")
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("training step")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_title("Specialisation and the trigger")
    legend_above(axes, 3)


def _strategies(axes: Axes, strategies: Sequence[Strategy]) -> None:
    names = list(strategies[0].late) if strategies else []
    scaled = {name: unit_curve(np.array([one.late[name] for one in strategies])).tolist() for name in names}
    thickness = 0.8 / max(len(names), 1)
    colours = (BLUE, ORANGE, GREY)
    for number, name in enumerate(names):
        places = [row + (number - (len(names) - 1) / 2) * thickness for row in range(len(strategies))]
        axes.barh(places, scaled[name], thickness * 0.9, color=colours[number % 3], label=name)
        for place, length, one in zip(places, scaled[name], strategies, strict=True):
            axes.text(length + 0.015, place, f"{one.late[name]:.2f}", va="center", fontsize=7, color=MUTED)
    axes.set_yticks(range(len(strategies)), [one.name for one in strategies])
    axes.set_ylim(max(len(strategies), 1) - 0.5, -0.5)
    axes.set_xlim(0, 1.14)
    axes.set_xticks([0, 0.5, 1])
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("min-max over strategies (numbers: values)")
    axes.set_title("What each strategy arrives at")
    legend_above(axes, 3)


def _scheme(axes: Axes, scheme: Scheme) -> None:
    plain(axes)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("The rule")
    boxes = [(0.02, "Stage 1: coverage", scheme.cover), (0.56, "Stage 2: confidence", scheme.sharpen)]
    for left, head, body in boxes:
        axes.add_patch(
            FancyBboxPatch(
                (left, 0.34),
                0.42,
                0.54,
                boxstyle="round,pad=0,rounding_size=0.03",
                facecolor="#eef2f7",
                edgecolor=MUTED,
            )
        )
        axes.text(left + 0.21, 0.79, head, ha="center", va="center", fontweight="bold")
        axes.text(left + 0.21, 0.54, body, ha="center", va="center", fontsize=8.5)
    axes.add_patch(
        FancyArrowPatch((0.445, 0.61), (0.555, 0.61), arrowstyle="-|>", mutation_scale=13, color=RED)
    )
    axes.text(0.5, 0.16, scheme.condition, ha="center", va="center", fontsize=8.5, color=RED)


def _after(axes: Axes, after: AfterSwitch | None) -> None:
    axes.set_title("After the switch")
    if after is None or not len(after.epochs):
        plain(axes)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no epoch after a switch", ha="center", va="center", color=MUTED)
        return
    marker = "o" if len(after.epochs) < 15 else ""
    axes.plot(after.epochs, after.entropy, marker=marker, color=BLUE, label="entropy of pairs")
    axes.plot(after.epochs, after.gap, marker=marker, color=ORANGE, label="top-1 − top-2 share")
    axes.set_ylim(-0.03, 1.05)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend_above(axes, 2)


@dataclass(frozen=True)
class Course:
    """A data set's routing over epochs, each measure from 0 to 1; ``switch`` is the epoch of the switch."""

    place: str
    epochs: Sequence[float]
    measures: Mapping[str, Sequence[float]]
    switch: float | None


def dynamics(courses: Sequence[Course]) -> Picture:
    """One panel per measure, one line per data set, a star at the switch."""
    names = list(courses[0].measures)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(names), squeeze=False)[0]
        for axes, name in zip(grid, names, strict=True):
            for number, course in enumerate(courses):
                look = place_style(number)
                axes.plot(
                    course.epochs,
                    course.measures[name],
                    label=course.place,
                    markevery=max(1, len(course.epochs) // 8),
                    markersize=4,
                    **look,
                )
                if course.switch in course.epochs:
                    place = list(course.epochs).index(course.switch)  # type: ignore[arg-type]
                    axes.plot(
                        [course.switch],
                        [course.measures[name][place]],
                        "*",
                        color=look["color"],
                        markersize=13,
                    )
            axes.set_title(name)
            axes.set_xlabel("epoch")
            axes.set_ylim(-0.06, 1.06)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        grid[0].set_ylabel("min-max of each line")
        legend_below(figure, grid[0])

    return paint(2.7, draw)
