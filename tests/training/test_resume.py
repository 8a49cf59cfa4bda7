"""A run that was killed ends where an uninterrupted one ends, bit for bit."""

import json

import numpy as np
import pytest
import torch

import worlds
from alnico.errors import StorageError
from alnico.models import MODELS
from alnico.storage import read_tensors
from alnico.training.batches import BatchSource
from alnico.training.history import read_rows
from alnico.training.plan import TrainPlan
from alnico.training.trainer import Desk, Silent, fit

CPU = torch.device("cpu")
WORLD = worlds.scattered(seed=6)
PLAN = TrainPlan(epochs=4, batch_size=16, learning_rate=0.05, patience=9)
SETTINGS = {
    "bpr_mf": {"width": 4},
    "lightgcn": {"width": 4},
    "magnet": {
        "preset": "projected",
        "width": 4,
        "neighbours": 3,
        "induced": 5,
        "induced_cap": 2,
        "dropout": 0.3,
        "router": "mlp",
        "trigger_unit": "epoch",
        "window": 2,
        "entropy_threshold": 0.5,
    },
}
EVERY = pytest.mark.parametrize("name", list(SETTINGS))


class Killed(BaseException):
    """The machine went away."""


class KilledAfter(Silent):
    """Pulls the plug at the end of an epoch, or in the middle of the one that follows."""

    def __init__(self, epoch, in_the_next=False):
        self.at, self.in_the_next = epoch, in_the_next

    def step(self, epoch: int, done: int, total: int) -> None:
        if self.in_the_next and (epoch, done) == (self.at + 1, 2):
            raise Killed

    def epoch(self, row, progress) -> None:
        if not self.in_the_next and progress.epoch == self.at:
            raise Killed


def model(name, seed=0):
    """A fresh model; resumed ones start from another seed, so that all they know is in the checkpoint."""
    return MODELS[name].build(MODELS[name].Config(**SETTINGS[name]), WORLD.data, np.random.default_rng(seed))


def validate(scorer):
    """Hits and misses that jump about, so that the best epoch is not simply the last."""
    ranking = scorer.top(WORLD.asked, WORLD.seen, 3)
    return {"recall@20": float((ranking.items == np.array(list(WORLD.answers.values()))[:, None]).mean())}


def train(name, folder, seed=0, plan=PLAN, settings="mine", **more):
    """Training into a folder."""
    batches = BatchSource(WORLD.split.train, plan.batch_size)
    return fit(
        model(name, seed), batches, validate, plan, seed=3, device=CPU, desk=Desk(folder, settings), **more
    )


def tensors_of(file):
    """Tensors and notes of a file."""
    return read_tensors(file)


def without_seconds(path):
    """The rows of a journal without what the clock says."""
    return [{k: v for k, v in row.items() if not k.endswith("_seconds")} for row in read_rows(path)]


def assert_same_run(one, other):
    """Both folders hold the same bits."""
    for file in ("checkpoint.safetensors", "scorer.safetensors"):
        (left, left_notes), (right, right_notes) = tensors_of(one / file), tensors_of(other / file)
        assert left_notes == right_notes
        assert set(left) == set(right)
        for name, tensor in left.items():
            assert torch.equal(tensor, right[name]), f"{name} of {file} differs"
    for journal in ("history.jsonl", "steps.jsonl"):
        assert without_seconds(one / journal) == without_seconds(other / journal)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder of an uninterrupted run of each model, made when first asked for."""
    folders = {}

    def folder_of(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            train(name, folders[name])
        return folders[name]

    return folder_of


@EVERY
def test_the_same_seed_gives_the_same_bits(name, uninterrupted, tmp_path):
    train(name, tmp_path)
    assert_same_run(uninterrupted(name), tmp_path)


@EVERY
@pytest.mark.parametrize("in_the_next", [False, True], ids=["between epochs", "in an epoch"])
def test_a_killed_run_ends_in_the_same_bits(name, in_the_next, uninterrupted, tmp_path):
    with pytest.raises(Killed):
        train(name, tmp_path, watcher=KilledAfter(2, in_the_next))
    fitted = train(name, tmp_path, seed=99, resume=True)
    assert fitted.progress.finished == "all epochs done"
    assert_same_run(uninterrupted(name), tmp_path)


def test_a_run_killed_while_writing_its_rows_is_repaired(uninterrupted, tmp_path):
    with pytest.raises(Killed):
        train("bpr_mf", tmp_path, watcher=KilledAfter(2))
    # The third epoch's rows were on their way, one of them cut off; its checkpoint was not written.
    with (tmp_path / "steps.jsonl").open("a") as file:
        file.write(json.dumps({"epoch": 3, "step": 7}) + '\n{"epoch": 3, "st')
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"epoch": 3, "loss/bpr": 0.')
    train("bpr_mf", tmp_path, resume=True)
    assert_same_run(uninterrupted("bpr_mf"), tmp_path)


def test_a_run_killed_before_its_first_epoch_starts_again(uninterrupted, tmp_path):
    train("bpr_mf", tmp_path / "run", resume=True)
    assert_same_run(uninterrupted("bpr_mf"), tmp_path / "run")


def test_a_finished_run_is_not_trained_further(uninterrupted):
    before = {path.name: path.read_bytes() for path in uninterrupted("bpr_mf").iterdir()}
    fitted = train("bpr_mf", uninterrupted("bpr_mf"), seed=99, resume=True)
    assert fitted.progress.epoch == 4
    tensors, _ = tensors_of(uninterrupted("bpr_mf") / "scorer.safetensors")
    assert torch.equal(fitted.scorer.tensors["users"], tensors["users"])
    assert {path.name: path.read_bytes() for path in uninterrupted("bpr_mf").iterdir()} == before


def test_a_run_with_other_settings_cannot_be_resumed(uninterrupted):
    with pytest.raises(StorageError, match="was written under other settings or other data"):
        train("bpr_mf", uninterrupted("bpr_mf"), settings="others", resume=True)


def test_a_damaged_checkpoint_is_named(uninterrupted, tmp_path):
    whole = (uninterrupted("bpr_mf") / "checkpoint.safetensors").read_bytes()
    (tmp_path / "checkpoint.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StorageError, match=r"checkpoint\.safetensors is damaged"):
        train("bpr_mf", tmp_path, resume=True)
