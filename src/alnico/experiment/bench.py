"""One trial of a search: a point is chosen, a model trained with it, and what validation says stored.

A trial cannot test: it is handed the training and the validation part alone.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from alnico.data.dataset import Dataset
from alnico.data.interactions import Interactions
from alnico.data.split import Targets
from alnico.data.splitting import split
from alnico.errors import ConfigError, DataError, DivergedError, UnsupportedError
from alnico.experiment.folder import default_recipe, finite, open_for
from alnico.experiment.run import build_model, check_validation, device_of, train_model, validation
from alnico.experiment.space import Point, Search
from alnico.experiment.spec import RunSpec
from alnico.experiment.trials import Outcome, Running, Task, Trial, TrialStore
from alnico.models import restore
from alnico.training.checkpoint import Progress
from alnico.training.trainer import Fitted, Interrupted, on_signal

GIVEN_UP, OUT_OF_TIME = "given up", "out of time"
"""Why a trial's training ended, where that was not its own doing."""


@runtime_checkable
class SearchWatcher(Protocol):
    """Someone who wants to know how a search goes."""

    def found(self, trials: Sequence[Trial]) -> None:
        """These trials were there already."""

    def began(self, number: int, stage: str, settings: Point) -> None:
        """A trial begins with these changes to the base."""

    def epoch(self, number: int, value: float | None, progress: Progress) -> None:
        """One of its epochs is over; ``value`` is what validation said, if it was asked."""

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """It has ended; ``best`` is the best trial so far."""


class Unwatched:
    """A watcher of a search that says nothing."""

    def found(self, trials: Sequence[Trial]) -> None:
        """Nothing."""

    def began(self, number: int, stage: str, settings: Point) -> None:
        """Nothing."""

    def epoch(self, number: int, value: float | None, progress: Progress) -> None:
        """Nothing."""

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """Nothing."""


@runtime_checkable
class Hands(Protocol):
    """Who makes trials: this process, or others."""

    @property
    def has_room(self) -> bool:
        """Whether another trial can be taken on now."""

    def take(self, task: Task) -> None:
        """Make this trial, now or as soon as may be."""

    def wait(self) -> None:
        """Return when a trial has ended."""

    @property
    def busy(self) -> Mapping[int, Task]:
        """Trials that were taken and have not ended, by number."""


@dataclass(frozen=True)
class Bench:
    """What every trial of a search needs: the data, a training part, a validation part. There is no test part."""

    search: Search
    dataset: Dataset
    train: Interactions
    valid: Targets
    device: torch.device
    recipe: Mapping[str, Any]


def settings_text(spec: RunSpec) -> str:
    """The settings as text, defaults filled in: on the same data and machine, equal texts are equal trainings."""
    settings = {key: value for key, value in spec.resolved().items() if key != "dataset"}
    return json.dumps(finite(settings), sort_keys=True)


def open_bench(search: Search) -> Bench:
    """Read the data and split them. Raises DataError if there is nothing to validate on."""
    device = device_of(search.spec.device)
    dataset = open_for(search.spec)
    parts = split(dataset, search.spec.split or default_recipe(dataset))
    check_validation(parts.valid)
    return Bench(search, dataset, parts.train, parts.valid, device, parts.recipe)


class _Reporter:
    """Tells the store and whoever watches how a trial goes, and ends it early."""

    def __init__(self, running: Running, metric: str, seconds: float | None, watcher: SearchWatcher) -> None:
        self.running, self.metric, self.watcher = running, metric, watcher
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.progress = Progress()

    def step(self, epoch: int, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, row: Mapping[str, float], progress: Progress) -> str | None:
        """Pass the validation value on; returns why training should end, if it should."""
        self.progress = progress
        value = row.get(f"valid/{self.metric}")
        self.watcher.epoch(self.running.begun.number, value, progress)
        if value is not None and self.running.report(progress.epoch, value):
            return GIVEN_UP
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return OUT_OF_TIME
        return None


def make_trial(bench: Bench, store: TrialStore, task: Task, watcher: SearchWatcher) -> None:
    """Choose a point, train with it, and store how it went.

    Settings that the model refuses and trainings that diverge are outcomes; a refusal before anything was measured is
    raised, for then it is likely the search that is wrong. Raises Interrupted on Ctrl-C or SIGTERM, with the trial
    stored as stopped.
    """
    running = store.begin(task)
    begun = running.begun
    watcher.began(begun.number, bench.search.stages[task.stage].name, begun.settings)
    started = time.perf_counter()
    reporter = _Reporter(running, bench.search.metric, task.seconds, watcher)

    def end(outcome: Outcome, value: float | None = None, **facts: Any) -> None:
        progress = reporter.progress
        told = {
            "best_epoch": progress.best_epoch,
            "epochs": progress.epoch,
            "seconds": time.perf_counter() - started,
            **facts,
        }
        running.end(outcome, value, **told)

    question = ""
    asked_to_stop: list[bool] = []
    try:
        spec = bench.search.settings_of(begun.settings)
        question = settings_text(spec)
        twin = _twin(store, question)
        if twin is not None:
            end(
                "known",
                twin.value if twin.is_measured else None,
                best_epoch=twin.best_epoch,
                question=question,
                note=f"trial {twin.number}",
            )
            return
        with on_signal(lambda: asked_to_stop.append(True)):
            fitted = _train(bench, spec, reporter)
    except DivergedError as problem:
        end("diverged", question=question, note=str(problem))
    except (ConfigError, DataError, UnsupportedError) as problem:
        # The data were read and split without complaint, so it is the settings that do not suit them.
        if not any(trial.is_measured for trial in store.trials()):
            end("stopped", question=question, note=str(problem))
            raise
        end("refused", question=question, note=str(problem))
    except Interrupted:
        end("stopped", reporter.progress.best_value, question=question, note="asked to stop")
        raise
    else:
        outcome: Outcome = "complete"
        if fitted.progress.finished == GIVEN_UP:
            outcome = "pruned"
        elif fitted.progress.finished == OUT_OF_TIME:
            outcome = "stopped"
        end(outcome, _value(bench, spec, fitted), question=question, note=fitted.progress.finished)
        if asked_to_stop:
            # In the last step, when training was ending anyway.
            raise Interrupted("asked to stop after a trial")


def _twin(store: TrialStore, question: str) -> Trial | None:
    """A trial with settings that mean the same, over already."""
    alike = (trial for trial in store.trials() if trial.question == question)
    return next((trial for trial in alike if trial.is_over and trial.outcome != "known"), None)


def _train(bench: Bench, spec: RunSpec, reporter: _Reporter) -> Fitted:
    model = build_model(spec, bench.dataset, bench.train)
    return train_model(spec, model, bench.train, bench.valid, device=bench.device, watcher=reporter)


def _value(bench: Bench, spec: RunSpec, fitted: Fitted) -> float:
    if fitted.progress.best_value is not None:
        return fitted.progress.best_value
    # A model without parameters was not validated on its way.
    measure = validation(spec.evaluation.metrics, bench.train, bench.valid)
    return measure(restore(fitted.scorer).to(bench.device))[bench.search.metric]


class OwnHands:
    """Makes trials in this process, one after the other."""

    busy: Mapping[int, Task] = {}
    has_room = True

    def __init__(self, bench: Bench, store: TrialStore, watcher: SearchWatcher) -> None:
        self.bench, self.store, self.watcher = bench, store, watcher

    def take(self, task: Task) -> None:
        """Make this trial now."""
        make_trial(self.bench, self.store, task, self.watcher)

    def wait(self) -> None:
        """Nothing: whatever was taken has ended."""
