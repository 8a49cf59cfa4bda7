"""The trials of a search, in one SQLite file that outlives every process."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from alnico.errors import StorageError, UnsupportedError
from alnico.experiment.space import Choices, Entry, Point, Pruning, Search, Stage, label
from alnico.randomness import rng

try:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )
    from optuna.exceptions import StorageInternalError
    from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
    from optuna.samplers import BaseSampler, RandomSampler, TPESampler
    from optuna.storages import RDBStorage, get_storage
    from optuna.trial import FrozenTrial, TrialState
    from sqlalchemy.exc import SQLAlchemyError
except ImportError as missing:
    raise UnsupportedError("searching settings needs optuna; pip install 'alnico[tune]'") from missing

SECONDS_TO_WAIT = 60
"""How long a process waits for another one that writes to the same file."""

Outcome = Literal["running", "complete", "pruned", "diverged", "refused", "died", "known", "stopped", "lost"]
"""How a trial ended. pruned: given up early; diverged: a loss was no number; refused: the model cannot have these
settings; died: the process that trained it died, and another one too; known: its settings had been tried already.
stopped and lost are done again: one was asked to end, of the other no end is known."""
TO_BE_DONE_AGAIN = frozenset({"stopped", "lost"})


@dataclass(frozen=True)
class Task:
    """What a trial is asked to try: its place in a sweep of a stage, beside what is fixed already.

    ``seconds`` are what the search has left, None if it has no limit.
    """

    number: int
    stage: int
    sweep: int
    place: int
    fixed: Point = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class Trial:
    """One trial: what it tried, how it ended, what it measured and what that took.

    ``settings`` are all changes to the base, those fixed by earlier stages included; ``value`` is the best validation
    value, None if there is none; ``question`` tells settings apart by what they mean.
    """

    number: int
    stage: int
    sweep: int
    place: int
    settings: Point
    outcome: Outcome = "running"
    value: float | None = None
    best_epoch: int = 0
    epochs: int = 0
    seconds: float = 0.0
    note: str = ""
    question: str = ""

    @property
    def position(self) -> tuple[int, int, int]:
        """Stage, sweep and place: the order in which one process alone would get there."""
        return self.stage, self.sweep, self.place

    @property
    def is_over(self) -> bool:
        """Whether nobody has to do it again."""
        return self.outcome != "running" and self.outcome not in TO_BE_DONE_AGAIN

    @property
    def is_measured(self) -> bool:
        """Whether its value is one that training with its settings reaches."""
        return self.value is not None and self.outcome in ("complete", "known", "stopped")


class Running:
    """A trial that is being made."""

    def __init__(self, study: optuna.Study, trial: optuna.Trial, begun: Trial) -> None:
        self.study, self.trial, self.begun = study, trial, begun

    def report(self, epoch: int, value: float) -> bool:
        """Store an epoch's validation value; returns whether the trial should be given up."""
        self.trial.report(value, epoch)
        return bool(self.trial.should_prune())

    def end(self, outcome: Outcome, value: float | None = None, **facts: Any) -> None:
        """Store how it ended; ``facts`` are fields of ``Trial``."""
        self.trial.set_user_attr("end", {"outcome": outcome, "value": value, **facts})
        if value is not None and outcome in ("complete", "known"):
            self.study.tell(self.trial, value)
        elif outcome in TO_BE_DONE_AGAIN:
            self.study.tell(self.trial, state=TrialState.FAIL)
        else:
            self.study.tell(self.trial, state=TrialState.PRUNED)


class TrialStore:
    """All trials of one search. Several processes may have it open; each change is one transaction."""

    def __init__(self, path: Path, search: Search) -> None:
        if "?" in str(path):
            raise StorageError(f"{path} has a question mark, which no path of a trial store may have")
        optuna.logging.disable_default_handler()
        self.search = search
        connecting = {"timeout": SECONDS_TO_WAIT, "factory": _Connection}
        self._file = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": connecting})
        shared = get_storage(self._file)
        self._studies = [
            optuna.create_study(
                storage=shared,
                study_name=f"{number} {stage.name}",
                direction="maximize",
                pruner=_pruner(search.pruning),
                load_if_exists=True,
            )
            for number, stage in enumerate(search.stages, start=1)
        ]

    def close(self) -> None:
        """Let go of the file."""
        self._file.remove_session()
        self._file.engine.dispose()

    def begin(self, task: Task) -> Running:
        """Choose the point of ``task`` and store that its trial is running."""
        stage, study = self.search.stages[task.stage], self._studies[task.stage]
        entries = stage.sweeps[task.sweep]
        study.sampler = self._sampler(stage, task)
        trial = study.ask({name: _distribution(entry) for name, entry in entries.items()})
        point = {name: _value(entry, trial.params[name]) for name, entry in entries.items()}
        begun = Trial(task.number, task.stage, task.sweep, task.place, {**task.fixed, **point})
        trial.set_user_attr("begin", {key: asdict(begun)[key] for key in _BEGIN})
        return Running(study, trial, begun)

    def trials(self) -> list[Trial]:
        """Every trial that was begun, by its number."""
        found = [
            trial
            for stage, study in enumerate(self._studies)
            for one in study.get_trials(deepcopy=False)
            if (trial := _read(stage, one)) is not None
        ]
        return sorted(found, key=lambda trial: trial.number)

    def abandon(self, number: int | None = None, *, for_good: bool = False) -> None:
        """Store that nobody works any more on the trial of this number, or on any that seems to run.

        It is lost and will be made again, or ``for_good`` has died.
        """
        state = TrialState.PRUNED if for_good else TrialState.FAIL
        for stage, study in enumerate(self._studies):
            for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
                told = _read(stage, one)
                if number is None or (told is not None and told.number == number):
                    study.tell(one.number, state=state)

    def _sampler(self, stage: Stage, task: Task) -> BaseSampler:
        entries = stage.sweeps[task.sweep]
        given = (
            stage.points(task.sweep)[task.place]
            if stage.is_listed
            else self.search.origin(stage, task.fixed)
            if task.place == 0
            else None
        )
        if given is not None:
            return _Given({name: _stored(entry, given[name]) for name, entry in entries.items()})
        # A seed for each place: a trial that has to be made again draws the same point from the same trials.
        seed = int(rng(self.search.spec.seed, f"search {stage.name}", task.place).integers(2**32))
        if stage.search == "tpe":
            return TPESampler(n_startup_trials=stage.startup, seed=seed)
        return RandomSampler(seed)


@contextmanager
def open_store(path: Path, search: Search) -> Iterator[TrialStore]:
    """The trial store in this file, made if it is not there, closed at the end.

    Raises StorageError where the file is no such store, damaged, or cannot be written.
    """
    try:
        store = TrialStore(path, search)
        try:
            yield store
        finally:
            store.close()
    except (SQLAlchemyError, StorageInternalError) as problem:
        reason = str(problem.__cause__ or problem).splitlines()[0]
        raise StorageError(
            f"{path} cannot be used as the trials of a search: {reason}; move it away to begin anew, or choose another "
            "--to"
        ) from problem


_BEGIN = ("number", "sweep", "place", "settings")


def _read(stage: int, one: FrozenTrial) -> Trial | None:
    begin, end = one.user_attrs.get("begin"), one.user_attrs.get("end")
    if begin is None:
        return None  # Killed before it had a number.
    if one.state in (TrialState.RUNNING, TrialState.WAITING):
        return Trial(stage=stage, **begin)
    if one.state == TrialState.FAIL and (end is None or end["outcome"] not in TO_BE_DONE_AGAIN):
        return Trial(stage=stage, outcome="lost", **begin)
    return Trial(stage=stage, **begin, **(end or {"outcome": "died"}))


class _Connection(sqlite3.Connection):
    """A connection that writes ahead: what is committed outlives a kill, without waiting for the disk each time."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = NORMAL")


class _Given(BaseSampler):
    """Gives the values that it was given."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.values[param_name]


def _distribution(entry: Entry) -> BaseDistribution:
    if isinstance(entry, Choices):
        return CategoricalDistribution([label(value) for value in entry.choices])
    high = entry.high if entry.step is None or entry.values is None else entry.values[-1]
    if entry.is_whole:
        return IntDistribution(int(entry.low), int(high), log=entry.log, step=int(entry.step or 1))
    return FloatDistribution(entry.low, high, log=entry.log, step=entry.step)


def _stored(entry: Entry, value: Any) -> Any:
    if isinstance(entry, Choices):
        # The base may say 1.0 where the choices say 1.
        return next(label(choice) for choice in entry.choices if choice == value)
    return value


def _value(entry: Entry, stored: Any) -> Any:
    if isinstance(entry, Choices):
        return next(choice for choice in entry.choices if label(choice) == stored)
    return stored


def _pruner(pruning: Pruning) -> BasePruner:
    if pruning.rule == "median":
        return MedianPruner(n_startup_trials=pruning.startup, n_warmup_steps=pruning.warm_up)
    if pruning.rule == "halving":
        return SuccessiveHalvingPruner(min_resource=pruning.warm_up, reduction_factor=pruning.factor)
    return NopPruner()


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The measured trial with the largest value, the earliest among equals; None if nothing was measured."""
    measured = [trial for trial in trials if trial.is_measured]
    return min(measured, key=lambda trial: (-(trial.value or 0.0), trial.position), default=None)
