"""How the routing moved while training, from the facts that each step logged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

Rows = Sequence[Mapping[str, float]]

FACTS = (
    "entropy",
    "effective_experts",
    "specialisation",
    "top3_mass",
    "top_gap",
    "winner_share",
    "max_load",
    "hhi",
    "stage",
)
"""What a step of a routed model logs; ``alnico.models.magnet.router.routing_facts`` says what each is."""

LATER_FACTS = ("hhi_pairs",)
"""The same, of what earlier logs do not hold."""

LATE = 0.2
"""Share of the steps, at the end, that stands for what a strategy arrives at."""


@dataclass(frozen=True, eq=False)
class Trace:
    """The routing facts of a training: ``values[name][j]`` belongs to step ``steps[j]`` of epoch ``epochs[j]``.

    ``pair_entropy`` is the mean normalised entropy of single pairs, the complement of their specialisation.
    """

    steps: Int[NDArray[np.int64], " steps"]
    epochs: Int[NDArray[np.int64], " steps"]
    values: Mapping[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.steps)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def of(self, name: str) -> Float[NDArray[np.float64], " steps"]:
        """One fact over the steps."""
        return self.values[name]

    def by_epoch(self, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The epochs, ascending, and the mean of one fact in each."""
        epochs, place = np.unique(self.epochs, return_inverse=True)
        return epochs, np.bincount(place, self.of(name)) / np.bincount(place)

    def late(self, name: str) -> float:
        """The mean of one fact over the last fifth of the steps (at least one)."""
        return float(self.of(name)[-max(1, round(LATE * len(self))) :].mean())

    def after(self, step: int) -> "Trace":
        """The steps later than ``step``."""
        later = self.steps > step
        kept = {name: values[later] for name, values in self.values.items()}
        return Trace(self.steps[later], self.epochs[later], kept)


def trace_of(steps: Rows) -> Trace | None:
    """The trace of these rows; None where they hold no routing facts."""
    rows = [row for row in steps if all(name in row for name in FACTS)]
    if not rows:
        return None
    names = [*FACTS, *(name for name in LATER_FACTS if all(name in row for row in rows))]
    values = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in names}
    values["pair_entropy"] = 1 - values["specialisation"]
    return Trace(
        np.array([row["step"] for row in rows], dtype=np.int64),
        np.array([row["epoch"] for row in rows], dtype=np.int64),
        values,
    )


def smoothed(values: Float[NDArray[np.float64], " steps"], factor: float) -> NDArray[np.float64]:
    """The exponential mean s_n = factor * s_(n-1) + (1 - factor) * x_n with s_1 = x_1; no change at factor 0."""
    out = np.array(values, dtype=np.float64)
    for place in range(1, len(out)):
        out[place] = factor * out[place - 1] + (1 - factor) * out[place]
    return out


def thinned(
    x: Float[NDArray[np.float64], " steps"] | Int[NDArray[np.int64], " steps"],
    y: Float[NDArray[np.float64], " steps"],
    most: int,
) -> tuple[list[float], list[float]]:
    """At most ``most`` points of a curve: means over runs of consecutive points, each at the last x of its run."""
    blocks = np.array_split(np.arange(len(x)), max(1, min(most, len(x))))
    return [float(x[block[-1]]) for block in blocks], [float(y[block].mean()) for block in blocks]


@dataclass(frozen=True)
class Switch:
    """When stage 2 began and why.

    ``signal_steps`` and ``signal``: what the trigger looked at, after each unit (a step or an epoch). ``crossing`` is
    the step at which the signal reached the threshold for good before the switch, ``step`` the last step of stage 1;
    between them lie the ``window`` units. Both are None where stage 2 never began by the trigger.
    """

    threshold: float
    window: int
    unit: str
    signal_steps: NDArray[np.int64]
    signal: NDArray[np.float64]
    crossing: int | None
    step: int | None


def switch_of(trace: Trace, settings: Mapping[str, object], step: int | None) -> Switch:
    """The switch of a training with these model settings that logged this switch step (None or negative: never).

    Follows the trigger of ``alnico.models.magnet.stages``: the smoothed entropy of each step, or the mean of each
    epoch.
    """
    unit, window = str(settings["trigger_unit"]), int(str(settings["window"]))
    threshold = float(str(settings["entropy_threshold"]))
    if unit == "epoch":
        _, signal = trace.by_epoch("entropy")
        ends = np.flatnonzero(np.diff(trace.epochs, append=trace.epochs[-1] + 1))
        at = trace.steps[ends]
    else:
        signal, at = smoothed(trace.of("entropy"), float(str(settings["smoothing"]))), trace.steps
    found = step if step is not None and step >= 0 else None
    crossing = None
    if found is not None and settings["switch"] == "entropy":
        before = at <= found
        below = np.flatnonzero(before & (signal < threshold))
        first = int(below[-1]) + 1 if len(below) else 0
        crossing = int(at[first]) if first < len(at) and before[first] else None
    return Switch(threshold, window, unit, at, signal, crossing, found)


def unit_curve(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values moved and scaled so that the smallest is 0 and the largest 1; all 0.5 where they are equal."""
    low, high = values.min(), values.max()
    return np.full_like(values, 0.5) if high == low else (values - low) / (high - low)
