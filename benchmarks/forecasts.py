"""What ``alnico estimate`` foretells beside what runs then take, and what compiling a step would bring."""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from alnico.contracts import TrainableRecommender
from alnico.data.dataset import Dataset
from alnico.data.store import save_dataset
from alnico.training.batches import BatchSource
from benchmarks.timing import Row, once
from benchmarks.training import BATCH, PROJECTED, epoch_seconds, magnet, measured
from benchmarks.worlds import ROOT, World, dataset_of_baby, dataset_of_tiktok

ASKED = ("bpr_mf", "lightgcn", "freedom", "mgcn", "magnet-projected", "magnet-paper")
"""Names of settings files; each stands under experiments/baby and experiments/tiktok."""
EPOCHS = 4
WITHIN = 1.5


def forecasts() -> list[Row]:
    """Time per epoch and peak memory of short runs on Baby, and tiktok where it is, beside their forecasts."""
    rows = []
    for name, dataset in (("baby", dataset_of_baby()), ("tiktok", dataset_of_tiktok())):
        if dataset is not None:
            rows += [_row(name, model, dataset) for model in ASKED]
    return rows


def _row(name: str, model: str, dataset: Dataset) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / name
        save_dataset(dataset, data)
        asked = [
            str(ROOT / "experiments" / name / f"{model}.toml"),
            *("--set", f"dataset={data}", "--set", f"training.epochs={EPOCHS}"),
        ]
        told = _alnico("estimate", *asked)["forecast"]
        took = _alnico("train", *asked, "--to", str(Path(folder) / "run"))
    time = took["epoch_seconds"] / told["epoch_seconds"]
    memory = took["peak_memory_bytes"] / told["peak_bytes"]
    return Row(
        f"epoch with validation, {_label(name, model)}, {name}",
        took["epoch_seconds"],
        {"the time foretold": time, "the memory foretold": memory},
        f"within {WITHIN:g}, either way",
        all(1 / WITHIN <= ratio <= WITHIN for ratio in (time, memory)),
        f"peak {took['peak_memory_bytes'] / 1e9:.2f} GB",
    )


def _label(name: str, model: str) -> str:
    settings: Mapping[str, Any] = tomllib.loads(
        (ROOT / "experiments" / name / f"{model}.toml").read_text(encoding="utf-8")
    )["model"]
    preset = f" ({settings['preset']})" if "preset" in settings else ""
    return f"{settings['name']}{preset}"


def _alnico(*arguments: str) -> dict[str, Any]:
    main = "from alnico.cli.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", main, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def compiling(world: World) -> list[Row]:
    """MAGNET's epochs, dual view, with its step as it is and as ``torch.compile`` makes it."""
    batches = BatchSource(world.train, BATCH)
    models: dict[str, TrainableRecommender] = {
        name: magnet(world, PROJECTED) for name in ("plain", "compiled")
    }
    compiled = models["compiled"]
    compiled.loss_terms = torch.compile(compiled.loss_terms, dynamic=True)  # type: ignore[method-assign]
    first = once(lambda: epoch_seconds(compiled, batches))
    found = measured(models, batches, 3)
    return [
        Row(
            "MAGNET epoch, dual view, projected, its step compiled",
            found["compiled"],
            {"as it is": found["compiled"] / found["plain"]},
            note=f"the first epoch, compiling included, {first:.0f} s",
        )
    ]
