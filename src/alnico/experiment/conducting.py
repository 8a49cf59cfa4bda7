"""A study at work: runs go to an executor as they can begin, and the study's folder follows how they end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import fmean
from typing import Protocol, runtime_checkable

from alnico.experiment.executor import Executor, Outcome
from alnico.experiment.ledger import Ledger
from alnico.experiment.study import Study, open_study, write_study
from alnico.training.history import read_rows
from alnico.training.trainer import Interrupted, on_signal

POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Running:
    """A run at work: its last whole epoch, the best validation value so far, and the seconds that it has trained."""

    name: str
    epoch: int
    best: float | None
    seconds: float


@dataclass(frozen=True)
class Standing:
    """A study at one moment; ``seconds_left`` is None while no run of it has ended that could tell."""

    wanted: int
    finished: int
    failed: int
    running: Sequence[Running]
    seconds_left: float | None


@runtime_checkable
class StudyWatcher(Protocol):
    """Someone who wants to know how a study goes."""

    def looks(self, standing: Standing) -> None:
        """How it stands, every second or so."""

    def began(self, name: str, dataset: str) -> None:
        """A run began."""

    def ended(self, outcome: Outcome, standing: Standing) -> None:
        """A run ended."""


class Unwatched:
    """A watcher that says nothing."""

    def looks(self, standing: Standing) -> None:
        """Nothing."""

    def began(self, name: str, dataset: str) -> None:
        """Nothing."""

    def ended(self, outcome: Outcome, standing: Standing) -> None:
        """Nothing."""


def conduct(
    ledger: Ledger, executor: Executor, watcher: StudyWatcher | None = None, *, oracle: bool = False
) -> Study:
    """Make all wanted runs that are not finished, and return the study.

    Runs that fail are entered with their sentence and the others go on; those that failed or were begun earlier are
    taken up again. Each finished run leaves a record at once. After Ctrl-C or SIGTERM the runs at work save and end.
    Raises Interrupted then.
    """
    return _Conductor(ledger, executor, watcher or Unwatched(), oracle).work()


class _Conductor:
    def __init__(self, ledger: Ledger, executor: Executor, watcher: StudyWatcher, oracle: bool) -> None:
        self.ledger, self.executor, self.watcher, self.oracle = ledger, executor, watcher, oracle
        self.at_work: set[str] = set()
        self.asked_to_stop = False

    def work(self) -> Study:
        for name, known in self.ledger.known.items():
            if known.record is None:
                # Killed between the run's end and its record.
                self.ledger.known[name] = self.ledger.shelf.keep(known.name)
        write_study(self.ledger, oracle=self.oracle)
        try:
            with on_signal(self._ask_to_stop):
                while self.at_work or (self.ledger.ready() and not self.asked_to_stop):
                    self._submit()
                    if self.asked_to_stop:
                        # Not where the signal is heard: a process may be starting at that moment.
                        self.executor.stop()
                    if self.at_work:
                        self._hear()
        finally:
            if self.at_work:  # something is wrong with this process: nothing may go on without it
                self.executor.stop()
        write_study(self.ledger, oracle=self.oracle)
        if self.asked_to_stop:
            standing = standing_of(self.ledger, 1)
            raise Interrupted(
                f"stopped with {standing.finished} of {standing.wanted} runs finished; the same command goes on"
            )
        return open_study(self.ledger.folder)

    def _submit(self) -> None:
        for run in self.ledger.ready():
            # One that turned out to be finished already may have let others become ready: the next round sees them.
            if self.asked_to_stop or not self.executor.room or self._is_busy_alone():
                return
            if run.alone and self.at_work:
                return  # its turn comes when the others have ended
            job = self.ledger.begin(run)
            if job is not None:
                self.at_work.add(run.name)
                self.watcher.began(self.ledger.names[run.name], run.dataset)
                self.executor.submit(job)

    def _is_busy_alone(self) -> bool:
        return any(self.ledger.course.run(name).alone for name in self.at_work)

    def _hear(self) -> None:
        outcomes = [self._understood(outcome) for outcome in self.executor.wait(POLL_SECONDS)]
        for outcome in outcomes:
            self.at_work.discard(outcome.name)
            self.ledger.close(outcome)
        lanes = max(1, self.executor.room + len(self.at_work))
        standing = standing_of(self.ledger, lanes)
        for outcome in outcomes:
            self.watcher.ended(outcome, standing)
        if outcomes:
            write_study(self.ledger)
        self.watcher.looks(standing)

    def _understood(self, outcome: Outcome) -> Outcome:
        if outcome.ending == "stopped" and not self.asked_to_stop:
            # Somebody stopped this one run: the others go on, and the next study takes it up.
            return replace(
                outcome, ending="failed", sentence=f"it was stopped from outside; {outcome.sentence}"
            )
        return outcome

    def _ask_to_stop(self) -> None:
        self.asked_to_stop = True


def standing_of(ledger: Ledger, lanes: int) -> Standing:
    """How a study stands that ``lanes`` runs of can be made at a time."""
    running = {
        run.name: _look_at(ledger, run.name) for run in ledger.wanted if ledger.states[run.name] == "running"
    }
    taken = seconds_taken(ledger)
    left: float | None = 0.0
    for run in ledger.wanted:
        if ledger.states[run.name] in ("waiting", "started", "running") and left is not None:
            expected = expected_seconds(taken, run.dataset, run.model)
            spent = running[run.name].seconds if run.name in running else 0.0
            left = None if expected is None else left + max(0.0, expected - spent) / lanes
    return Standing(
        len(ledger.wanted) - ledger.counted("missing"),
        ledger.counted("finished"),
        ledger.counted("failed", "blocked"),
        list(running.values()),
        left,
    )


Taken = Mapping[str, Mapping[str, Sequence[float]]]


def seconds_taken(ledger: Ledger) -> Taken:
    """What the finished runs took, by data set and model; those that were trained elsewhere than asked do not count."""
    taken: dict[str, dict[str, list[float]]] = {}
    for run in ledger.course.runs:
        known = ledger.known.get(run.name)
        if known is not None and kind_of(known.device) == kind_of(ledger.device_of(run)):
            result = known.result
            seconds = result["training_seconds"] + result["test_seconds"]
            taken.setdefault(run.dataset, {}).setdefault(run.model, []).append(seconds)
    return taken


def kind_of(device: str) -> str:
    """What cuda:0 and cuda:1 have in common."""
    return device.partition(":")[0]


def expected_seconds(taken: Taken, dataset: str, model: str) -> float | None:
    """What a run of this model on this data set took on average, else one on this data set; None where none ended."""
    if dataset not in taken:
        return None
    models = taken[dataset]
    return fmean(models[model] if model in models else chain.from_iterable(models.values()))


def _look_at(ledger: Ledger, name: str) -> Running:
    folder, metric = ledger.names[name], f"valid/{ledger.course.protocol.training.metric}"
    rows = read_rows(ledger.folder / "runs" / folder / "history.jsonl")
    return Running(
        folder,
        int(rows[-1]["epoch"]) if rows else 0,
        max((row[metric] for row in rows if metric in row), default=None),
        sum(row["epoch_seconds"] for row in rows),
    )
