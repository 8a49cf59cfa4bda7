"""How long the runs of a study will take, before any of them is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from alnico.experiment.conducting import expected_seconds, kind_of, seconds_taken
from alnico.experiment.course import PlannedRun
from alnico.experiment.estimate import estimate
from alnico.experiment.ledger import Ledger

PATIENCE_SECONDS = 3.0
"""What trying out one model on one data set may take, about."""


@dataclass(frozen=True)
class Duration:
    """What a run will take: from runs of its kind that ended, or at most, if no epoch is saved by stopping early."""

    seconds: float
    is_bound: bool
    epoch_seconds: float | None = None


def forecast(ledger: Ledger, tell: Callable[[int, int], None]) -> Mapping[str, Duration]:
    """By name in the plan, how long each run that is not finished will take; the CPU's alone can be tried out.

    Where a run on the same data set has ended, those of its model or else all of them are the measure. Otherwise one
    run of each model is tried out on part of the data, and its epochs are counted in full; those for another device
    are left out. ``tell`` hears how many of those trials are done.
    """
    open_runs = [run for run in ledger.wanted if ledger.states[run.name] in ("waiting", "started")]
    taken = seconds_taken(ledger)
    durations: dict[str, Duration] = {}
    kinds: dict[tuple[str, str], list[PlannedRun]] = {}
    for run in open_runs:
        expected = expected_seconds(taken, run.dataset, run.model)
        if expected is not None:
            durations[run.name] = Duration(expected, False)
        elif kind_of(ledger.device_of(run)) == "cpu":
            kinds.setdefault((run.dataset, run.model), []).append(run)
    for done, runs in enumerate(kinds.values()):
        tell(done, len(kinds))
        spec = runs[0].outline().model_copy(update={"device": "cpu"})
        cost = estimate(spec, patience=PATIENCE_SECONDS).forecast
        epochs = spec.training.epochs if cost.steps else 1
        bound = Duration(cost.build_seconds + epochs * cost.epoch_seconds, True, cost.epoch_seconds)
        durations.update({run.name: bound for run in runs})
        tell(done + 1, len(kinds))
    return durations
