"""Every model at one batch size with wide vectors: time of an epoch, of a validation, and peak memory.

Each model has a process of its own, in which the yardstick runs too, so that both meet the machine in the same mood.
"""

import time
import tomllib
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from alnico.contracts import Recommender, TrainableRecommender
from alnico.evaluation.evaluate import evaluate
from alnico.models import MODELS, model_class
from alnico.ranking import Seen
from alnico.training.batches import BatchSource
from benchmarks.apart import forget_peak, peak_bytes, run_apart
from benchmarks.timing import Row
from benchmarks.training import BATCH, PAPER, epoch_seconds
from benchmarks.worlds import ROOT, World, baby, vectors
from benchmarks.yardstick import Yardstick

METRICS = ["recall@10", "recall@20", "ndcg@10", "ndcg@20"]
RESEARCH: Mapping[str, tuple[float, float, float]] = {
    "lightgcn": (9.2, 5, 0.9),
    "freedom": (42, 3, 1.35),
    "mgcn": (58, 3, 1.55),
}
"""Research code on an idle machine of two cores: seconds per epoch, how many times faster we must be, peak in GB."""
OWN: Mapping[str, Mapping[str, Any]] = {
    "MAGNET dual view, paper, fanout = 20": {**PAPER, "fanout": 20},
    "MAGNET dual view, paper, r = 150": PAPER,
}
REPEATS = 2


def baby_for(kind: type[Recommender]) -> World:
    """Baby, for a model that reads content with random vectors of the original widths."""
    world = baby()
    widths = {"image": 4096, "text": 384} if "content" in kind.card.reads else {}
    return world.with_features(vectors(world.train.n_items, **widths))


def settings_of(name: str) -> dict[str, Any]:
    """The model's settings in its shipped experiment on Baby, its defaults where there is none."""
    path = ROOT / "experiments" / "baby" / f"{name}.toml"
    if not path.exists():
        return {}
    given: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
    return {key: value for key, value in given.items() if key != "name"}


def one_model(label: str) -> dict[str, Any]:
    """Medians over epochs of this model and of the yardstick, taking turns; one validation; the peak before them."""
    name = "magnet" if label in OWN else label
    kind = model_class(name)
    world = baby_for(kind)
    train = world.train
    batches = BatchSource(train, BATCH)
    settings = kind.Config(**(OWN[label] if label in OWN else settings_of(name)))
    forget_peak()
    began = time.perf_counter()
    model = kind.build(settings, world.data, np.random.default_rng(0))
    built = time.perf_counter() - began
    assert isinstance(model, TrainableRecommender)
    epoch_seconds(model, batches)
    validation = _validation(model, world)
    peak = peak_bytes()
    ruler, seconds = Yardstick(world.data), []
    epoch_seconds(ruler, batches)
    for _ in range(REPEATS):
        seconds.append((epoch_seconds(model, batches), epoch_seconds(ruler, batches)))
    ours, its = (median(column) for column in zip(*seconds, strict=True))
    return {"epoch": ours, "ruler": its, "peak": peak, "built": built, "validation": validation}


def _validation(model: TrainableRecommender, world: World) -> float:
    """Seconds of one validation, the finished tables included; 0 where the data have no split."""
    if world.split is None:
        return 0.0
    model.eval()
    began = time.perf_counter()
    seen = Seen(world.train.offsets, world.train.items_by_id)
    ranking = model.scorer().top(world.split.valid.users, seen, 50)
    evaluate(ranking, world.split.valid, METRICS)
    return time.perf_counter() - began


def field() -> list[Row]:
    """All models that train, and MAGNET at the paper's settings."""
    asked = [name for name, kind in MODELS.items() if issubclass(kind, TrainableRecommender)]
    asked = [name for name in asked if name != "magnet"] + list(OWN)
    told = {label: run_apart("one_model", label) for label in asked}
    return [_row(label, facts, told) for label, facts in told.items()]


def _row(label: str, facts: Mapping[str, float], told: Mapping[str, Mapping[str, float]]) -> Row:
    epoch, peak = facts["epoch"], facts["peak"]
    ratios = {"yardstick": epoch / facts["ruler"]}
    target, reached = "", None
    if label in OWN and "soil" in told:
        # In yardsticks: the two did not run in the same minute.
        soil = told["soil"]["epoch"] / told["soil"]["ruler"]
        ratios["SOIL"] = ratios["yardstick"] / soil
        if "fanout" in OWN[label]:
            target, reached = "at most 1 x SOIL", ratios["SOIL"] <= 1
        else:
            target = "1.23 x SOIL in the paper"
    if label in RESEARCH:
        seconds, times, memory = RESEARCH[label]
        target = f"{times:g} x faster than {seconds:g} s, under {memory:g} GB"
        reached = seconds / epoch >= times and peak < memory * 1e9
    title = label if label in OWN else model_class(label).card.named()
    note = (
        f"peak {peak / 1e9:.2f} GB; validation {facts['validation']:.2f} s; graphs and tables built in "
        f"{facts['built']:.1f} s"
    )
    return Row(f"epoch, {title}, batch {BATCH}, 4096-d + 384-d vectors", epoch, ratios, target, reached, note)
