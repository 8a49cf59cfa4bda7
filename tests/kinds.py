"""Every model of the catalogue in a small size, and some in other settings: what contracts are checked on."""

import numpy as np
import pytest

import worlds
from alnico.contracts import TrainableRecommender
from alnico.models import MODELS

BOARD = worlds.checkerboard()
# Small sizes; a model that is not named here is tested with its defaults.
QUICK = {
    "bpr_mf": {"width": 8, "l2": 0.01},
    "grcn": {"width": 16},
    "lattice": {"width": 16},
    "lightgcn": {"width": 8, "layers": 2},
    "mmgcn": {"width": 16, "reduced": {"image": 8}},
    "mig_gt": {"width": 16, "hidden": 16, "projected": 4, "samples": 3},
    "dragon": {"width": 8, "companions": 5},
    "mentor": {"width": 8},
    # With drawn biases some critics pass no pair and get no gradient.
    "cmdl": {"width": 16, "critic_bias": "zero"},
    # Its default, with parts that it leaves out; weights are given, whatever the defaults are.
    "magnet": {
        **{"width": 8, "neighbours": 20, "layers": 3, "cue_neighbours": 4, "cue_hops": 2, "cue_weight": 0.5},
        **{"features_trainable": True, "cue_gate": True, "identity_rate": 3.0, "l2": 2e-5},
        **{"contrast": 0.01, "alignment": 0.05, "attraction": 0.05, "routing": 0.01},
    },
}
# The same contract for other settings of a model: its name and these.
VARIANTS = {
    "magnet, projected": (
        "magnet",
        {"preset": "projected", "width": 8, "neighbours": 5, "induced": 5, "induced_cap": 3},
    ),
}
KINDS = {**{name: (name, QUICK.get(name, {})) for name in MODELS}, **VARIANTS}

EVERY = pytest.mark.parametrize("name", KINDS)
TRAINED = pytest.mark.parametrize(
    "name", [kind for kind, (name, _) in KINDS.items() if issubclass(MODELS[name], TrainableRecommender)]
)


def quick(name):
    """Quick settings of this kind."""
    model, settings = KINDS[name]
    return MODELS[model].Config(**settings)


def build(name, data=BOARD.data, seed=0):
    """An untrained model with quick settings."""
    return MODELS[KINDS[name][0]].build(quick(name), data, np.random.default_rng(seed))
