"""Epochs of the real training loop, measured with the yardstick in between."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from alnico.contracts import TrainableRecommender
from alnico.kernels.precision import Precision
from alnico.models import model_class
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.cues import ModalityCues
from alnico.ranking import Seen
from alnico.training.batches import BatchSource
from alnico.training.plan import TrainPlan
from alnico.training.trainer import Silent, fit
from benchmarks import naive
from benchmarks.timing import Row, once, timed
from benchmarks.worlds import World, vectors
from benchmarks.yardstick import Yardstick

BATCH = 1024
PAPER: dict[str, Any] = {"preset": "paper", "neighbours": 20}
PROJECTED: dict[str, Any] = {"preset": "projected", "neighbours": 20}


class Clock(Silent):
    """Notes how long the training part of each epoch took, and when each step was over."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.steps: list[float] = []

    def step(self, epoch: int, done: int, total: int) -> None:
        """A step is over."""
        self.steps.append(time.perf_counter())

    def epoch(self, row: Mapping[str, float], progress: object) -> None:
        """An epoch is over."""
        self.seconds.append(row["train_seconds"])


def epoch_seconds(
    model: TrainableRecommender,
    batches: BatchSource,
    clock: Clock | None = None,
    *,
    precision: Precision = "float32",
    device: torch.device | None = None,
) -> float:
    """One epoch of the real loop, validation left out; on the CPU unless said."""
    clock = clock or Clock()
    plan = TrainPlan(epochs=1, batch_size=batches.batch_size, metric="none", precision=precision)
    where = device or torch.device("cpu")
    fit(model, batches, lambda scorer: {"none": 0.0}, plan, seed=0, device=where, watcher=clock)
    return clock.seconds[0]


def magnet(world: World, settings: Mapping[str, Any]) -> TrainableRecommender:
    """MAGNET on this world."""
    built = model_class("magnet").build(MagnetConfig(**settings), world.data, np.random.default_rng(0))
    assert isinstance(built, TrainableRecommender)
    return built


def measured(
    models: Mapping[str, TrainableRecommender], batches: BatchSource, repeats: int
) -> dict[str, float]:
    """Median seconds per epoch, the models taking turns."""
    found: dict[str, list[float]] = {name: [] for name in models}
    for number in range(repeats + 1):
        for name, model in models.items():
            seconds = epoch_seconds(model, batches)
            if number:
                found[name].append(seconds)
    return {name: float(np.median(column)) for name, column in found.items()}


def lightgcn(world: World) -> list[Row]:
    """An epoch of LightGCN, batch 2048, beside research code."""
    plain = naive.LightGcn(world.train, 64, 3)
    kind = model_class("lightgcn")
    ours = kind.build(kind.Config(), world.data, np.random.default_rng(0))
    assert isinstance(ours, TrainableRecommender)
    batches = BatchSource(world.train, 2048)
    epoch_seconds(ours, batches)
    fast = float(np.median([epoch_seconds(ours, batches) for _ in range(3)]))
    slow = once(partial(plain.epoch, 2048, np.random.default_rng(0)))
    return [
        Row(
            "LightGCN epoch, 3 layers, batch 2048",
            fast,
            {"naive": slow / fast},
            "6 x naive",
            slow / fast >= 6,
        )
    ]


def epochs(world: World, repeats: int = 2) -> list[Row]:
    """MAGNET's epochs in yardsticks."""
    asked: list[tuple[str, dict[str, Any], float]] = [
        ("single view, paper", {**PAPER, "views": "single"}, 2.5),
        ("single view, paper, Hadamard head", {**PAPER, "views": "single", "head": "hadamard"}, 2.5),
        ("single view, projected", {**PROJECTED, "views": "single"}, 2.5),
        ("dual view, paper (r = 150), full propagation", PAPER, 16),
        ("dual view, paper, induced_cap = 20", {**PAPER, "induced_cap": 20}, 4),
        ("dual view, paper, fanout = 20", {**PAPER, "fanout": 20}, 4),
        ("dual view, projected (3 layers, r = 10)", PROJECTED, 16),
        ("dual view, projected, fanout = 20", {**PROJECTED, "fanout": 20}, 4),
    ]
    batches = BatchSource(world.train, BATCH)
    models: dict[str, TrainableRecommender] = {"ruler": Yardstick(world.data)}
    models.update({name: magnet(world, settings) for name, settings, _ in asked})
    found = measured(models, batches, repeats)
    ruler = found["ruler"]
    rows = [Row(f"yardstick epoch, batch {BATCH}", ruler)]
    for name, _, most in asked:
        ratio = found[name] / ruler
        rows.append(
            Row(
                f"MAGNET epoch, {name}",
                found[name],
                {"yardstick": ratio},
                f"at most {most:g} yardsticks",
                ratio <= most,
            )
        )
    return rows


def wide_features(world: World) -> list[Row]:
    """MAGNET's epochs with random 4096-d and 384-d vectors; what share of them the projection takes."""
    wide = world.with_features(vectors(world.train.n_items, image=4096, text=384))
    batches = BatchSource(world.train, BATCH)
    rows = []
    for name, settings in (
        ("single view", {**PAPER, "views": "single"}),
        ("dual view, fanout = 20", {**PAPER, "fanout": 20}),
    ):
        model = magnet(wide, settings)
        counted = _Counted(model)
        found = measured({"ruler": Yardstick(wide.data), "magnet": model}, batches, 1)
        share = _projection_seconds(model, counted) * len(batches) / found["magnet"]
        rows.append(
            Row(
                f"MAGNET epoch, {name}, 4096-d + 384-d vectors",
                found["magnet"],
                {"yardstick": found["magnet"] / found["ruler"]},
                note=f"projection {100 * share:.0f} % of it; rows projected per step "
                f"{counted.rows / counted.steps:.0f}, needed {counted.needed / counted.steps:.0f}",
            )
        )
    return rows


def precision(world: World) -> list[Row]:
    """Epochs in both precisions, in turn, with random 4096-d and 384-d vectors; on the GPU where there is one."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wide = world.with_features(vectors(world.train.n_items, image=4096, text=384))
    batches = BatchSource(world.train, BATCH)
    rows = []
    every: list[tuple[str, dict[str, Any]]] = [("mgcn", {}), ("mmgcn", {}), ("magnet", PROJECTED)]
    for name, settings in every:
        kind = model_class(name)
        model = kind.build(kind.Config(**settings), wide.data, np.random.default_rng(0))
        assert isinstance(model, TrainableRecommender)
        asked: tuple[Precision, ...] = ("float32", "float32", "bfloat16")
        # The first epoch compiles kernels.
        _, plain, mixed = (epoch_seconds(model, batches, precision=own, device=device) for own in asked)
        title = f"{kind.card.title} epoch, 4096-d + 384-d vectors, on {device.type}"
        rows.append(Row(f"{title}, bfloat16", mixed, {"float32": mixed / plain}))
    return rows


class _Counted:
    """Counts rows that go through one projection, and those that a step needs: users plus distinct items."""

    def __init__(self, model: TrainableRecommender) -> None:
        self.rows = self.needed = self.steps = 0
        self.cue = next(module for module in model.modules() if isinstance(module, ModalityCues))
        self.cue.projection.register_forward_hook(self._count)
        self.step = model.loss_terms
        model.loss_terms = self._note  # type: ignore[method-assign]
        self.model = model

    def _count(self, module: nn.Module, given: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        if module.training:
            self.rows += len(given[0])

    def _note(self, batch: Any) -> Any:
        self.steps += 1
        self.needed += len(batch) + len(torch.unique(torch.cat([batch.positives, batch.negatives])))
        return self.step(batch)


def _projection_seconds(model: TrainableRecommender, counted: _Counted) -> float:
    """What projecting the rows of one step takes, forward and backward, for all modalities."""
    cues = [module for module in model.modules() if isinstance(module, ModalityCues)]
    n_rows = counted.needed // counted.steps
    drawn = torch.randint(len(cues[0].vectors), (n_rows,))

    def project() -> None:
        for cue in cues:
            result = cue.projection(cue.vectors.index_select(0, drawn))
            result.backward(torch.ones_like(result))

    return timed([project], 5)[0]


def fanouts(world: World) -> list[Row]:
    """Dual against single view for several F."""
    batches = BatchSource(world.train, BATCH)
    rows = []
    for fanout in (5, 10, 20, 50, 100, None):
        pair = {
            view: magnet(world, {**PAPER, "views": view, "fanout": fanout}) for view in ("single", "dual")
        }
        found = measured(pair, batches, 1)
        ratio = found["dual"] / found["single"]
        rows.append(
            Row(
                f"MAGNET (paper) epoch, dual view, fanout = {fanout or 'all'}",
                found["dual"],
                {"single view": ratio},
                "below 2 single views",
                ratio < 2,
            )
        )
    return rows


def widths_and_experts(world: World) -> list[Row]:
    """Single-view epochs against d and against K."""
    batches = BatchSource(world.train, BATCH)
    by_width = {f"d = {width}": {**PAPER, "views": "single", "width": width} for width in (32, 64, 128, 256)}
    by_kept = {
        f"K = {kept}": {**PAPER, "views": "single", "experts_per_pair": kept} for kept in (1, 2, 4, 6, 9)
    }
    rows = []
    for settings, base in ((by_width, "d = 64"), (by_kept, "K = 4")):
        found = measured({name: magnet(world, own) for name, own in settings.items()}, batches, 1)
        rows += [
            Row(f"MAGNET (paper) epoch, single view, {name}", seconds, {base: seconds / found[base]})
            for name, seconds in found.items()
        ]
    return rows


def validation(world: World) -> list[Row]:
    """One validation of a MAGNET beside its epoch."""
    if world.split is None:
        return []
    from alnico.evaluation.evaluate import evaluate

    train, held_out = world.train, world.split.valid
    batches, rows = BatchSource(train, BATCH), []
    for name, settings in (
        ("paper, fanout = 20", {**PAPER, "fanout": 20}),
        ("paper, r = 150", PAPER),
        ("projected", PROJECTED),
    ):
        model = magnet(world, settings)
        seen = Seen(train.offsets, train.items_by_id)

        def judge(model: TrainableRecommender = model, seen: Seen = seen) -> object:
            model.eval()
            ranking = model.scorer().top(held_out.users, seen, 50)
            return evaluate(ranking, held_out, ["recall@10", "recall@20", "ndcg@10", "ndcg@20"])

        training = measured({"epoch": model}, batches, 1)["epoch"]
        judging = timed([judge], 3)[0]
        rows.append(
            Row(
                f"validation, MAGNET dual view ({name}), {len(held_out):,} users, 50 best",
                judging,
                {"its training epoch": judging / training},
                "at most a third",
                judging / training <= 1 / 3,
            )
        )
    return rows
