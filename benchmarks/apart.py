"""Works that run in a process of their own, so that its peak memory is theirs: ``python -m benchmarks.apart NAME``."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import alnico.nn.propagation as propagation
from alnico.contracts import Batch, TrainingData
from alnico.data.dataset import Dataset
from alnico.data.store import save_dataset
from alnico.graphs.augment import induce_edges
from alnico.graphs.cache import GraphCache
from alnico.graphs.content import nearest_neighbours
from alnico.kernels.propagation import Csr
from alnico.models import model_class
from alnico.models.magnet.config import MagnetConfig
from alnico.training.batches import BatchSource
from benchmarks.worlds import ROOT, World, dataset_of_baby, random_pairs, vectors

ELECTRONICS = (192_403, 63_001, 1_250_000)
STEPS = 12
"""How many steps of an epoch are made where whole ones would take hours; the median step stands for all."""


def peak_bytes() -> int:
    """Largest resident size of this process so far, or since ``forget_peak``."""
    return _status("VmHWM") if Path("/proc/self/status").exists() else _largest()


def held_bytes() -> int:
    """Resident size of this process."""
    return _status("VmRSS") if Path("/proc/self/status").exists() else _largest()


def forget_peak() -> None:
    """Let the peak begin anew (on Linux; elsewhere it stays)."""
    place = Path("/proc/self/clear_refs")
    if place.exists():
        place.write_text("5", encoding="ascii")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def _largest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_apart(name: str, *arguments: object) -> dict[str, Any]:
    """What the work of this name tells, from a new process."""
    command = [sys.executable, "-m", "benchmarks.apart", name, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def exact_neighbours() -> dict[str, Any]:
    """63,001 x 384, top 30, exact: seconds, and peak memory above what was held with the input."""
    modality = vectors(ELECTRONICS[1], image=384)["image"]
    nearest_neighbours(vectors(500, image=384)["image"], 30)
    forget_peak()
    held, began = held_bytes(), time.perf_counter()
    nearest_neighbours(modality, 30)
    return {"seconds": time.perf_counter() - began, "above": peak_bytes() - held}


def electronics() -> dict[str, Any]:
    """Induced edges at the size of Electronics, from vectors on: seconds of each part and the process's peak."""
    users, items, pairs = ELECTRONICS
    train, features = random_pairs(users, items, pairs), vectors(items, image=384, text=384)
    began = time.perf_counter()
    lists = {name: nearest_neighbours(modality, 20) for name, modality in features.items()}
    search = time.perf_counter() - began
    forget_peak()
    held, began = held_bytes(), time.perf_counter()
    edges = induce_edges(train, features, lists, 200)
    return {
        "search": search,
        "induce": time.perf_counter() - began,
        "edges": len(edges),
        "pairs": len(train),
        "held": held,
        "peak": peak_bytes(),
    }


def growth(n_pairs: str, fanout: str) -> dict[str, Any]:
    """MAGNET, dual view, r = 20, on random sets: seconds per epoch (from some of its steps), entries read, peak."""
    pairs = int(n_pairs)
    users, items = pairs * 19_445 // 118_551, int(7_050 * (pairs / 118_551) ** 0.5)
    world = World(
        "random",
        TrainingData(random_pairs(users, items, pairs), vectors(items, image=64, text=64), {}, GraphCache()),
    )
    settings = MagnetConfig(preset="paper", neighbours=20, induced=20, fanout=int(fanout) or None)
    began = time.perf_counter()
    model = model_class("magnet").build(settings, world.data, np.random.default_rng(0))
    built = time.perf_counter() - began
    from benchmarks.training import Clock, epoch_seconds

    counted, clock = _count_entries(), Clock()
    short, long = _SomeSteps(world, 3), _SomeSteps(world, STEPS)
    epoch_seconds(model, short)  # type: ignore[arg-type]
    counted[0] = 0
    whole = epoch_seconds(model, long, clock)  # type: ignore[arg-type]
    # The first step of an epoch finds tables that are not there yet; what stands before it comes once an epoch.
    per_step, steps = float(np.median(np.diff(clock.steps)[1:])), -(-len(world.train) // short.batch_size)
    return {
        "pairs": len(world.train),
        "build": built,
        "epoch": whole - (clock.steps[-1] - clock.steps[0]) + (steps - 1) * per_step,
        "step": per_step,
        "entries": counted[0] / STEPS * steps,
        "peak": peak_bytes(),
    }


class _SomeSteps(BatchSource):
    """The first batches of each epoch only."""

    def __init__(self, world: World, steps: int) -> None:
        super().__init__(world.train, 2048)
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def epoch(self, rng: np.random.Generator, device: torch.device) -> Iterator[Batch]:
        for number, batch in enumerate(super().epoch(rng, device)):
            if number == self.steps:
                return
            yield batch


def _count_entries() -> list[int]:
    """Counts the stored entries that products read from now on, forward and backward."""
    counted = [0]

    def counting(work: Callable[..., Any], which: int) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            matrix: Csr = arguments[0]
            rows = arguments[which] if len(arguments) > which else None
            lengths = matrix.starts.diff()
            counted[0] += int((lengths if rows is None else lengths[rows]).sum())
            return work(*arguments)

        return wrapped

    propagation.product = counting(propagation.product, 2)
    propagation.product_of_rows_transposed = counting(propagation.product_of_rows_transposed, 3)
    return counted


def training_peak(settings: str) -> dict[str, Any]:
    """Peak memory of ``alnico train`` on Baby, dual view, one epoch, validation and test included."""
    dataset: Dataset = dataset_of_baby()
    with tempfile.TemporaryDirectory() as folder:
        data, plan = Path(folder) / "baby", Path(folder) / "plan.toml"
        save_dataset(dataset, data)
        plan.write_text(
            f'dataset = "{data}"\n[split]\nrule = "given"\n[model]\nname = "magnet"\nneighbours = 20\n{settings}\n'
            "[training]\nepochs = 1\nbatch_size = 1024\n",
            encoding="utf-8",
        )
        alnico = "from alnico.cli.main import main; raise SystemExit(main())"
        command = [sys.executable, "-c", alnico, "train", str(plan), "--to", str(Path(folder) / "run")]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            raise RuntimeError(f"alnico train ended with {status}")
    return {"peak": usage.ru_maxrss * 1024}


def one_model(label: str) -> dict[str, Any]:
    """One model of the field: see ``benchmarks.field``."""
    from benchmarks import field

    return field.one_model(label)


if __name__ == "__main__":
    works = {
        work.__name__: work for work in (exact_neighbours, electronics, growth, training_peak, one_model)
    }
    print(json.dumps(works[sys.argv[1]](*sys.argv[2:])))
