"""From settings to a finished, tested run. The only place that opens the test part."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from alnico.contracts import ExplainingScorer, Recommender, Scorer, TrainableRecommender, TrainingData
from alnico.data.dataset import Dataset
from alnico.data.interactions import Interactions
from alnico.data.split import Split, Targets
from alnico.data.splitting import split as split_dataset
from alnico.data.store import is_data_folder
from alnico.diagnostics.routing import route_pairs, routing_summary
from alnico.errors import ConfigError, DataError, StorageError
from alnico.evaluation.evaluate import Scores, evaluate
from alnico.evaluation.exposure import measure_exposure
from alnico.evaluation.metrics import parse_metric
from alnico.evaluation.slices import all_slices
from alnico.experiment.folder import (
    RECORD,
    ROUTING,
    Run,
    default_recipe,
    intact_fingerprint,
    open_for,
    open_run,
    settings_fingerprint,
    store_result,
    store_test,
)
from alnico.experiment.machine import forget_gpu_peak, gpu_peak_bytes, peak_memory_bytes
from alnico.experiment.spec import RunSpec
from alnico.graphs.cache import GraphCache
from alnico.models import model_class, restore
from alnico.randomness import rng
from alnico.ranking import Ranking, Seen
from alnico.storage import write_json, write_tensors
from alnico.training.batches import BatchSource
from alnico.training.checkpoint import model_weights
from alnico.training.trainer import Desk, Fitted, Validate, Watcher, check_rates, fit

EXPOSURE_CUTOFF = 20
SLICE_METRICS = ("recall@20", "ndcg@20")


def run(
    spec: RunSpec,
    folder: str | Path,
    *,
    label: str | None = None,
    protocol: Mapping[str, Any] | None = None,
    warm_start: Run | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Train as ``spec`` says in a new run folder, then test once; returns the finished run.

    ``label`` is the run's name in tables, ``protocol`` the stamp of the protocol whose settings ``spec`` has
    (``alnico.experiment.protocol``). ``warm_start`` begins from another run's weights: rows of users and
    items that both know, by their outside ids, and everything else of equal shape.
    Raises StorageError if the folder already holds a run, DataError if the split leaves nothing to choose the best
    epoch by or nothing to test on. Whatever is wrong with the settings is found before the folder is made.
    """
    folder = Path(folder)
    if (folder / RECORD).exists():
        raise StorageError(
            f"{folder} already holds a run; choose another folder, or go on with --resume {folder}"
        )
    device = device_of(spec.device)
    dataset = open_for(spec)
    split = split_dataset(dataset, spec.split or default_recipe(dataset))
    model = build_model(spec, dataset, split.train)
    check_parts(split, isinstance(model, TrainableRecommender))
    if isinstance(model, TrainableRecommender):
        check_rates(model, spec.training)
    if warm_start is not None:
        _adopt(model, warm_start, dataset)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, _record(spec, dataset, split, label, protocol, warm_start))
    return _finish(spec, folder, dataset, split, model, device, watcher, resume=False)


def resume(
    folder: str | Path,
    *,
    dataset: str | None = None,
    device: str | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Go on with a run that was stopped or killed; a finished one is returned as it is.

    ``dataset`` says where its data stand now, ``device`` where to train from now on; run.json takes both over. On the
    CPU at the same thread count the result is bit-identical to that of an uninterrupted run.
    Raises StorageError if the data are others than those it was begun with, ConfigError if the device is not here;
    run.json stays as it was then.
    """
    begun = open_run(folder)
    if begun.is_tested:
        return begun
    device_of(begun.spec.device if device is None else device)
    if dataset is not None or device is not None:
        begun = begun.moved(dataset, device)
    spec = begun.spec
    model = build_model(spec, begun.dataset, begun.split.train)
    if begun.record["warm_start"] and not Desk(begun.folder).has_checkpoint:
        # Killed before anything was saved: what it was to start from has to be fetched again.
        _adopt(model, open_run(begun.record["warm_start"]), begun.dataset)
    return _finish(
        spec, begun.folder, begun.dataset, begun.split, model, device_of(spec.device), watcher, resume=True
    )


def device_named(name: str) -> torch.device:
    """The device of this name, here or not. Raises ConfigError if torch knows none."""
    try:
        return torch.device(name)
    except RuntimeError as problem:
        raise ConfigError(f"device {name!r} is none that torch knows; use cpu or cuda") from problem


def device_of(name: str) -> torch.device:
    """The device of this name. Raises ConfigError if torch knows none or it is not here."""
    device = device_named(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device = 'cuda' was asked for but torch sees no GPU here; use device = 'cpu'")
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, NotImplementedError, AssertionError) as problem:
        raise ConfigError(f"torch cannot compute on device {name!r} here; use cpu or cuda") from problem
    return device


def check_parts(split: Split, trainable: bool) -> None:
    """Raise DataError if nothing is left to choose the best epoch by, or nothing to test on."""
    if trainable:
        check_validation(split.valid)
    if not len(split.test):
        raise DataError(
            "the split leaves no test interactions; every user may have too few for this rule, choose another "
            "split.rule, for example random"
        )


def check_validation(valid: Targets) -> None:
    """Raise DataError if there is nothing to choose the best epoch by."""
    if not len(valid):
        raise DataError(
            "the split leaves no validation interactions, by which training chooses its best epoch; "
            "raise split.valid or choose another split.rule"
        )


def build_model(spec: RunSpec, dataset: Dataset, train: Interactions) -> Recommender:
    """The model that ``spec`` describes, untrained, over this training part."""
    cache = Path(spec.dataset) / "cache" if is_data_folder(Path(spec.dataset)) else None
    data = TrainingData(train, dataset.features, dataset.neighbours, GraphCache(cache))
    return model_class(spec.model_name).build(spec.model_config_record(), data, rng(spec.seed, "model"))


def train_model(
    spec: RunSpec,
    model: Recommender,
    train: Interactions,
    valid: Targets,
    *,
    device: torch.device,
    desk: Desk | None = None,
    watcher: Watcher | None = None,
    resume: bool = False,
) -> Fitted:
    """Train as ``spec`` says, the best epoch chosen on ``valid``; nothing here is ever tested."""
    trainable = isinstance(model, TrainableRecommender)
    return fit(
        model,
        BatchSource(train, spec.training.batch_size) if trainable else None,
        validation(spec.evaluation.metrics, train, valid),
        spec.training,
        seed=spec.seed,
        device=device,
        desk=desk,
        watcher=watcher,
        resume=resume,
    )


def _adopt(model: Recommender, old: Run, dataset: Dataset) -> None:
    if not isinstance(model, TrainableRecommender):
        raise ConfigError("this model has no weights, so there is nothing to start from")
    if type(model) is not model_class(old.spec.model_name):
        raise ConfigError(
            f"--warm-start needs a run of the same model; {old.folder} trained {old.spec.model_name!r}"
        )
    users = old.dataset.users.numbers_or_absent(dataset.users.names.tolist())
    items = old.dataset.items.numbers_or_absent(dataset.items.names.tolist())
    taken = model.adopt(model_weights(old.folder / "checkpoint.safetensors"), users, items)
    if not taken:
        raise ConfigError(f"nothing of {old.folder} fits this model; are its widths the same?")


def _finish(
    spec: RunSpec,
    folder: Path,
    dataset: Dataset,
    split: Split,
    model: Recommender,
    device: torch.device,
    watcher: Watcher | None,
    *,
    resume: bool,
) -> Run:
    forget_gpu_peak(device)
    desk = Desk(folder, settings_fingerprint(spec, dataset.fingerprint, split.fingerprint))
    fitted = train_model(
        spec, model, split.train, split.valid, device=device, desk=desk, watcher=watcher, resume=resume
    )
    validate = validation(spec.evaluation.metrics, split.train, split.valid)
    _test_once(spec, folder, split, restore(fitted.scorer).to(device), fitted, validate, device)
    return open_run(folder)


def validation(metrics: Sequence[str], train: Interactions, valid: Targets) -> Validate:
    """Measures a scorer on the validation part; training items masked."""
    seen = Seen(train.offsets, train.items_by_id)
    longest = max(parse_metric(metric).cutoff for metric in metrics)

    def validate(scorer: Scorer) -> Mapping[str, float]:
        return evaluate(scorer.top(valid.users, seen, longest), valid, metrics).means()

    return validate


def _test_once(
    spec: RunSpec,
    folder: Path,
    split: Split,
    scorer: Scorer,
    fitted: Fitted,
    validate: Validate,
    device: torch.device,
) -> None:
    """Open the test part, measure, and keep lists, per-user values and routing for every later question."""
    started = time.perf_counter()
    targets = split.test
    ranking, scores = _measured(spec, split, scorer)
    store_test(folder, ranking, scores)
    slices = all_slices(
        ranking, targets, split.train, [m for m in SLICE_METRICS if m in spec.evaluation.metrics]
    )
    result: dict[str, Any] = {
        "valid": dict(validate(scorer)),
        "test": scores.means(),
        "test_users": len(targets),
        "test_pairs": len(targets.items),
        "slices": {
            name: {"users": part.n_users, "targets": part.n_targets, **part.scores.means()}
            for name, part in slices.items()
        },
        "exposure": asdict(measure_exposure(ranking, split.train, min(EXPOSURE_CUTOFF, spec.evaluation.k))),
        **_training_facts(folder, fitted),
        "test_seconds": time.perf_counter() - started,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    if (on_gpu := gpu_peak_bytes(device)) is not None:
        result["gpu_peak_memory_bytes"] = on_gpu
    if isinstance(scorer, ExplainingScorer):
        result["routing"] = _test_routing(folder, scorer, targets)
    store_result(folder, result)


def measure_again(run: Run) -> tuple[Ranking, Scores, Mapping[str, float]]:
    """What a finished run's stored model says today: its test lists, their per-user values, its validation means.

    Raises StorageError while the run is not finished, or if its data have changed.
    """
    run.require_finished()
    scorer = run.scorer().to(device_of(run.spec.device))
    ranking, scores = _measured(run.spec, run.split, scorer)
    validate = validation(run.spec.evaluation.metrics, run.split.train, run.split.valid)
    return ranking, scores, validate(scorer)


def _measured(spec: RunSpec, split: Split, scorer: Scorer) -> tuple[Ranking, Scores]:
    ranking = scorer.top(split.test.users, _masked(spec, split), spec.evaluation.k)
    return ranking, evaluate(ranking, split.test, spec.evaluation.metrics)


def _masked(spec: RunSpec, split: Split) -> Seen:
    if spec.evaluation.mask == "train":
        return Seen(split.train.offsets, split.train.items_by_id)
    users, items = split.valid.pairs()
    users, items = np.concatenate([split.train.users, users]), np.concatenate([split.train.items, items])
    order = np.lexsort((items, users))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=split.train.n_users))])
    return Seen(offsets, items[order])


def _test_routing(folder: Path, scorer: ExplainingScorer, targets: Targets) -> dict[str, object]:
    users, items = targets.pairs()
    routed = route_pairs(scorer, users, items)
    tensors = {
        "users": torch.from_numpy(users.copy()),
        "items": torch.from_numpy(items.copy()),
        "routing": routed.routing,
        "reliance": routed.reliance,
    }
    write_tensors(
        folder / ROUTING, tensors, {"parts": list(scorer.parts), "experts": [e.label for e in scorer.experts]}
    )
    return routing_summary(scorer.experts, scorer.parts, scorer.templates.cpu(), routed)


def _training_facts(folder: Path, fitted: Fitted) -> dict[str, Any]:
    run = Run(folder)
    rows, steps = run.history, run.steps
    # The first epoch compiles kernels; it says nothing of the speed.
    later = rows[1:] or rows
    facts: dict[str, Any] = {
        "best_epoch": fitted.progress.best_epoch,
        "epochs": fitted.progress.epoch,
        "finished": fitted.progress.finished,
        "steps": fitted.progress.steps,
        "train_seconds_per_epoch": float(np.median([row["train_seconds"] for row in later]))
        if later
        else 0.0,
        "epoch_seconds": float(np.median([row["epoch_seconds"] for row in later])) if later else 0.0,
        "training_seconds": float(sum(row["epoch_seconds"] for row in rows)),
    }
    if rows and "switch_step" in rows[-1]:
        facts["switch_step"] = int(rows[-1]["switch_step"])
        last = [
            row["effective_experts"]
            for row in steps
            if row["epoch"] == rows[-1]["epoch"] and "effective_experts" in row
        ]
        facts["effective_experts_at_end"] = float(np.mean(last)) if last else None
    return facts


def _record(
    spec: RunSpec,
    dataset: Dataset,
    split: Split,
    label: str | None,
    protocol: Mapping[str, Any] | None,
    warm_start: Run | None,
) -> dict[str, Any]:
    card = model_class(spec.model_name).card
    return {
        "format": 1,
        "label": card.named(label),
        "card": asdict(card),
        "spec": spec.resolved(),
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            **({"dealt_from": intact_fingerprint(spec)} if spec.content.dealt else {}),
            "users": dataset.n_users,
            "items": dataset.n_items,
            "modalities": list(dataset.features.names),
        },
        "split": {"recipe": dict(split.recipe), "fingerprint": split.fingerprint, "facts": dict(split.facts)},
        "protocol": None if protocol is None else dict(protocol),
        "warm_start": None if warm_start is None else str(warm_start.folder),
        "threads": {"torch": torch.get_num_threads(), "numba": numba.get_num_threads()},
        "versions": {
            "alnico": version("alnico"),
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "numba", "scipy")},
        },
        "machine": {"system": platform.system(), "processor": platform.machine()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
