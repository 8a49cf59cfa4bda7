"""The one loop: what it calls when, when it stops, what it keeps."""

import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

import worlds
from alnico.contracts import Batch, ModelConfig, Step, TrainableRecommender
from alnico.errors import ConfigError, DivergedError
from alnico.models.popularity import Popularity
from alnico.scorers import DotScorer, frozen_dot
from alnico.training import trainer
from alnico.training.batches import BatchSource
from alnico.training.checkpoint import load_scorer_state, model_weights
from alnico.training.history import read_rows
from alnico.training.plan import TrainPlan
from alnico.training.trainer import Desk, Interrupted, Silent, fit, on_signal

CPU = torch.device("cpu")
WORLD = worlds.scattered()


class Slope(TrainableRecommender):
    """Two numbers that go downhill at slope 1 for ever, so that each step of Adam is its learning rate."""

    Config = ModelConfig

    def __init__(self, breaks_in_epoch=None):
        super().__init__()
        self.slow, self.fast = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.calls, self.epoch, self.breaks_in_epoch, self.rates = [], 0, breaks_in_epoch, {}

    @classmethod
    def build(cls, config, data, rng):
        return cls()

    def begin_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        self.epoch = epoch
        self.calls.append(("begin", epoch, round(rng.random(), 6)))

    def loss_terms(self, batch: Batch) -> Step:
        bad = torch.tensor(float("nan") if self.epoch == self.breaks_in_epoch else 0.0)
        self.calls.append(("loss", len(batch)))
        return Step({"height": self.slow.sum() + self.fast.sum(), "bad": bad}, {"slow": self.slow.item()})

    def observe(self, facts):
        self.calls.append(("observe", facts["slow"] != self.slow.item()))

    def end_epoch(self, epoch: int):
        self.calls.append(("end", epoch))
        return {"stage": 1.0}

    def parameter_groups(self):
        return {"slow": [self.slow], "fast": [self.fast]}

    def relative_rates(self):
        return self.rates

    def scorer(self) -> DotScorer:
        return frozen_dot(self.slow.expand(WORLD.split.train.n_users, 1), torch.ones(15, 1))


def scripted(*values):
    """A validation that gives these values one after the other."""
    remaining = iter(values)
    return lambda scorer: {"recall@20": next(remaining)}


def run(model, plan, validate, batch_size=100, **more):
    """Training on the scattered world; one batch per epoch unless told."""
    batches = BatchSource(WORLD.split.train, batch_size)
    return fit(model, batches, validate, plan, seed=5, device=CPU, **more)


def height(state):
    """Where the slow number of a finished slope stands."""
    return state.tensors["users"][0, 0].item()


def test_what_is_called_when():
    model = Slope()
    run(model, TrainPlan(epochs=2), scripted(1, 2), batch_size=40)
    begins = [call for call in model.calls if call[0] == "begin"]
    assert [begin[1] for begin in begins] == [1, 2]
    assert begins[0][2] != begins[1][2]
    without_numbers = [call[:2] for call in model.calls]
    one = [("loss", 40), ("observe", True), ("loss", 5), ("observe", True)]
    # Facts are observed after the optimiser's step: the number has moved since they were taken.
    assert without_numbers == [("begin", 1), *one, ("end", 1), ("begin", 2), *one, ("end", 2)]


@pytest.mark.parametrize(("least", "times"), [(4, 2), (5, 0)])
def test_large_tables_get_large_pages_once_an_epoch(monkeypatch, least, times):
    # A slope's parameters have four bytes each.
    asked = []
    monkeypatch.setattr(trainer, "LEAST_REGION", least)
    monkeypatch.setattr(trainer, "use_large_pages", lambda: asked.append(True))
    run(Slope(), TrainPlan(epochs=2), scripted(1, 2), batch_size=20)
    assert len(asked) == times


def test_training_stops_when_patience_is_used_up_and_keeps_the_best_epoch():
    fitted = run(Slope(), TrainPlan(epochs=50, patience=2), scripted(1, 3, 2, 3, 1))
    # Epoch 2 is the best; an equal value in epoch 4 is no improvement; the third failure is one too many.
    assert fitted.progress.epoch == 5
    assert (fitted.progress.best_epoch, fitted.progress.best_value) == (2, 3)
    assert fitted.progress.finished == "no improvement"
    assert height(fitted.scorer) == pytest.approx(-2e-3, rel=1e-4)


def test_training_ends_with_the_last_epoch():
    fitted = run(Slope(), TrainPlan(epochs=3), scripted(1, 2, 3))
    assert (fitted.progress.epoch, fitted.progress.best_epoch) == (3, 3)
    assert fitted.progress.finished == "all epochs done"
    assert fitted.progress.steps == 3


def test_validation_comes_every_so_often_and_at_the_end(tmp_path):
    run(Slope(), TrainPlan(epochs=5, validate_every=2), scripted(1, 2, 3), desk=Desk(tmp_path))
    rows = read_rows(tmp_path / "history.jsonl")
    assert [row["epoch"] for row in rows if "valid/recall@20" in row] == [2, 4, 5]


def test_learning_rate_decays_by_the_epoch():
    model = Slope()
    run(model, TrainPlan(epochs=3, learning_rate=0.1, learning_rate_decay=0.5), scripted(1, 2, 3))
    # Rates 0.1 * 0.5^0, 0.1 * 0.5^(1/50), 0.1 * 0.5^(2/50).
    expected = -0.1 * sum(0.5 ** (epoch / 50) for epoch in range(3))
    assert model.slow.item() == pytest.approx(expected, rel=1e-4)


def test_parameter_groups_have_their_own_rates():
    model = Slope()
    run(model, TrainPlan(epochs=2, learning_rate=0.01, learning_rates={"fast": 0.5}), scripted(1, 2))
    assert model.slow.item() == pytest.approx(-0.02, rel=1e-4)
    assert model.fast.item() == pytest.approx(-1.0, rel=1e-4)


def test_a_model_may_ask_for_rates_relative_to_the_plans_and_a_given_rate_wins():
    model = Slope()
    model.rates = {"slow": 0.5, "fast": 10.0}
    run(model, TrainPlan(epochs=2, learning_rate=0.01), scripted(1, 2))
    assert (model.slow.item(), model.fast.item()) == pytest.approx((-0.01, -0.2), rel=1e-4)
    model = Slope()
    model.rates = {"slow": 0.5, "fast": 10.0}
    run(model, TrainPlan(epochs=2, learning_rate=0.01, learning_rates={"fast": 0.03}), scripted(1, 2))
    assert (model.slow.item(), model.fast.item()) == pytest.approx((-0.01, -0.06), rel=1e-4)


def test_a_rate_for_an_unknown_group_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"no parameter group of this model: 'fsat'; did you mean 'fast'\?"):
        run(Slope(), TrainPlan(learning_rates={"fsat": 0.5}), scripted())


def test_an_unknown_metric_is_refused_with_the_nearest_name():
    with pytest.raises(
        ConfigError, match=r"training.metric 'recal@20' is not among .*; did you mean 'recall@20'\?"
    ):
        run(Slope(), TrainPlan(metric="recal@20"), scripted(1))


def test_divergence_names_epoch_and_term():
    with pytest.raises(DivergedError, match="loss term 'bad' became nan in epoch 3") as caught:
        run(Slope(breaks_in_epoch=3), TrainPlan(epochs=9), scripted(1, 2, 3))
    assert (caught.value.epoch, caught.value.term) == (3, "bad")


def test_weight_decay_reaches_the_optimiser():
    model = Slope()
    with torch.no_grad():
        model.slow.fill_(5.0)
    # Slope 1 and pull 0.5 * 5: together uphill of the origin, one step of Adam is still its rate.
    run(model, TrainPlan(epochs=1, learning_rate=0.1, weight_decay=0.5), scripted(1))
    assert model.slow.item() == pytest.approx(4.9, rel=1e-5)
    model = Slope()
    with torch.no_grad():
        model.slow.fill_(-5.0)
    # Here the pull of -2.5 outweighs the slope, and the step goes up.
    run(model, TrainPlan(epochs=1, learning_rate=0.1, weight_decay=0.5), scripted(1))
    assert model.slow.item() == pytest.approx(-4.9, rel=1e-5)


def test_history_has_a_row_per_epoch_and_a_row_per_step(tmp_path):
    run(
        Slope(),
        TrainPlan(epochs=2, learning_rate=0.1),
        scripted(0.5, 0.25),
        batch_size=40,
        desk=Desk(tmp_path),
    )
    epochs, steps = read_rows(tmp_path / "history.jsonl"), read_rows(tmp_path / "steps.jsonl")
    assert [(row["epoch"], row["stage"], row["valid/recall@20"]) for row in epochs] == [
        (1, 1, 0.5),
        (2, 1, 0.25),
    ]
    assert [(row["epoch"], row["step"]) for row in steps] == [(1, 1), (1, 2), (2, 3), (2, 4)]
    assert [row["slow"] for row in steps] == pytest.approx([0, -0.1, -0.2, -0.3], abs=1e-5)
    # Heights 0 and -0.2 in the first epoch.
    assert epochs[0]["loss/height"] == pytest.approx(-0.1, rel=1e-4)
    assert epochs[0]["train_seconds"] <= epochs[0]["epoch_seconds"]


def test_the_folder_holds_the_latest_state_and_the_best_model(tmp_path):
    fitted = run(Slope(), TrainPlan(epochs=3), scripted(1, 3, 2), desk=Desk(tmp_path))
    assert model_weights(tmp_path / "checkpoint.safetensors")["slow"].item() == pytest.approx(-3e-3, rel=1e-4)
    best = load_scorer_state(tmp_path / "scorer.safetensors")
    assert height(best) == height(fitted.scorer) == pytest.approx(-2e-3, rel=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.safetensors",
        "history.jsonl",
        "scorer.safetensors",
        "steps.jsonl",
    ]


def test_a_new_run_in_an_old_folder_does_not_go_on_in_the_old_rows(tmp_path):
    run(Slope(), TrainPlan(epochs=3), scripted(1, 2, 3), desk=Desk(tmp_path))
    run(Slope(), TrainPlan(epochs=2), scripted(1, 2), desk=Desk(tmp_path))
    assert [row["epoch"] for row in read_rows(tmp_path / "history.jsonl")] == [1, 2]
    assert [row["step"] for row in read_rows(tmp_path / "steps.jsonl")] == [1, 2]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(Slope(), TrainPlan(epochs=1), scripted(1))
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_parameters_is_finished_at_once(tmp_path):
    model = Popularity.build(Popularity.Config(), WORLD.data, np.random.default_rng(0))
    fitted = fit(model, None, scripted(), TrainPlan(), seed=0, device=CPU, desk=Desk(tmp_path))
    assert fitted.scorer.kind == "popularity"
    assert fitted.progress.finished == "nothing to train"
    assert load_scorer_state(tmp_path / "scorer.safetensors").kind == "popularity"


def test_a_trainable_model_needs_batches():
    with pytest.raises(ConfigError, match="needs a source of batches"):
        fit(Slope(), None, scripted(), TrainPlan(), seed=0, device=CPU)


class SendsSignal(Silent):
    """Sends a signal to this process in the middle of an epoch."""

    def __init__(self, number, epoch):
        self.number, self.at = number, epoch

    def step(self, epoch: int, done: int, total: int) -> None:
        if (epoch, done) == (self.at, 1):
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_training_with_the_last_whole_epoch_saved(tmp_path, number):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    plan = TrainPlan(epochs=9)
    with pytest.raises(
        Interrupted, match=rf"stopped in epoch 3; the 2 before it are saved, .*{tmp_path.name}"
    ):
        run(Slope(), plan, scripted(1, 2, 3), 40, desk=Desk(tmp_path), watcher=SendsSignal(number, 3))
    assert [row["epoch"] for row in read_rows(tmp_path / "history.jsonl")] == [1, 2]
    assert [row["epoch"] for row in read_rows(tmp_path / "steps.jsonl")] == [1, 1, 2, 2]
    # Two epochs of two steps.
    assert model_weights(tmp_path / "checkpoint.safetensors")["slow"].item() == pytest.approx(-4e-3, rel=1e-4)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_stopped_run_without_a_folder_says_that_nothing_is_saved():
    with pytest.raises(Interrupted, match="nothing is saved, because this run has no folder"):
        run(Slope(), TrainPlan(), scripted(1), 40, watcher=SendsSignal(signal.SIGINT, 1))


def test_a_signal_in_the_last_batch_lets_the_epoch_end_and_stops_before_the_next(tmp_path):
    with pytest.raises(Interrupted, match="stopped in epoch 2"):
        run(Slope(), TrainPlan(), scripted(1, 2), desk=Desk(tmp_path), watcher=SendsSignal(signal.SIGINT, 1))
    assert [row["epoch"] for row in read_rows(tmp_path / "history.jsonl")] == [1]


def test_a_signal_reaches_whoever_reacts_around():
    told = []
    with on_signal(lambda: told.append("outer")):
        with on_signal(lambda: told.append("inner")):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert told == ["inner", "outer", "outer"]


class HasSeenEnough(Silent):
    """Asks for the end after an epoch, and again after any later one."""

    def __init__(self, epoch):
        self.at = epoch

    def epoch(self, row, progress):
        return "seen enough" if row["epoch"] >= self.at else None


def test_a_watcher_ends_training_after_an_epoch_with_its_reason(tmp_path):
    fitted = run(Slope(), TrainPlan(), scripted(1, 3, 2), desk=Desk(tmp_path), watcher=HasSeenEnough(3))
    assert (fitted.progress.epoch, fitted.progress.finished) == (3, "seen enough")
    # It ends as training by its own rules does: with the best epoch's model, and for good.
    assert (fitted.progress.best_epoch, fitted.progress.best_value) == (2, 3)
    assert height(fitted.scorer) == pytest.approx(-2e-3, rel=1e-4)
    again = run(Slope(), TrainPlan(), scripted(), desk=Desk(tmp_path), resume=True)
    assert again.progress == fitted.progress


def test_a_watcher_waits_for_the_first_validation():
    plan = TrainPlan(epochs=9, validate_every=3)
    fitted = run(Slope(), plan, scripted(1), watcher=HasSeenEnough(2))
    assert (fitted.progress.epoch, fitted.progress.finished) == (3, "seen enough")
    assert height(fitted.scorer) == pytest.approx(-3e-3, rel=1e-4)


def test_training_that_was_over_anyway_keeps_its_own_reason():
    fitted = run(Slope(), TrainPlan(epochs=2), scripted(1, 2), watcher=HasSeenEnough(2))
    assert fitted.progress.finished == "all epochs done"
