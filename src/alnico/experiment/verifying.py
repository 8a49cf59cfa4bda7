"""Whether a finished run's numbers come out again from its stored model and the data."""

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.experiment.folder import Run
from alnico.experiment.run import measure_again

ROUNDING = 1e-5
"""Largest difference of scores, in shares of the largest score, that another machine or thread count explains."""

Verdict = Literal["identical", "rounding", "different"]


@dataclass(frozen=True)
class Verification:
    """What was found again and what was not.

    ``changed`` names what is no longer as it was when the run was made: threads, versions, machine.
    ``lists`` counts users whose list holds other items or another order, ``values`` users with another value of some
    measure. ``largest_score``, ``largest_value`` and ``largest_mean`` are the largest differences of scores (in shares
    of the largest score, place by place), of values and of means, the validation means included.
    """

    users: int
    changed: Mapping[str, tuple[Any, Any]]
    lists: int
    values: int
    scores: int
    largest_score: float
    largest_value: float
    largest_mean: float

    @property
    def verdict(self) -> Verdict:
        """identical: bit for bit. rounding: scores agree but for the last digits, something changed that explains it,
        and means moved only where items with nearly equal scores changed places. different: all else."""
        if not (self.lists or self.values or self.scores or self.largest_mean):
            return "identical"
        is_close = self.largest_score <= ROUNDING and (bool(self.lists) or self.largest_mean <= ROUNDING)
        return "rounding" if self.changed and is_close else "different"

    @property
    def is_same(self) -> bool:
        """Whether the run's numbers hold."""
        return self.verdict != "different"


def verify(run: Run) -> Verification:
    """Evaluate the stored model again on validation and test part, with the run's thread count where it can be had.

    Raises StorageError if the run is not finished or its data have changed.
    """
    run.require_finished()
    with _threads(int(run.record["threads"]["torch"])):
        changed = _changed(run)
        ranking, scores, valid = measure_again(run)
    stored, old = run.test_ranking(), run.test_scores()
    if stored.items.shape != ranking.items.shape or set(old.values) != set(scores.values):
        # Other users, lengths or measures: nothing can be laid side by side.
        n = len(scores)
        return Verification(n, changed, n, n, n, np.inf, np.inf, np.inf)
    values = {name: _gaps(old.of(name), scores.of(name)) for name in scores.values}
    largest_score = max(1e-30, float(np.abs(_finite(stored.scores)).max(initial=0)))
    gaps = _gaps(_finite(stored.scores), _finite(ranking.scores))
    told = {"valid": dict(valid), "test": scores.means()}
    means = [
        abs(run.result[part][name] - value)
        for part, measures in told.items()
        for name, value in measures.items()
        # Without anyone to validate on there was no mean.
        if run.result[part][name] is not None
    ]
    others = (stored.users != ranking.users) | (stored.items != ranking.items).any(axis=1)
    return Verification(
        len(scores),
        changed,
        int(others.sum()),
        int(np.any([gap > 0 for gap in values.values()], axis=0).sum()),
        int((stored.scores != ranking.scores).any(axis=1).sum()),
        float(gaps.max(initial=0)) / largest_score,
        max((float(gap.max(initial=0)) for gap in values.values()), default=0.0),
        max(means, default=0.0),
    )


def _gaps(old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.float64]:
    gaps: NDArray[np.float64] = np.abs(old.astype(np.float64) - new.astype(np.float64))
    return gaps


def _finite(scores: NDArray[Any]) -> NDArray[Any]:
    # Places without an item have a score of minus infinity.
    return np.where(np.isfinite(scores), scores, 0)


def _changed(run: Run) -> dict[str, tuple[Any, Any]]:
    now: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "processor": platform.machine(),
        **{name: version(name) for name in ("torch", "numpy", "numba")},
    }
    record = run.record
    then = {
        "threads": record["threads"]["torch"],
        **record["machine"],
        **{name: record["versions"][name] for name in ("torch", "numpy", "numba")},
    }
    return {name: (then[name], value) for name, value in now.items() if then[name] != value}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Let torch, and with it the kernels, work with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
