"""How long a training took to get where it got."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

Rows = Sequence[Mapping[str, float | None]]

NEARLY = 0.95
"""Share of the final validation level at which a training is nearly there."""


@dataclass(frozen=True)
class Convergence:
    """The clock of one training; times are wall seconds from its start, validation included.

    ``level`` is the validation value of the kept epoch, ``nearly_*`` the first epoch that reached 95 % of it (the
    paper's t95). ``seconds_per_epoch`` is the median training time of an epoch after the first, which compiles;
    validation is not in it.
    """

    level: float
    best_epoch: int
    best_seconds: float
    nearly_epoch: int
    nearly_seconds: float
    stop_epoch: int
    stop_seconds: float
    seconds_per_epoch: float


def convergence(history: Rows, metric: str) -> Convergence | None:
    """The clock of the training with this history (one row per epoch); None where it never validated by ``metric``.

    The kept epoch is the first of those with the largest value.
    """
    curve = quality_over_time(history, metric)
    if not curve:
        return None
    level = max(value for _, _, value in curve)
    best = next(point for point in curve if point[2] == level)
    nearly = next(point for point in curve if point[2] >= NEARLY * level)
    seconds = [float(row["train_seconds"] or 0.0) for row in history[1:] or history]
    clock = _clock(history)
    return Convergence(
        level=level,
        best_epoch=best[0],
        best_seconds=best[1],
        nearly_epoch=nearly[0],
        nearly_seconds=nearly[1],
        stop_epoch=int(history[-1]["epoch"] or 0),
        stop_seconds=clock[-1],
        seconds_per_epoch=float(np.median(seconds)),
    )


def quality_over_time(history: Rows, metric: str) -> list[tuple[int, float, float]]:
    """(epoch, seconds since the start, validation value) of each epoch that validated."""
    return [
        (int(row["epoch"] or 0), seconds, float(value))
        for row, seconds in zip(history, _clock(history), strict=True)
        if (value := row.get(f"valid/{metric}")) is not None
    ]


def _clock(history: Rows) -> list[float]:
    return list(accumulate(float(row["epoch_seconds"] or 0.0) for row in history))
