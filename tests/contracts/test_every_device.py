"""What every model owes wherever tensors lie: it runs there, and finds what the own kernels find."""

from functools import cache

import numpy as np
import pytest
import torch

from alnico.contracts import ExplainingScorer, Scorer
from alnico.diagnostics.explain import explain
from alnico.diagnostics.routing import route_pairs
from alnico.experiment.dissection import averaged, nodes
from alnico.kernels.place import plain_torch
from alnico.models import MODELS, restore
from alnico.models.magnet.scorer import MagnetScorer
from alnico.training.batches import BatchSource
from alnico.training.checkpoint import load_scorer_state
from alnico.training.plan import TrainPlan
from alnico.training.trainer import Desk, Silent, fit
from elsewhere import elsewhere
from kinds import BOARD, KINDS

CPU = torch.device("cpu")
TRAIN, PLAN = BOARD.split.train, TrainPlan(epochs=1, batch_size=256, learning_rate=0.003)
# Parts of MAGNET that its usual settings leave out.
PARTS = {
    "magnet, concatenation": {
        "head": "concat",
        "router": "mlp",
        "router_input": "coherence",
        "families": ("dominant", "balanced"),
    },
    "magnet, sampled": {
        "fanout": 3,
        "projection": "mlp",
        "feature_input": "standardised",
        "router_input": "behaviour",
        "templates": "learned",
    },
    "magnet, one head": {"mixture": False, "cue_scale": "balanced", "leave_one_out": False},
}
SMALL = {"preset": "projected", "width": 8, "neighbours": 5, "induced": 5}
EVERYTHING = {**KINDS, **{name: ("magnet", {**SMALL, **more}) for name, more in PARTS.items()}}
EVERY = pytest.mark.parametrize("name", EVERYTHING)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")


class Heard(Silent):
    """Keeps each epoch's losses."""

    def __init__(self):
        self.losses = {}

    def epoch(self, row, progress):
        self.losses = {key: value for key, value in row.items() if key.startswith("loss/")}


def everything(name, device, folder=None):
    """Losses of an epoch, and all that a finished model says, in main memory."""
    model, settings = EVERYTHING[name]
    untrained = MODELS[model].build(MODELS[model].Config(**settings), BOARD.data, np.random.default_rng(0))
    heard = Heard()
    fitted = fit(
        untrained,
        BatchSource(TRAIN, PLAN.batch_size),
        lambda scorer: {"recall@20": float(BOARD.hits(scorer.top(BOARD.asked, BOARD.seen, 1).items))},
        PLAN,
        seed=4,
        device=device,
        desk=Desk(folder),
        watcher=heard,
    )
    state = fitted.scorer if folder is None else load_scorer_state(folder / "scorer.safetensors")
    return heard.losses, told(restore(state).to(device))


def told(scorer):
    """Scores by each way, lists, and reasons."""
    rows = torch.arange(40, device=scorer.device)
    ranking = scorer.top(BOARD.asked, BOARD.seen, 10)
    later = scorer.fold_in([TRAIN.of_user(0), np.zeros(0, np.int64)])
    said = {
        "scores": scorer.scores(rows),
        "pairs": scorer.score_pairs(rows, rows),
        "listed": torch.from_numpy(ranking.scores.copy()),
        "later": later.scores(rows[:2]),
        "later listed": torch.from_numpy(later.top(np.array([0]), BOARD.seen, 5).scores.copy()),
    }
    if type(scorer).with_items is not Scorer.with_items:
        said["wider"] = scorer.with_items(BOARD.features.rows(np.array([0, 1]))).scores(rows)
    if isinstance(scorer, ExplainingScorer):
        routed = route_pairs(scorer, np.arange(40), np.arange(40))
        said |= {"routing": routed.routing, "reliance": routed.reliance}
        reasons = explain(scorer, 0, 0, TRAIN, BOARD.features, {})
        said["forgetting"] = torch.tensor([witness.effect for witness in reasons.witnesses])
    if isinstance(scorer, MagnetScorer) and scorer.router is not None:
        said["nodes"] = torch.from_numpy(nodes(scorer, TRAIN, "users", np.arange(5)).after)
        said["averaged"] = averaged(scorer, scorer.parts[1]).scores(rows)
    return {key: value.detach().cpu() for key, value in said.items()}


@cache
def ordinary(name):
    """By the own kernels."""
    return everything(name, CPU)


def agree(found, name, tolerance):
    """Whether losses and all that the model says are those of the own kernels."""
    losses, said = ordinary(name)
    assert found[0] == pytest.approx(losses, rel=tolerance)
    assert set(found[1]) == set(said)
    for key, value in said.items():
        torch.testing.assert_close(
            found[1][key], value, rtol=tolerance, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}"
        )


@pytest.mark.parametrize("name", ["mmgcn", "lattice", "slmrec", "magnet, concatenation"])
def test_torch_alone_finds_what_the_kernels_find(name):
    with plain_torch():
        found = everything(name, CPU)
    agree(found, name, 1e-4)


@EVERY
def test_a_model_trains_and_answers_where_tensors_lie_elsewhere(name, tmp_path):
    with elsewhere() as device:
        found = everything(name, device, tmp_path)
    agree(found, name, 1e-4)


@GPU
@pytest.mark.gpu
@EVERY
def test_a_model_trains_and_answers_on_a_gpu(name, tmp_path):
    # A GPU draws other random numbers: models that draw are compared by what they reach, not by bits.
    found = everything(name, torch.device("cuda"), tmp_path)
    losses, _ = ordinary(name)
    assert found[0] == pytest.approx(losses, rel=0.1, abs=1e-3)
    assert all(torch.isfinite(value).all() or key == "listed" for key, value in found[1].items())
