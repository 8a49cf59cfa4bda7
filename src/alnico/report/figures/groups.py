"""Who gains by the second view: by difficulty, activity and popularity, and user by user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alnico.report.figures.canvas import BLUE, INK, MUTED, RED, SKY, Picture, legend_above, paint

BUCKET_COLOURS = {"easy": SKY, "medium": BLUE, "hard": "#083b5e"}


@dataclass(frozen=True)
class Gain:
    """The relative gain of one group in percent, None where it has no pairs or nothing to compare with."""

    group: str
    percent: float | None
    pairs: int
    colour: str = BLUE


@dataclass(frozen=True)
class UserGains:
    """Differences per user of one group that are not zero, and the shares of users better, equal and worse off."""

    group: str
    moved: Sequence[float]
    better: float
    equal: float
    worse: float


@dataclass(frozen=True)
class Groups:
    """Everything of one data set; ``distribution`` is (difference, share of users with at most that)."""

    literal: Sequence[Gain]
    relative: Sequence[Gain]
    thirds: Sequence[Gain]
    composition: Mapping[str, Mapping[str, float]]
    by_activity: Sequence[UserGains]
    everybody: UserGains
    distribution: tuple[Sequence[float], Sequence[float]]
    metric: str


def groups(told: Groups) -> Picture:
    """Six panels about one data set."""

    def draw(figure: Figure) -> None:
        grid = figure.subplots(2, 3)
        _gains(grid[0, 0], told.literal, "By difficulty, as printed")
        _gains(grid[0, 1], told.relative, "By difficulty, visible pairs halved")
        _composition(grid[0, 2], told.composition)
        _gains(grid[1, 0], told.thirds, "By activity and popularity")
        _boxes(grid[1, 1], told.by_activity, told.metric)
        _distribution(grid[1, 2], told)

    return paint(5.9, draw)


def _gains(axes: Axes, gains: Sequence[Gain], title: str) -> None:
    values = [gain.percent or 0.0 for gain in gains]
    axes.bar(range(len(gains)), values, 0.66, color=[gain.colour for gain in gains])
    axes.axhline(0, color=INK, linewidth=0.8)
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.16 * ((high - low) or 1.0)
    axes.set_ylim(low - room, high + room)
    for place, gain in enumerate(gains):
        if gain.percent is None:
            # On the line in the middle, so that nobody takes it for a bar of nothing.
            text = "empty" if not gain.pairs else "from 0"
            axes.text(place, room * 0.15, text, ha="center", va="bottom", fontsize=7.5, color=MUTED)
        else:
            above = gain.percent >= 0
            axes.text(
                place,
                gain.percent + (room * 0.12 if above else -room * 0.12),
                f"{gain.percent:+.1f}",
                ha="center",
                va="bottom" if above else "top",
                fontsize=7.5,
            )
    axes.set_xticks(range(len(gains)), [f"{gain.group}\n{gain.pairs:,}" for gain in gains], fontsize=7.5)
    axes.set_ylabel("gain in %")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", visible=False)
    axes.set_title(title)


def _composition(axes: Axes, composition: Mapping[str, Mapping[str, float]]) -> None:
    bottom = np.zeros(len(composition))
    for bucket, colour in BUCKET_COLOURS.items():
        shares = np.array([told.get(bucket, 0.0) for told in composition.values()])
        axes.bar(range(len(composition)), shares, 0.66, bottom=bottom, color=colour, label=bucket)
        for place, (share, under) in enumerate(zip(shares, bottom, strict=True)):
            if share >= 0.07:
                light = bucket != "easy"
                axes.text(
                    place,
                    under + share / 2,
                    f"{share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color="white" if light else INK,
                )
        bottom += shares
    axes.set_xticks(range(len(composition)), list(composition))
    axes.set_xlabel("user activity")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x", visible=False)
    axes.set_title("Difficulty of test pairs")
    legend_above(axes, 3)


def _boxes(axes: Axes, found: Sequence[UserGains], metric: str) -> None:
    drawn = [(place, one) for place, one in enumerate(found) if len(one.moved)]
    if drawn:
        axes.boxplot(
            [np.array(one.moved) for _, one in drawn],
            positions=[place for place, _ in drawn],
            widths=0.5,
            patch_artist=True,
            boxprops={"facecolor": "#dbe7f2", "edgecolor": BLUE},
            medianprops={"color": RED, "linewidth": 1.6},
            whiskerprops={"color": BLUE},
            capprops={"color": BLUE},
            flierprops={"marker": ".", "markersize": 2.5, "markerfacecolor": BLUE, "markeredgewidth": 0},
        )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xticks(
        range(len(found)),
        [f"{one.group}\n{one.better:.0%} better\n{one.worse:.0%} worse" for one in found],
        fontsize=7.5,
    )
    axes.set_xlim(-0.6, len(found) - 0.4)
    axes.set_ylabel(f"difference in {metric}")
    axes.grid(axis="x", visible=False)
    axes.set_title("Users that differ, by activity")


def _distribution(axes: Axes, told: Groups) -> None:
    values, shares = told.distribution
    axes.step([values[0] if len(values) else 0, *values], [0, *shares], where="post", color=BLUE)
    axes.axvline(0, color=INK, linewidth=0.8)
    everybody = told.everybody
    for height, text, colour in (
        (0.30, f"worse {everybody.worse:.1%}", RED),
        (0.20, f"equal {everybody.equal:.1%}", INK),
        (0.10, f"better {everybody.better:.1%}", BLUE),
    ):
        axes.text(0.97, height, text, transform=axes.transAxes, ha="right", fontsize=8.5, color=colour)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel(f"difference in {told.metric}")
    axes.set_ylabel("users with at most that")
    axes.set_title("All users")
