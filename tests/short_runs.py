"""Short runs on data without meaning, and one that is killed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import worlds
from alnico.experiment.folder import Run
from alnico.experiment.run import run
from alnico.experiment.spec import RunSpec, read_spec
from alnico.training.checkpoint import Progress
from alnico.training.trainer import Silent

WORLD = worlds.scattered(seed=4, n_users=30, n_items=20, per_user=6)


WHOLE = worlds.dataset_of(WORLD)


def spec_of(data: Path, **changes: Mapping[str, Any]) -> RunSpec:
    """A short BPR-MF run; ``changes`` are merged into its groups of settings."""
    settings: dict[str, dict[str, Any]] = {
        "model": {"name": "bpr_mf", "width": 4},
        "split": {"rule": "random"},
        "training": {"epochs": 2, "batch_size": 32, "learning_rate": 0.05},
        "evaluation": {},
    }
    for group, values in changes.items():
        settings[group] = {**settings[group], **values}
    return read_spec({"dataset": str(data), "seed": 5, **settings})


class Killed(BaseException):
    """The machine went away."""


class KilledIn(Silent):
    """Pulls the plug at the first step of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.at = epoch

    def step(self, epoch: int, done: int, total: int) -> None:
        if epoch == self.at:
            raise Killed

    def epoch(self, row: Mapping[str, float], progress: Progress) -> None:
        """Nothing."""


def killed(spec: RunSpec, folder: Path, epoch: int = 2, warm_start: Run | None = None) -> None:
    """A run that was killed in this epoch."""
    with pytest.raises(Killed):
        run(spec, folder, watcher=KilledIn(epoch), warm_start=warm_start)
