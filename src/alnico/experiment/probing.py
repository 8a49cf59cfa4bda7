"""Trying a run out: build its model on some data, train a few steps with the real loop, rank a few users."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.contracts import Batch, Recommender, Scorer, TrainableRecommender, TrainingData
from alnico.data.interactions import Interactions
from alnico.data.split import Targets
from alnico.experiment.metering import Meter
from alnico.experiment.run import validation
from alnico.experiment.small_copies import small_copy
from alnico.experiment.spec import RunSpec
from alnico.graphs.cache import Arrays, GraphCache
from alnico.models import model_class
from alnico.randomness import rng
from alnico.training.batches import BatchSource
from alnico.training.trainer import fit

LEAST_STEPS = 3
STEP_SECONDS = 1.2
"""Real steps are timed for about so long, but at least ``LEAST_STEPS`` of them."""
RANKED_USERS = 1024
"""Users of one block of a ranking."""
RANKING_SECONDS = 0.6


@dataclass
class _Made:
    """A graph that was made: how long it took, what it weighs, and the height of memory in the building it was for."""

    seconds: float
    kept_bytes: int
    peak_bytes: int = 0


@dataclass(frozen=True)
class LedgerCache(GraphCache):
    """Remembers graphs in memory and what each of them cost, so that later askers can be charged with it."""

    costs: dict[int, _Made] = field(default_factory=dict)
    asked: list[_Made] = field(default_factory=list)
    fresh: list[_Made] = field(default_factory=list)

    def get(
        self,
        name: str,
        version: int,
        arguments: Mapping[str, str | int | float | bool | None],
        inputs: Sequence[NDArray[np.generic]],
        make: Callable[[], Arrays],
    ) -> Arrays:
        """What ``make`` gives, made once."""

        def timed() -> Arrays:
            began = time.perf_counter()
            arrays = make()
            cost = _Made(time.perf_counter() - began, sum(array.nbytes for array in arrays.values()))
            # The arrays live as long as this cache, so their identity is theirs alone.
            self.costs[id(arrays)] = cost
            self.fresh.append(cost)
            return arrays

        arrays = super().get(name, version, arguments, inputs, timed)
        self.asked.append(self.costs[id(arrays)])
        return arrays

    def open_page(self) -> None:
        """Forget who asked for what so far; the graphs stay."""
        self.asked.clear()
        self.fresh.clear()


@dataclass(frozen=True)
class Copy:
    """Data to try a run on: all of them or fewer users and items; graphs are made once for all that is tried."""

    data: TrainingData
    valid: Targets
    ledger: LedgerCache

    @classmethod
    def of(cls, data: TrainingData, valid: Targets, n_users: int, n_items: int) -> "Copy":
        """``data`` in this many users and items; see ``small_copy``."""
        small, held_out = small_copy(data, valid, n_users, n_items)
        ledger = LedgerCache()
        return cls(
            TrainingData(small.interactions, small.features, small.neighbours, ledger), held_out, ledger
        )

    @property
    def n_users(self) -> int:
        """Users in it."""
        return self.data.interactions.n_users

    @property
    def n_items(self) -> int:
        """Items in it."""
        return self.data.interactions.n_items


@dataclass(frozen=True)
class Probe:
    """What a run cost on data of ``n_users`` and ``n_items``.

    ``phases``: bytes at the height of building, training, validating and saving, beyond what the process held
    before. ``build_seconds`` include all graphs; ``start_seconds`` pass in an epoch before its first step (edges
    and negatives drawn); ``finish_seconds`` between its last step and the ranking; ``user_seconds`` rank and
    measure one user.
    """

    n_users: int
    n_items: int
    phases: Mapping[str, float]
    build_seconds: float
    start_seconds: float
    step_seconds: float
    finish_seconds: float
    user_seconds: float


def warm_up(spec: RunSpec, copy: Copy) -> None:
    """Train an epoch on this copy and validate: kernels are compiled, late imports made, and nothing is measured."""
    model = model_class(spec.model_name).build(spec.model_config_record(), copy.data, rng(spec.seed, "model"))
    validate = validation(spec.evaluation.metrics, copy.data.interactions, copy.valid)
    if not isinstance(model, TrainableRecommender):
        validate(model.scorer())
        return
    batches = BatchSource(copy.data.interactions, spec.training.batch_size)
    plan = spec.training.model_copy(update={"epochs": 1})

    def unjudged(scorer: Scorer) -> Mapping[str, float]:
        # A copy so small may hold nobody to validate on.
        return {**validate(scorer), spec.training.metric: 0.0}

    fit(model, batches, unjudged, plan, seed=spec.seed, device=torch.device("cpu"))


def probe(spec: RunSpec, copy: Copy, haste: float = 1.0) -> Probe:
    """Build the model of ``spec`` on this copy, train some steps and rank some users; nothing is written.

    Steps and rankings are timed for a shorter while with ``haste`` above 1.
    """
    copy.ledger.open_page()
    began = time.perf_counter()
    train = copy.data.interactions
    with Meter() as building:
        model = model_class(spec.model_name).build(
            spec.model_config_record(), copy.data, rng(spec.seed, "model")
        )
        batches = (
            _Trial(train, spec.training.batch_size, haste)
            if isinstance(model, TrainableRecommender)
            else None
        )
    build_seconds = time.perf_counter() - began
    for cost in copy.ledger.fresh:
        cost.peak_bytes = building.peak
    borrowed = [cost for cost in _once(copy.ledger.asked) if cost not in copy.ledger.fresh]
    held = building.kept + sum(cost.kept_bytes for cost in borrowed)
    height = max([building.peak, held, *(cost.peak_bytes for cost in borrowed)])
    judge = _Judge(spec, copy, haste)
    phases = {"building": float(height)}
    if batches is None:
        assert not isinstance(model, TrainableRecommender)
        phases.update(_finish(model, judge, held))
        start, step = 0.0, 0.0
    else:
        assert isinstance(model, TrainableRecommender)
        phases.update(_train(model, batches, judge, spec, held))
        start, step = batches.start_seconds, fmean(batches.step_seconds)
    return Probe(
        train.n_users,
        train.n_items,
        phases,
        build_seconds + sum(cost.seconds for cost in borrowed),
        start,
        step,
        judge.finish_seconds,
        judge.user_seconds,
    )


def _once(costs: Sequence[_Made]) -> list[_Made]:
    return list({id(cost): cost for cost in costs}.values())


def _finish(model: Recommender, judge: "_Judge", held: int) -> dict[str, float]:
    """Heights of a model that is not trained."""
    with Meter() as ranking:
        judge.start()
        scorer = model.scorer()
        judge.rank_first(scorer)
    judge.rank_more(scorer)
    state = _state_bytes(scorer)
    return {"validating": float(held + ranking.peak), "saving": float(held + ranking.kept + state)}


def _train(
    model: TrainableRecommender, batches: "_Trial", judge: "_Judge", spec: RunSpec, held: int
) -> dict[str, float]:
    """Heights of training, of validating beside the last best model, and of writing both to disk."""
    best: list[int] = []

    def validate(scorer: Scorer) -> Mapping[str, float]:
        judge.rank_first(scorer)
        batches.judging.stop()
        judge.rank_more(scorer)
        best.append(_state_bytes(scorer))
        return {spec.training.metric: 0.0}

    plan = spec.training.model_copy(update={"epochs": 1})
    batches.before_last = judge.start
    batches.began = time.perf_counter()
    batches.stepping.start()
    try:
        fit(model, batches, validate, plan, seed=spec.seed, device=torch.device("cpu"))
    finally:
        batches.stepping.stop()
        batches.judging.stop()
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    state = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    # Beside the best model so far, which stays in memory; Adam keeps two numbers per parameter.
    between = held + batches.stepping.kept + best[0]
    return {
        "training": float(held + best[0] + batches.stepping.peak),
        "validating": float(between + batches.judging.peak),
        # A file is put together in memory before it is written: the new best model's, then the checkpoint.
        "saving": float(between + max(2 * best[0], state + 2 * parameters)),
    }


def _state_bytes(scorer: Scorer) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in scorer.state().tensors.values())


class _Trial(BatchSource):
    """A first batch as wide as a batch can be, for memory, then real ones for a short while, for speed."""

    def __init__(self, train: Interactions, batch_size: int, haste: float) -> None:
        super().__init__(train, batch_size)
        self.enough_seconds = STEP_SECONDS / haste
        self.train = train
        self.stepping, self.judging = Meter(), Meter()
        self.began = 0.0
        self.start_seconds = 0.0
        self.step_seconds: list[float] = []
        self.before_last: Callable[[], None] = lambda: None

    def epoch(self, rng: np.random.Generator, device: torch.device) -> Iterator[Batch]:
        """The batches of the trial; the meters run through the first and from the last on."""
        real = super().epoch(rng, device)
        first = next(real)
        self.start_seconds = time.perf_counter() - self.began
        yield self._widest()
        self.stepping.stop()
        for batch in chain([first], real):
            began = time.perf_counter()
            yield batch
            self.step_seconds.append(time.perf_counter() - began)
            if len(self.step_seconds) >= LEAST_STEPS and sum(self.step_seconds) > self.enough_seconds:
                break
        self.judging.start()
        self.before_last()

    def _widest(self) -> Batch:
        """As many different users and items as fit into a batch."""
        size = min(self.batch_size, len(self.users))
        users = torch.arange(size) % self.train.n_users
        items = torch.arange(2 * size) % self.train.n_items
        return Batch(users, items[:size], items[size:], torch.ones(size))


class _Judge:
    """Validates a scorer on some users, with a clock beside it."""

    def __init__(self, spec: RunSpec, copy: Copy, haste: float) -> None:
        self.enough_seconds = RANKING_SECONDS / haste
        self.metrics, self.train, self.valid = spec.evaluation.metrics, copy.data.interactions, copy.valid
        self.began = 0.0
        self.finish_seconds = 0.0
        self.user_seconds = 0.0
        self._spent: list[tuple[float, int]] = []

    def start(self) -> None:
        """The last step is over."""
        self.began = time.perf_counter()

    def rank_first(self, scorer: Scorer) -> None:
        """Rank a single user, with whatever the scorer prepares once, and then a block."""
        self._rank(scorer, 0, 1)
        self.finish_seconds = time.perf_counter() - self.began
        self._timed_block(scorer, 0)

    def rank_more(self, scorer: Scorer) -> None:
        """Rank further blocks for a short while."""
        start = RANKED_USERS
        while start < len(self.valid) and sum(seconds for seconds, _ in self._spent) < self.enough_seconds:
            self._timed_block(scorer, start)
            start += RANKED_USERS
        users = sum(count for _, count in self._spent)
        self.user_seconds = sum(seconds for seconds, _ in self._spent) / max(users, 1)

    def _timed_block(self, scorer: Scorer, start: int) -> None:
        began = time.perf_counter()
        count = self._rank(scorer, start, start + RANKED_USERS)
        self._spent.append((time.perf_counter() - began, count))

    def _rank(self, scorer: Scorer, start: int, end: int) -> int:
        offsets = self.valid.offsets
        users = self.valid.users[start:end]
        low, high = offsets[start], offsets[start + len(users)]
        part = Targets(users, offsets[start : start + len(users) + 1] - low, self.valid.items[low:high])
        validation(self.metrics, self.train, part)(scorer)
        return len(users)
