"""How time and memory grow, drawn."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure


def draw_growth(measured: Sequence[dict[str, float]], path: Path) -> None:
    """Time per epoch against entries read, and peak memory against interactions, both logarithmic."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for fanout, mark in ((0, "o"), (20, "s")):
        own = [point for point in measured if point["fanout"] == fanout]
        label = "fanout = 20" if fanout else "all neighbours (r = 20)"
        entries, epoch = [p["entries"] for p in own], [p["epoch"] for p in own]
        (line,) = left.plot(entries, epoch, marker=mark, label=label)
        proportional = [epoch[0] * value / entries[0] for value in entries]
        left.plot(entries, proportional, linestyle=":", color=line.get_color())
        right.plot([p["pairs"] for p in own], [p["peak"] / 1e9 for p in own], marker=mark, label=label)
    left.set(xlabel="entries read in an epoch", ylabel="seconds per epoch", xscale="log", yscale="log")
    left.set_title("dotted: in proportion to the smallest", fontsize=9)
    right.set(xlabel="interactions", ylabel="peak memory, GB", xscale="log", yscale="log")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path)
