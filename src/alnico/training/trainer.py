"""The one training loop."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import torch
from torch.optim import Adam

from alnico.contracts import Recommender, Scorer, ScorerState, Step, TrainableRecommender
from alnico.errors import AlnicoError, ConfigError, DivergedError, nearest
from alnico.kernels.memory import LEAST_REGION, keep_freed_memory, use_large_pages
from alnico.kernels.precision import computing_in
from alnico.randomness import reseed_torch, rng
from alnico.training.batches import BatchSource
from alnico.training.checkpoint import (
    Progress,
    load_checkpoint,
    load_scorer_state,
    save_checkpoint,
    save_scorer,
)
from alnico.training.history import Journal
from alnico.training.plan import TrainPlan

Validate = Callable[[Scorer], Mapping[str, float]]


class Interrupted(AlnicoError):
    """The user or the machine asked training to stop; what was reached is saved."""


@runtime_checkable
class Watcher(Protocol):
    """Someone who wants to know how training goes."""

    def step(self, epoch: int, done: int, total: int) -> None:
        """``done`` of ``total`` steps of this epoch are made."""

    def epoch(self, row: Mapping[str, float], progress: Progress) -> str | None:
        """An epoch is over; ``row`` is its line of the history. A text ends training, and is why it ended."""


class Silent:
    """A watcher that says nothing."""

    def step(self, epoch: int, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, row: Mapping[str, float], progress: Progress) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Desk:
    """Where a run keeps its papers; without a folder nothing is written."""

    folder: Path | None = None
    settings_hash: str = ""

    @property
    def checkpoint(self) -> Path | None:
        """The latest state."""
        return None if self.folder is None else self.folder / "checkpoint.safetensors"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a state to go on from."""
        return self.checkpoint is not None and self.checkpoint.exists()

    @property
    def best(self) -> Path | None:
        """The finished model of the best epoch."""
        return None if self.folder is None else self.folder / "scorer.safetensors"

    def journal(self, name: str) -> Journal:
        """An append-only file of rows."""
        return Journal(None if self.folder is None else self.folder / name)


@dataclass(frozen=True)
class Fitted:
    """The finished model of the best epoch and how training went."""

    scorer: ScorerState
    progress: Progress


def fit(
    model: Recommender,
    batches: BatchSource | None,
    validate: Validate,
    plan: TrainPlan,
    *,
    seed: int,
    device: torch.device,
    desk: Desk | None = None,
    watcher: Watcher | None = None,
    resume: bool = False,
) -> Fitted:
    """Train until ``plan`` says stop; returns the model of the epoch that validated best.

    ``validate`` gives metric values by name for a scorer; ``plan.metric`` chooses among them. A model without
    parameters is finished at once. With a desk that has a folder, each epoch ends with an atomic checkpoint, and
    ``resume`` goes on from it to the same bits on the CPU at the same thread count. A ``watcher`` may end training
    after any epoch from the first validated one on; its reason is then why training finished.

    Raises DivergedError when a loss term is not finite, Interrupted on Ctrl-C or SIGTERM (the last whole epoch
    is saved).
    """
    desk = desk or Desk()
    if not isinstance(model, TrainableRecommender):
        state = model.scorer().state()
        if desk.best is not None:
            save_scorer(desk.best, state)
        return Fitted(state, Progress(finished="nothing to train"))
    if batches is None:
        raise ConfigError("a trainable model needs a source of batches")
    keep_freed_memory()
    return _Loop(model.to(device), batches, validate, plan, seed, device, desk, watcher or Silent()).run(
        resume
    )


class _Loop:
    def __init__(
        self,
        model: TrainableRecommender,
        batches: BatchSource,
        validate: Validate,
        plan: TrainPlan,
        seed: int,
        device: torch.device,
        desk: Desk,
        watcher: Watcher,
    ) -> None:
        self.model, self.batches, self.validate, self.plan = model, batches, validate, plan
        self.seed, self.device, self.desk, self.watcher = seed, device, desk, watcher
        self.optimiser = _optimiser(model, plan)
        self.epochs, self.steps = desk.journal("history.jsonl"), desk.journal("steps.jsonl")
        self.progress = Progress()
        self.best: ScorerState | None = None
        self.asked_to_stop = False
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        largest = max(parameter.numel() * parameter.element_size() for parameter in parameters)
        self.has_large_tables = device.type == "cpu" and largest >= LEAST_REGION

    def run(self, resume: bool) -> Fitted:
        if resume and self.desk.checkpoint is not None and self.desk.checkpoint.exists():
            self._pick_up()
        else:
            self._start_afresh()
        with on_signal(self._ask_to_stop):
            while not self.progress.finished:
                self._epoch(self.progress.epoch + 1)
        return Fitted(self._best_state(), self.progress)

    def _start_afresh(self) -> None:
        # Rows that an earlier run left in this folder are not of this one.
        self.epochs.rewind(0)
        self.steps.rewind(0)
        self._save()

    def _pick_up(self) -> None:
        assert self.desk.checkpoint is not None
        self.progress = load_checkpoint(
            self.desk.checkpoint, self.model, self.optimiser, self.desk.settings_hash
        )
        self.epochs.rewind(self.progress.epoch)
        self.steps.rewind(self.progress.epoch)

    def _epoch(self, epoch: int) -> None:
        started = time.perf_counter()
        stream = rng(self.seed, "epoch", epoch)
        reseed_torch(self.seed, "torch", epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * self.plan.learning_rate_decay ** ((epoch - 1) / 50)
        self.model.train()
        self.model.begin_epoch(epoch, stream)
        totals: dict[str, float] = {}
        for number, batch in enumerate(self.batches.epoch(stream, self.device), start=1):
            if self.asked_to_stop:
                self._leave(epoch)
            with computing_in(self.plan.precision, self.device):
                step = self.model.loss_terms(batch)
            terms = self._descend(step, epoch)
            if number == 1 and self.has_large_tables:
                # By now all tables are there that a step needs: their places are used again by all others.
                use_large_pages()
            self.model.observe(step.facts)
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value
            self.steps.add({"epoch": epoch, "step": self.progress.steps + number, **terms, **step.facts})
            self.watcher.step(epoch, number, len(self.batches))
        trained = time.perf_counter()
        row: dict[str, float] = {"epoch": epoch}
        row.update({f"loss/{name}": total / len(self.batches) for name, total in totals.items()})
        row.update(self.model.end_epoch(epoch))
        row["train_seconds"] = trained - started
        self._judge(epoch, row)
        row["epoch_seconds"] = time.perf_counter() - started
        self.epochs.add(row)
        self.steps.flush()
        self.epochs.flush()
        self._save()
        reason = self.watcher.epoch(row, self.progress)
        # Before the first validation there is no model to end with.
        if reason and not self.progress.finished and self.progress.best_value is not None:
            self.progress = replace(self.progress, finished=reason)
            self._save()

    def _descend(self, step: Step, epoch: int) -> dict[str, float]:
        values = {name: float(term.detach()) for name, term in step.terms.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise DivergedError(epoch, name, value)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack([term.float() for term in step.terms.values()]).sum().backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return values

    def _judge(self, epoch: int, row: dict[str, float]) -> None:
        progress = replace(self.progress, epoch=epoch, steps=self.progress.steps + len(self.batches))
        last = epoch >= self.plan.epochs
        if epoch % self.plan.validate_every == 0 or last:
            self.model.eval()
            with torch.no_grad():
                scorer = self.model.scorer()
                values = self.validate(scorer)
            if self.plan.metric not in values:
                raise ConfigError(
                    f"training.metric {self.plan.metric!r} is not among the validation metrics"
                    f"{nearest(self.plan.metric, values)}"
                )
            row.update({f"valid/{name}": value for name, value in values.items()})
            value = values[self.plan.metric]
            if not math.isfinite(value):
                raise ConfigError(
                    f"the validation metric {self.plan.metric!r} is {value}: there is no user to validate on; "
                    "choose a split that holds out validation items"
                )
            if progress.best_value is None or value > progress.best_value:
                progress = replace(progress, best_value=value, best_epoch=epoch, failures=0)
                self.best = scorer.state()
                if self.desk.best is not None:
                    save_scorer(self.desk.best, self.best)
            else:
                progress = replace(progress, failures=progress.failures + 1)
        if progress.failures > self.plan.patience:
            progress = replace(progress, finished="no improvement")
        elif last:
            progress = replace(progress, finished="all epochs done")
        self.progress = progress

    def _save(self) -> None:
        if self.desk.checkpoint is not None:
            save_checkpoint(
                self.desk.checkpoint, self.model, self.optimiser, self.progress, self.desk.settings_hash
            )

    def _best_state(self) -> ScorerState:
        if self.best is not None:
            return self.best
        assert self.desk.best is not None
        return load_scorer_state(self.desk.best)

    def _ask_to_stop(self) -> None:
        self.asked_to_stop = True

    def _leave(self, epoch: int) -> None:
        if self.desk.folder is None:
            raise Interrupted(f"stopped in epoch {epoch}; nothing is saved, because this run has no folder")
        where = f"go on with --resume {self.desk.folder}"
        raise Interrupted(f"stopped in epoch {epoch}; the {epoch - 1} before it are saved, {where}")


def check_rates(model: TrainableRecommender, plan: TrainPlan) -> None:
    """Raise ConfigError if the plan gives a learning rate to a parameter group that the model has not."""
    groups = model.parameter_groups()
    for name in plan.learning_rates:
        if name not in groups:
            raise ConfigError(
                f"training.learning_rates names no parameter group of this model: {name!r}{nearest(name, groups)}"
            )


def _optimiser(model: TrainableRecommender, plan: TrainPlan) -> Adam:
    check_rates(model, plan)
    groups = model.parameter_groups()
    described: list[dict[str, Any]] = []
    for name, parameters in groups.items():
        relative = model.relative_rates().get(name, 1.0)
        rate = plan.learning_rates.get(name, plan.learning_rate * relative)
        described.append({"params": list(parameters), "lr": rate, "base_lr": rate})
    # One pass over each table instead of one per operation.
    fused = all(group["params"][0].device.type in {"cpu", "cuda"} for group in described)
    return Adam(described, weight_decay=plan.weight_decay, fused=fused)


@contextmanager
def on_signal(react: Callable[[], None]) -> Iterator[None]:
    """Call ``react`` instead of dying on SIGINT and SIGTERM, and then whoever reacted to them around this.

    Only the main thread can arrange that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    handler = _Handler(react, before[signal.SIGINT])
    for number in numbers:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class _Handler:
    """Reacts to a signal; one within another passes it on, because what is around has to end as well."""

    def __init__(self, react: Callable[[], None], outer: object) -> None:
        self.react, self.outer = react, outer

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.react()
        if isinstance(self.outer, _Handler):
            self.outer(number, frame)
