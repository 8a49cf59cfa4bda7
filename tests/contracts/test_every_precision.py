"""What every model owes in mixed precision: nearly the same loss and the same direction, stored as ever."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import worlds
from alnico.contracts import TrainableRecommender
from alnico.kernels.precision import computing_in
from alnico.models import MODELS
from alnico.training.batches import BatchSource
from alnico.training.checkpoint import model_weights
from alnico.training.plan import TrainPlan
from alnico.training.trainer import Desk, Silent, fit
from kinds import BOARD, TRAINED, build

CPU = torch.device("cpu")
BATCH = worlds.random_batch(BOARD.split.train, 128, seed=0)
# How far gradients may be off, relative to their length. CMDL's critics rectify sums close to zero.
OFF = {"cmdl": 0.25}
DENSE = ["mgcn", "magnet, projected"]


def first_step(name, precision, device=CPU):
    """The loss of a first step, its terms' types, and gradients by parameter."""
    model = build(name).to(device).train()
    model.begin_epoch(1, np.random.default_rng(1))
    torch.manual_seed(0)
    told = ("users", "positives", "negatives", "weights")
    batch = replace(BATCH, **{column: getattr(BATCH, column).to(device) for column in told})
    with computing_in(precision, device):
        terms = model.loss_terms(batch).terms
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    found = {key: parameter.grad for key, parameter in model.named_parameters()}
    return loss.detach(), {term.dtype for term in terms.values()}, found


@TRAINED
def test_first_step_is_close_to_that_in_full_precision(name):
    loss, kinds, gradients = first_step(name, "bfloat16")
    exact, _, expected = first_step(name, "float32")
    assert kinds == {torch.float32}
    torch.testing.assert_close(loss, exact, rtol=5e-3, atol=1e-4)
    assert {key for key, value in gradients.items() if value is None} == {
        key for key, value in expected.items() if value is None
    }
    own, other = (
        torch.cat([value.flatten() for value in found.values() if value is not None])
        for found in (gradients, expected)
    )
    assert own.dtype == torch.float32
    assert torch.isfinite(own).all()
    assert (own - other).norm() <= OFF.get(name, 0.05) * other.norm()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")
@TRAINED
def test_first_step_on_a_gpu_is_close_to_that_in_full_precision(name):
    loss, kinds, gradients = first_step(name, "bfloat16", torch.device("cuda"))
    assert kinds == {torch.float32}
    torch.testing.assert_close(
        loss, first_step(name, "float32", torch.device("cuda"))[0], rtol=5e-3, atol=1e-4
    )
    assert all(torch.isfinite(value).all() for value in gradients.values() if value is not None)


@pytest.mark.parametrize("name", DENSE)
def test_products_are_really_shorter(name):
    assert not torch.equal(first_step(name, "bfloat16")[0], first_step(name, "float32")[0])


class Killed(BaseException):
    """The machine went away."""


class KilledAfterOne(Silent):
    """Pulls the plug after the first epoch."""

    def epoch(self, row, progress):
        if progress.epoch == 1:
            raise Killed


@pytest.mark.parametrize("name", DENSE)
def test_a_killed_run_ends_in_the_same_bits_stored_in_full(name, tmp_path):
    plan = TrainPlan(epochs=2, batch_size=256, learning_rate=0.01, precision="bfloat16")

    def train(folder, watcher=None, resume=False):
        batches = BatchSource(BOARD.split.train, plan.batch_size)
        model = build(name)
        validate = lambda scorer: {"recall@20": 1.0}  # noqa: E731
        more = {"desk": Desk(folder), "watcher": watcher, "resume": resume}
        return fit(model, batches, validate, plan, seed=4, device=CPU, **more)

    train(tmp_path / "straight")
    with pytest.raises(Killed):
        train(tmp_path / "killed", KilledAfterOne())
    train(tmp_path / "killed", resume=True)
    one, other = (
        model_weights(tmp_path / name / "checkpoint.safetensors") for name in ("straight", "killed")
    )
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    assert torch.bfloat16 not in {value.dtype for value in one.values()}


def test_there_are_models_to_ask():
    assert sum(issubclass(model, TrainableRecommender) for model in MODELS.values()) > 20
