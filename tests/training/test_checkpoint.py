"""The state of a run in one file."""

import pytest
import torch
from torch import nn
from torch.optim import Adam

from alnico.contracts import ScorerState
from alnico.errors import StorageError
from alnico.training.checkpoint import (
    Progress,
    load_checkpoint,
    load_scorer_state,
    model_weights,
    save_checkpoint,
    save_scorer,
)


def worked(steps, seed=0):
    """A small network and its optimiser after some steps."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimiser = Adam(
        [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[1].parameters(), "lr": 0.01}]
    )
    for step in range(steps):
        optimiser.zero_grad()
        model(torch.linspace(step, step + 1, 12).reshape(4, 3)).pow(2).sum().backward()
        optimiser.step()
    return model, optimiser


def test_model_moments_and_progress_come_back_bit_for_bit(tmp_path):
    model, optimiser = worked(5)
    progress = Progress(epoch=5, best_epoch=3, best_value=0.1 + 0.2, failures=2, steps=5, finished="")
    save_checkpoint(tmp_path / "file", model, optimiser, progress, "settings")
    other, moments = worked(0, seed=1)
    assert load_checkpoint(tmp_path / "file", other, moments, "settings") == progress
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    old, new = optimiser.state_dict(), moments.state_dict()
    assert new["param_groups"] == old["param_groups"]
    for number, own in old["state"].items():
        for name, value in own.items():
            assert torch.equal(new["state"][number][name], value)


def test_the_next_step_is_the_same_as_without_a_stop(tmp_path):
    straight, _ = worked(6)
    model, optimiser = worked(5)
    save_checkpoint(tmp_path / "file", model, optimiser, Progress(), "settings")
    other, moments = worked(0, seed=1)
    load_checkpoint(tmp_path / "file", other, moments, "settings")
    other(torch.linspace(5, 6, 12).reshape(4, 3)).pow(2).sum().backward()
    moments.step()
    for name, value in straight.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    model, optimiser = worked(1)
    save_checkpoint(tmp_path / "file", model, optimiser, Progress(), "some settings")
    with pytest.raises(StorageError, match="was written under other settings or other data"):
        load_checkpoint(tmp_path / "file", model, optimiser, "other settings")


def test_weights_alone_can_be_read(tmp_path):
    model, optimiser = worked(2)
    save_checkpoint(tmp_path / "file", model, optimiser, Progress(), "settings")
    weights = model_weights(tmp_path / "file")
    assert set(weights) == set(model.state_dict())
    assert torch.equal(weights["0.weight"], model[0].weight)


def test_a_finished_model_comes_back_as_data(tmp_path):
    state = ScorerState("dot", {"users": torch.eye(2)}, {"n": 3, "names": ["a"]})
    save_scorer(tmp_path / "file", state, {"epoch": 4})
    again = load_scorer_state(tmp_path / "file")
    assert (again.kind, dict(again.settings)) == ("dot", {"n": 3, "names": ["a"]})
    assert torch.equal(again.tensors["users"], torch.eye(2))


def test_a_checkpoint_is_not_taken_for_a_finished_model(tmp_path):
    model, optimiser = worked(1)
    save_checkpoint(tmp_path / "file", model, optimiser, Progress(), "settings")
    with pytest.raises(StorageError, match="holds no finished model"):
        load_scorer_state(tmp_path / "file")
