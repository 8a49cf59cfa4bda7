"""What a run will cost, told before it is made: memory, time, whether they fit, and what would.

The run is tried out on copies of its data that grow from a few thousand users and items on, as far as memory and
patience allow. Where they reach the whole data, what was measured there is the answer; where they do not, each
quantity is carried on along the law that it follows: bytes grow with users and with items, ranking a user with the
items, searching neighbours with their square.
"""

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from alnico.contracts import TrainableRecommender, TrainingData
from alnico.data.dataset import Dataset
from alnico.data.split import Split
from alnico.data.splitting import split as split_dataset
from alnico.data.store import is_data_folder, read_manifest
from alnico.errors import ConfigError, DataError
from alnico.evaluation.metrics import parse_metric
from alnico.experiment.folder import default_recipe, open_for
from alnico.experiment.machine import free_bytes, peak_memory_bytes, resident_bytes
from alnico.experiment.probing import Copy, Probe, probe, warm_up
from alnico.experiment.run import check_parts, device_named
from alnico.experiment.spec import RunSpec, put, read_spec
from alnico.models import model_class
from alnico.training.batches import BatchSource

WARM_UP = (256, 512)
SMALLEST_COPY = 1024
GROWTH = 4
LEAST_COPIES = 3
HASTE = 3.0
"""Proposals are timed that much shorter than what was asked for."""
SAFE_SHARE = 0.8
"""Share of the free memory that trying out may take."""
COPIES_SHARE = 0.7
"""Share of the patience that growing copies may take where there is a budget; the rest is for proposals."""
PROPOSALS = 3
BYTES_PER_INTERACTION = 120
"""What reading, sorting and splitting an interaction takes at its height."""


@dataclass(frozen=True)
class Budget:
    """What a run may cost: bytes of the process at its height, seconds of an epoch with its validation."""

    memory_bytes: int | None = None
    epoch_seconds: float | None = None


@dataclass(frozen=True)
class Forecast:
    """What a run will cost.

    ``process_bytes`` are libraries, compiled kernels and data; ``phases`` the bytes beyond them at the height of
    building, training, validating and saving. ``epoch_seconds`` include the epoch's share of validations.
    ``tried_users`` and ``tried_items`` tell the largest data that it was measured on.
    """

    process_bytes: int
    phases: Mapping[str, int]
    peak_bytes: int
    build_seconds: float
    steps: int
    step_seconds: float
    train_seconds: float
    validation_seconds: float
    epoch_seconds: float
    tried_users: int
    tried_items: int

    def excess(self, budget: Budget) -> list[str]:
        """What of the budget it breaks: "memory", "time", both or none."""
        broken = []
        if budget.memory_bytes is not None and self.peak_bytes > budget.memory_bytes:
            broken.append("memory")
        if budget.epoch_seconds is not None and self.epoch_seconds > budget.epoch_seconds:
            broken.append("time")
        return broken


@dataclass(frozen=True)
class Proposal:
    """Changes in the manner of ``--set`` under which a run fits, and its cost with them."""

    changes: Mapping[str, Any]
    forecast: Forecast


@dataclass(frozen=True)
class Estimate:
    """A run's cost, the budget it was held against, what it breaks, and what would not break it."""

    model: str
    users: int
    items: int
    interactions: int
    max_epochs: int
    forecast: Forecast
    budget: Budget
    free_bytes: int
    excess: Sequence[str]
    proposals: Sequence[Proposal]
    tried_all: bool
    seconds: float


def estimate(spec: RunSpec, budget: Budget | None = None, patience: float = 20.0) -> Estimate:
    """What the run that ``spec`` describes will cost on this machine; writes nothing.

    ``patience`` is about how many seconds finding out may take: with less, smaller copies are measured and what
    lies beyond them is extrapolated. Without a memory budget the memory that is free is the limit. Settings that
    fit are looked for if the run does not.
    Raises ConfigError for a device other than the CPU, DataError if reading the data would not fit.
    """
    began = time.perf_counter()
    if device_named(spec.device).type != "cpu":
        raise ConfigError(
            f"estimates are made for the CPU only; found device = {spec.device!r}; with --set device=cpu you learn "
            "what the run would take there, in time and in main memory"
        )
    budget = budget or Budget()
    free = free_bytes() + resident_bytes()
    limit = Budget(min(budget.memory_bytes or free, free), budget.epoch_seconds)
    assert limit.memory_bytes is not None
    check_reading(spec, free)
    dataset = open_for(spec)
    split = split_dataset(dataset, spec.split or default_recipe(dataset))
    check_parts(split, issubclass(model_class(spec.model_name), TrainableRecommender))
    # Without a budget there is hardly ever anything to propose.
    share = 1.0 if budget == Budget() else COPIES_SHARE
    trials = Trials(spec, dataset, split, limit.memory_bytes, began + share * patience)
    forecast = trials.first_forecast(spec)
    excess = forecast.excess(limit)
    proposals: list[Proposal] = []
    tried_all = True
    if excess:
        proposals, tried_all = propose(spec, trials, limit, excess, began + patience)
    return Estimate(
        spec.model_name,
        dataset.n_users,
        dataset.n_items,
        len(split.train),
        spec.training.epochs,
        forecast,
        budget,
        free,
        excess,
        proposals,
        tried_all,
        time.perf_counter() - began,
    )


def check_reading(spec: RunSpec, free: int) -> None:
    """Raise DataError where the interactions alone are too many to be read."""
    if is_data_folder(Path(spec.dataset)):
        n = read_manifest(Path(spec.dataset)).interactions
        if n * BYTES_PER_INTERACTION > free:
            raise DataError(
                f"reading the {n} interactions of {spec.dataset} takes about "
                f"{n * BYTES_PER_INTERACTION / 2**30:.1f} GB but {free / 2**30:.1f} GB are free; take fewer"
            )


class Trials:
    """The copies of a run's data that its settings are tried on, and what carries their results to the whole."""

    def __init__(
        self, spec: RunSpec, dataset: Dataset, split: Split, limit_bytes: int, deadline: float
    ) -> None:
        self.train, self.valid = split.train, split.valid
        self.data = TrainingData(split.train, dataset.features, dataset.neighbours)
        self.whole = (dataset.n_users, dataset.n_items)
        # Compiles kernels and imports what is imported late: from here on the process is as large as a run's.
        warm = (min(WARM_UP[0], self.whole[0]), min(WARM_UP[1], self.whole[1]))
        warm_up(spec, Copy.of(self.data, self.valid, *warm))
        gc.collect()
        # Vectors are mapped from disk and count as soon as they are read.
        content = sum(modality.vectors.nbytes for modality in dataset.features.values())
        self.process_bytes = resident_bytes() + content
        self.copies: list[Copy] = []
        self.first: list[Probe] = []
        before = peak_memory_bytes()
        self._grow(spec, SAFE_SHARE * (limit_bytes - self.process_bytes), deadline)
        self._shrink(spec)
        after = peak_memory_bytes()
        if self.reached_all and after > before:
            # The system counts more than arrays: what was freed and not given back belongs to the process too.
            counted = self.process_bytes + max(self.first[-1].phases.values())
            self.process_bytes += max(0, int(after - counted))

    def _grow(self, spec: RunSpec, room: float, deadline: float) -> None:
        """Try larger and larger copies, and the whole as soon as that is sure to fit."""
        spent = 0.0
        for size in _sizes(*self.whole, spec.training.batch_size):
            if self.first and self._fits(self.whole, spent, room, deadline):
                size = self.whole
            elif self.first:
                # Below three there is no telling what grows with users, what with items and what not at all.
                until = deadline if len(self.first) >= LEAST_COPIES else math.inf
                if not self._fits(size, spent, room, until):
                    return
            began = time.perf_counter()
            copy = Copy.of(self.data, self.valid, *size)
            self.copies.append(copy)
            self.first.append(probe(spec, copy))
            spent = time.perf_counter() - began
            if self.reached_all:
                return

    def _shrink(self, spec: RunSpec) -> None:
        """Try smaller copies than the first where larger ones were too large to tell what grows with what."""
        users, items = self.copies[0].n_users, self.copies[0].n_items
        if not self.reached_all and len(self.copies) < LEAST_COPIES:
            smaller = [
                Copy.of(self.data, self.valid, *size)
                for size in ((-(-users // 2), items), (users, -(-items // 2)))
            ]
            self.first[:0] = [probe(spec, copy) for copy in smaller]
            self.copies[:0] = smaller

    def _fits(self, size: tuple[int, int], spent: float, room: float, deadline: float) -> bool:
        """Whether a copy of this size surely stays within memory and is likely to stay within time.

        Nothing in memory grows faster than users or items do; building grows with users or the square of items.
        """
        last = self.first[-1]
        users, items = size[0] / last.n_users, size[1] / last.n_items
        height = max(last.phases.values()) * max(users, items)
        seconds = spent + last.build_seconds * (max(users, items**2) - 1)
        return height <= room and time.perf_counter() + seconds <= deadline

    @property
    def reached_all(self) -> bool:
        """Whether the last copy is the data themselves."""
        return (self.copies[-1].n_users, self.copies[-1].n_items) == self.whole

    def first_forecast(self, spec: RunSpec) -> Forecast:
        """The cost of the run whose trials these are."""
        return self._carried(spec, self.first)

    def forecast(self, spec: RunSpec) -> Forecast:
        """The cost of a run with other settings on the same data."""
        copies = self.copies[-1:] if self.reached_all else self.copies
        return self._carried(spec, [probe(spec, copy, HASTE) for copy in copies])

    def _carried(self, spec: RunSpec, probes: Sequence[Probe]) -> Forecast:
        def law(value: Callable[[Probe], float], *terms: str) -> float:
            return carried([(p.n_users, p.n_items, value(p)) for p in probes], self.whole, terms)

        phases = {
            name: int(law(lambda p, name=name: p.phases[name], "users", "items"))  # type: ignore[misc]
            for name in probes[-1].phases
        }
        phases["validating"] += self._list_bytes(spec)
        steps = 0
        if issubclass(model_class(spec.model_name), TrainableRecommender):
            steps = len(BatchSource(self.train, spec.training.batch_size))
        step = law(lambda p: p.step_seconds, "users", "items")
        training = law(lambda p: p.start_seconds, "users", "items") + steps * step
        validation = law(lambda p: p.finish_seconds, "users", "items")
        validation += len(self.valid) * law(lambda p: p.user_seconds, "items")
        return Forecast(
            self.process_bytes,
            phases,
            self.process_bytes + max(phases.values()),
            law(lambda p: p.build_seconds, "users", "items", "pairs", "squares"),
            steps,
            step,
            training,
            validation,
            training + validation / spec.training.validate_every,
            probes[-1].n_users,
            probes[-1].n_items,
        )

    def _list_bytes(self, spec: RunSpec) -> int:
        """Lists of all users as they are ranked and put together: numbers of 8 bytes and scores of 4, twice."""
        longest = max(parse_metric(metric).cutoff for metric in spec.evaluation.metrics)
        return len(self.valid) * longest * 2 * (8 + 4)


def _sizes(n_users: int, n_items: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """Users and items, in turn more and more of them, up to all.

    The first hold a batch in which nobody and nothing stands twice.
    """
    users = min(n_users, max(SMALLEST_COPY, batch_size))
    items = min(n_items, max(SMALLEST_COPY, 2 * batch_size))
    yield users, items
    factor = 2
    while (users, items) != (n_users, n_items):
        if users < n_users:
            users = _grown(users, factor, n_users)
            yield users, items
        if items < n_items:
            items = _grown(items, factor, n_items)
            yield users, items
        factor = GROWTH


def _grown(count: int, factor: int, most: int) -> int:
    # What would be left for a last small step is taken at once.
    return most if factor * count * 1.5 >= most else factor * count


def carried(
    measured: Sequence[tuple[int, int, float]], whole: tuple[int, int], terms: Sequence[str]
) -> float:
    """What was measured at (users, items), carried on to ``whole``; a measurement of the whole itself is the answer.

    The law is a constant plus the ``terms`` ("users", "items", "pairs", "squares" of items), none of them
    negative, with the least relative error at what was measured.
    """
    users, items, value = measured[-1]
    if (users, items) == whole:
        return value
    rows, values = [], []
    for users, items, value in measured:
        shares = {
            "users": users / whole[0],
            "items": items / whole[1],
            "pairs": users / whole[0] * items / whole[1],
            "squares": (items / whole[1]) ** 2,
        }
        weight = 1 / max(value, 1e-9)
        rows.append([weight, *(weight * shares[term] for term in terms)])
        values.append(value * weight)
    return float(nnls(np.array(rows), np.array(values))[0].sum())


def propose(
    spec: RunSpec, trials: Trials, limit: Budget, excess: Sequence[str], deadline: float
) -> tuple[list[Proposal], bool]:
    """The first settings that fit, and whether all that come to mind were tried before the deadline."""
    found: list[Proposal] = []
    for changes in _thriftier(spec, excess):
        if len(found) == PROPOSALS:
            break
        if time.perf_counter() > deadline:
            return found, False
        forecast = trials.forecast(changed(spec, changes))
        if not forecast.excess(limit):
            found.append(Proposal(changes, forecast))
    return found, True


def _thriftier(spec: RunSpec, excess: Sequence[str]) -> list[dict[str, Any]]:
    """Changes one by one, the mildest first, then most of them together, then all."""
    model = [
        {f"model.{name}": value for name, value in change.items()}
        for change in spec.model_config_record().thriftier()
    ]
    size = spec.training.batch_size
    # Smaller batches need less memory, larger ones make fewer passes over the graphs.
    sizes = (size // 2, size // 4) if "memory" in excess else (2 * size, 4 * size)
    batch = [{"training.batch_size": other} for other in sizes if other >= 1]
    alone: list[dict[str, Any]] = [*model, *batch]
    together: list[dict[str, Any]] = [
        {name: value for change in chosen for name, value in change.items()}
        for chosen in ([*model[:-1], *batch[:1]], alone)
    ]
    return [*alone, *(changes for changes in together if changes not in alone)]


def changed(spec: RunSpec, changes: Mapping[str, Any]) -> RunSpec:
    """``spec`` with settings changed by their dotted keys. Raises ConfigError for an unknown one."""
    plain = spec.model_dump(exclude_unset=True)
    for key, value in changes.items():
        put(plain, key, value, key)
    return read_spec(plain)
