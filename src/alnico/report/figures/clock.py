"""Quality against the time that it took."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from alnico.report.figures.canvas import Picture, model_lines, paint

PER_ROW = 2


@dataclass(frozen=True)
class Training:
    """The validation of one training over wall seconds; ``nearly`` and ``best`` are (seconds, value).

    ``is_main`` marks the MAGNET that the others are held against.
    """

    label: str
    is_own: bool
    seconds: Sequence[float]
    values: Sequence[float]
    nearly: tuple[float, float]
    best: tuple[float, float]
    is_main: bool = False


@dataclass(frozen=True)
class Race:
    """The trainings on one data set."""

    place: str
    metric: str
    trainings: Sequence[Training]


def races(found: Sequence[Race]) -> Picture:
    """One panel per data set: a triangle at 95 % of the kept value, a dot at the kept epoch."""
    n_rows = -(-len(found) // PER_ROW)
    labels = list(dict.fromkeys(one.label for race in found for one in race.trainings))
    # The main one first: it gets the whole line.
    magnets = sorted(
        (one for race in found for one in race.trainings if one.is_own), key=lambda one: not one.is_main
    )
    own = list(dict.fromkeys(one.label for one in magnets))
    looks = model_lines(labels, own)

    def draw(figure: Figure) -> None:
        columns = min(len(found), PER_ROW)
        grid = figure.subplots(n_rows, columns, squeeze=False)
        for number, race in enumerate(found):
            axes = grid[number // columns, number % columns]
            for one in sorted(race.trainings, key=lambda training: (training.is_own, training.is_main)):
                look = looks[one.label]
                axes.plot(one.seconds, one.values, label=one.label, **look)
                axes.plot(*one.nearly, "^", color=look["color"], markersize=6, markerfacecolor="white")
                axes.plot(*one.best, "o", color=look["color"], markersize=5)
            _axes(axes, race)
        for number in range(len(found), n_rows * columns):
            grid[number // columns, number % columns].set_visible(False)
        # One entry per model, whichever panels it stands in.
        for label in labels:
            grid[0, 0].plot([], [], label=f"{label} ", **looks[label])
        handles, texts = grid[0, 0].get_legend_handles_labels()
        kept = [(handle, text) for handle, text in zip(handles, texts, strict=True) if text.endswith(" ")]
        figure.legend(
            [handle for handle, _ in kept],
            [text.strip() for _, text in kept],
            loc="outside lower center",
            ncols=4,
            handlelength=2.6,
        )

    return paint(2.9 * n_rows + 0.2 + 0.2 * -(-len(labels) // 4), draw)


def _axes(axes: Axes, race: Race) -> None:
    ends = [one.seconds[-1] for one in race.trainings if len(one.seconds)]
    if ends and max(ends) / max(min(ends), 1e-9) >= 8:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_title(race.place)
    axes.set_xlabel("wall time in seconds")
    axes.set_ylabel(f"validation {race.metric}")
    axes.yaxis.set_major_locator(MaxNLocator(5))
