"""Settings chosen on validation: trial after trial, stage after stage, kept so that a kill loses one trial at most."""

import csv
import io
import json
import time
import tomllib
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from alnico.errors import ConfigError, StorageError
from alnico.experiment.bench import (
    Bench,
    Hands,
    OwnHands,
    SearchWatcher,
    Unwatched,
    open_bench,
    settings_text,
)
from alnico.experiment.crew import hired
from alnico.experiment.folder import RECORD as RUN_RECORD
from alnico.experiment.folder import Run, finite, open_run
from alnico.experiment.run import resume, run
from alnico.experiment.space import Search
from alnico.experiment.spec import RunSpec, read_spec, settings_toml
from alnico.experiment.trials import Task, Trial, TrialStore, best_of, open_store
from alnico.lock import locked
from alnico.storage import read_json, write_json, write_text
from alnico.training.trainer import Interrupted, Watcher

RECORD, STORE, TABLE, BEST, WINNER = "search.json", "study.db", "trials.csv", "best.toml", "run"


@dataclass(frozen=True)
class Tuned:
    """A search as it stands: its trials, the best of them, and why it ended (empty where it has not)."""

    folder: Path
    search: Search
    trials: list[Trial]
    finished: str
    wall_seconds: float

    @property
    def best(self) -> Trial | None:
        """The best trial; None while nothing was measured."""
        return best_of(self.trials)

    @property
    def spec(self) -> RunSpec:
        """The best settings. Raises StorageError while nothing was measured."""
        if self.best is None:
            raise StorageError(
                f"no trial in {self.folder} has measured anything yet; {TABLE} there says how each ended, search on"
            )
        return self.search.settings_of(self.best.settings)

    @property
    def base_value(self) -> float | None:
        """The value of the base's own settings, where a trial had them."""
        asked = settings_text(self.search.spec)
        alike = [trial for trial in self.trials if trial.question == asked]
        told = best_of(alike)
        return None if told is None else told.value

    @property
    def spent(self) -> dict[str, Any]:
        """What the search has cost, to be set beside that of another model.

        ``trials`` counts those that were trained to an end of some kind; ``epochs`` and ``training_seconds`` are sums
        over all trials, those that were stopped included; the time of lost ones is not known.
        """
        counts = Counter(trial.outcome for trial in self.trials)
        return {
            "trials": n_trained(self.trials),
            "outcomes": dict(sorted(counts.items())),
            "epochs": sum(trial.epochs for trial in self.trials),
            "training_seconds": sum(trial.seconds for trial in self.trials),
            "wall_seconds": self.wall_seconds,
        }


def n_trained(trials: list[Trial]) -> int:
    """How many trials cost something and need not be made again."""
    return sum(trial.is_over and trial.outcome != "known" for trial in trials)


def tune(
    search: Search,
    folder: str | Path,
    *,
    seconds: float | None = None,
    workers: int = 1,
    watcher: SearchWatcher | None = None,
) -> Tuned:
    """Search in this folder until everything is tried, or as many trials or seconds are spent as there may be.

    A folder with a search in it is gone on with: finished trials count, those that a kill or a stop cut short are made
    again. ``seconds`` are of wall time, all calls on the folder together, and end training after an epoch. With one
    worker the same search gives the same trials bit for bit (CPU, same thread count), through a kill too; with more,
    each is a process of its own with its share of the threads. Files: ``search.json`` what was asked and what it
    cost, ``study.db`` the trials, ``trials.csv`` the same for people, ``best.toml`` the best settings in full.

    Raises StorageError if the folder holds another search or another search is at work there; ConfigError for a search
    without an end; Interrupted when asked to stop.
    """
    folder = Path(folder)
    if search.size is None and seconds is None:
        raise ConfigError("this search draws points without end; give --trials or --time")
    _check_writable(search.spec)
    bench = open_bench(search)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "search"):
        spent_before = _begin_or_go_on(folder, bench)
        watching = watcher or Unwatched()
        with open_store(folder / STORE, search) as store:
            store.abandon()
            desk = _Desk(folder, search, store, seconds, spent_before, watching)
            own = nullcontext(OwnHands(bench, store, watching))
            finished = ""
            try:
                with (
                    own if workers == 1 else hired(workers, folder / STORE, store, search, watching) as hands
                ):
                    finished = desk.search_with(hands)
            except Interrupted as stop:
                n_over = sum(trial.is_over for trial in store.trials())
                raise Interrupted(
                    f"the search was stopped; {n_over} trials are kept in {folder}, the same command goes on"
                ) from stop
            finally:
                done = desk.write(finished, store.trials())
            return done


def train_winner(done: Tuned, watcher: Watcher | None = None) -> Run:
    """Train the best settings in the search's folder and test them: the one time that the test part is opened.

    A run that is there is gone on with. Raises StorageError if it has other settings, because the search went on, or
    if somebody searches or trains in the folder.
    """
    place = done.folder / WINNER
    with locked(done.folder, "search"):
        if not (place / RUN_RECORD).exists():
            return run(done.spec, place, watcher=watcher)
        if settings_text(open_run(place).spec) != settings_text(done.spec):
            raise StorageError(
                f"{place} has other settings than are best now; train {done.folder / BEST} to another folder"
            )
        return resume(place, dataset=done.spec.dataset, watcher=watcher)


class _Desk:
    """Hands out trials in order, counts what they cost, and writes down what came of them."""

    def __init__(
        self,
        folder: Path,
        search: Search,
        store: TrialStore,
        seconds: float | None,
        spent_before: float,
        watcher: SearchWatcher,
    ) -> None:
        self.folder, self.search, self.store, self.watcher = folder, search, store, watcher
        self.seconds, self.spent_before = seconds, spent_before
        self.began = time.monotonic()
        there = store.trials()
        self.told = {trial.number for trial in there}
        watcher.found(there)

    def search_with(self, hands: Hands) -> str:
        """Have trials made until the search is over; returns why it is."""
        for stage in range(len(self.search.stages)):
            for sweep in range(len(self.search.stages[stage].sweeps)):
                if reason := self._sweep(hands, stage, sweep):
                    return reason
        return "all trials made"

    def _sweep(self, hands: Hands, stage: int, sweep: int) -> str:
        """Make every trial of a sweep; returns why the search is over, empty if it is not."""
        before = [trial for trial in self.store.trials() if trial.position < (stage, sweep, 0)]
        best = best_of(before)
        fixed = {} if best is None else best.settings
        while True:
            trials = self._news()
            place = self._next_place(stage, sweep, trials, hands)
            reason = "" if place is None else self._spent(trials, hands)
            if place is None or reason:
                if not hands.busy:
                    return reason
                # What is under way may turn out to cost nothing, and make room for another.
                hands.wait()
            elif not hands.has_room:
                hands.wait()
            else:
                number = max((trial.number for trial in trials), default=0)
                number = max(number, *hands.busy, 0) + 1
                hands.take(Task(number, stage, sweep, place, fixed, self._left()))

    def _news(self) -> list[Trial]:
        """All trials; those that have ended since the last look are told and written down."""
        trials = self.store.trials()
        new = [trial for trial in trials if trial.outcome != "running" and trial.number not in self.told]
        for trial in new:
            self.told.add(trial.number)
            self.watcher.ended(trial, best_of(trials))
        if new:
            self.write("", trials)
        return trials

    def _next_place(self, stage: int, sweep: int, trials: list[Trial], hands: Hands) -> int | None:
        plan = self.search.stages[stage]
        taken = {trial.place for trial in trials if trial.is_over and trial.position[:2] == (stage, sweep)}
        taken |= {task.place for task in hands.busy.values()}
        limit = len(plan.points(sweep)) if plan.is_listed else plan.trials
        place = next(number for number in range(len(taken) + 1) if number not in taken)
        return place if limit is None or place < limit else None

    def _spent(self, trials: list[Trial], hands: Hands) -> str:
        left = self._left()
        if left is not None and left <= 0:
            return "the time is spent"
        if self.search.trials is not None and n_trained(trials) + len(hands.busy) >= self.search.trials:
            return "the trials are spent"
        return ""

    def _wall_seconds(self) -> float:
        return self.spent_before + time.monotonic() - self.began

    def _left(self) -> float | None:
        return None if self.seconds is None else self.seconds - self._wall_seconds()

    def write(self, finished: str, trials: list[Trial]) -> Tuned:
        """Write down how the search stands."""
        done = Tuned(self.folder, self.search, trials, finished, self._wall_seconds())
        record = {
            **read_json(self.folder / RECORD),
            "finished": finished,
            "budget": {"trials": self.search.trials, "seconds": self.seconds},
            "spent": done.spent,
            "best": None,
        }
        if done.best is not None:
            record["best"] = {
                "trial": done.best.number,
                "value": done.best.value,
                "base_value": done.base_value,
                "best_epoch": done.best.best_epoch,
                "settings": done.best.settings,
            }
            write_text(self.folder / BEST, _best_toml(done, done.best))
        write_json(self.folder / RECORD, finite(record))
        write_text(self.folder / TABLE, _table(done))
        return done


def _begin_or_go_on(folder: Path, bench: Bench) -> float:
    """The seconds spent in this folder so far. Raises StorageError if it holds another search."""
    asked = {
        **{
            key: value if key != "base" else {k: v for k, v in value.items() if k != "dataset"}
            for key, value in bench.search.described().items()
        },
        "data": {"fingerprint": bench.dataset.fingerprint, "split": dict(bench.recipe)},
    }
    path = folder / RECORD
    if not path.exists():
        write_json(
            path,
            {
                "format": 1,
                "model": bench.search.spec.model_name,
                "metric": bench.search.metric,
                "dataset": {"name": bench.dataset.name, "path": bench.search.spec.dataset},
                "asked": finite(asked),
                "versions": {name: version(name) for name in ("alnico", "optuna", "torch")},
                "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                "spent": {"wall_seconds": 0.0},
            },
        )
        return 0.0
    record = read_json(path)
    for what, value in json.loads(json.dumps(finite(asked))).items():
        if record["asked"].get(what) != value:
            raise StorageError(
                f"{folder} holds another search: its {what} differ from what is asked now; choose another folder"
            )
    return float(record["spent"]["wall_seconds"])


def _check_writable(spec: RunSpec) -> None:
    """Raise ConfigError if a TOML file cannot say these settings."""
    plain = spec.resolved()
    again = read_spec(tomllib.loads(settings_toml(plain))).resolved()
    for group, value in plain.items():
        for name in value if isinstance(value, Mapping) else ():
            if again[group].get(name) != value[name]:
                raise ConfigError(
                    f"the base sets {group}.{name} to nothing, which the best settings could not say in a TOML file; "
                    "leave it out or give it a value"
                )


def _best_toml(done: Tuned, best: Trial) -> str:
    head = [
        f"# The best of {done.spent['trials']} trials by validation {done.search.metric}: {best.value:.6f},",
        f"# trial {best.number}, epoch {best.best_epoch}. The test part has not been opened.",
    ]
    return "\n".join(head) + "\n" + settings_toml(done.spec.resolved())


def _table(done: Tuned) -> str:
    """All trials as CSV."""
    searched = [name for stage in done.search.stages for name in stage.space]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            "trial",
            "stage",
            "outcome",
            done.search.metric,
            "best_epoch",
            "epochs",
            "seconds",
            *searched,
            "note",
        ]
    )
    for trial in done.trials:
        values = [json.dumps(trial.settings[name]) if name in trial.settings else "" for name in searched]
        stage = done.search.stages[trial.stage].name
        value = "" if trial.value is None else repr(trial.value)
        head = [trial.number, stage, trial.outcome, value, trial.best_epoch, trial.epochs]
        writer.writerow([*head, f"{trial.seconds:.3f}", *values, trial.note])
    return file.getvalue()
