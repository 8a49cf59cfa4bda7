"""The whole state of a training run, in one file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from alnico.contracts import ScorerState
from alnico.errors import StorageError
from alnico.storage import read_tensors, write_tensors


@dataclass(frozen=True)
class Progress:
    """Where training stands after an epoch."""

    epoch: int = 0
    best_epoch: int = 0
    best_value: float | None = None
    failures: int = 0
    steps: int = 0
    finished: str = ""
    """Why training ended, empty while it may go on."""


def save_checkpoint(
    path: Path, model: nn.Module, optimiser: Optimizer, progress: Progress, plan_hash: str
) -> None:
    """Write parameters, buffers, optimiser moments and progress as one atomic file."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, moments in optimiser.state_dict()["state"].items():
        tensors.update({f"optimiser.{number}.{name}": value for name, value in moments.items()})
    write_tensors(path, tensors, {"progress": progress.__dict__, "settings": plan_hash})


def load_checkpoint(path: Path, model: nn.Module, optimiser: Optimizer, plan_hash: str) -> Progress:
    """Put model and optimiser where the checkpoint left them; returns its progress.

    Raises StorageError when the file is damaged or belongs to other settings.
    """
    tensors, notes = read_tensors(path)
    if notes["settings"] != plan_hash:
        raise StorageError(
            f"{path} was written under other settings or other data than this run has; "
            "resume with the run's own, or start a new run"
        )
    model.load_state_dict(_under(tensors, "model."))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, "optimiser.").items():
        number, moment = name.split(".", 1)
        state.setdefault(int(number), {})[moment] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return Progress(**notes["progress"])


def model_weights(path: Path) -> dict[str, Tensor]:
    """The model's parameters and buffers in a checkpoint, for a warm start."""
    tensors, _ = read_tensors(path)
    return _under(tensors, "model.")


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def save_scorer(path: Path, state: ScorerState, notes: Mapping[str, Any] | None = None) -> None:
    """Write a finished model."""
    write_tensors(
        path, state.tensors, {"kind": state.kind, "settings": dict(state.settings), **(notes or {})}
    )


def load_scorer_state(path: Path) -> ScorerState:
    """Read a finished model back as data."""
    tensors, notes = read_tensors(path)
    if "kind" not in notes:
        raise StorageError(f"{path} holds no finished model")
    return ScorerState(notes["kind"], tensors, notes["settings"])
