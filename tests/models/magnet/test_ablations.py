"""Tables 5 and 6 and every other reading are settings: each of them trains and ranks."""

from functools import cache

import numpy as np
import pytest
import torch

import plain
import worlds
from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.model import Magnet
from alnico.training.batches import BatchSource

ROUTED = {"bpr", "coverage", "confidence", "contrast", "l2"}
# Weights are given: a default of none would be a term less.
AS_DELIVERED = {
    "as delivered": (
        {"l2": 1e-4, "contrast": 0.01, "routing": 0.02, "alignment": 0.01, "attraction": 0.01},
        ROUTED | {"alignment", "attraction"},
    ),
    "projected": ({"preset": "projected"}, ROUTED),
    "paper": ({"preset": "paper"}, ROUTED),
}
CHANGES = {
    # Table 5
    "a, without routing terms": ({"routing": 0.0}, ROUTED),
    "b, without agreement of views": ({"contrast": 0.0}, ROUTED - {"contrast"}),
    "c, switch at a fixed step": ({"switch": "fixed", "fixed_switch_step": 2}, ROUTED),
    "d, coverage only": ({"switch": "never", "trigger_unit": "step", "window": 1}, ROUTED),
    "e, confidence only": ({"switch": "start"}, ROUTED),
    "f, learned templates": ({"templates": "learned"}, ROUTED),
    "g, without a mixture": ({"mixture": False}, {"bpr", "contrast", "l2"}),
    "h, full": ({}, ROUTED),
    # Table 6
    "quadratic": ({"schedule": "quadratic"}, ROUTED),
    "constant": ({"schedule": "constant"}, ROUTED),
    "reverse": ({"schedule": "reverse"}, ROUTED),
    # Figure 4
    "one family": ({"families": ("balanced",), "experts_per_pair": 2}, ROUTED),
    "replicas": ({"replicas": 3}, ROUTED),
    # Other readings
    "single view": ({"views": "single"}, ROUTED - {"contrast"}),
    "capped": ({"induced_cap": 2}, ROUTED),
    "trained features": ({"features_trainable": True, "router_input": "behaviour"}, ROUTED),
    "without a mixture, concatenation": ({"mixture": False, "head": "concat"}, {"bpr", "contrast", "l2"}),
    "network everywhere": ({"projection": "mlp", "router": "mlp", "head": "concat"}, ROUTED),
    "neighbourhood": (
        {"cue": "neighbourhood", "features_trainable": True, "router_input": "behaviour"},
        ROUTED,
    ),
    "neighbourhood, everything else too": (
        {
            "cue": "neighbourhood",
            "anchored": True,
            "cue_weight": 0.3,
            "cue_gate": True,
            "induced_between": "items",
            "alignment": 0.1,
            "attraction": 0.1,
            "fanout": 2,
        },
        ROUTED | {"alignment", "attraction"},
    ),
    "projection on an anchor": ({"anchored": True, "alignment": 0.1}, ROUTED | {"alignment"}),
    "no regulariser": ({"l2": 0.0}, ROUTED - {"l2"}),
}
READINGS = {name: ({**plain.WHOLE, **changes}, terms) for name, (changes, terms) in CHANGES.items()}
READINGS |= AS_DELIVERED
EVERY = pytest.mark.parametrize("name", READINGS)


@cache
def reading(name):
    """A reading after training; see ``trained``."""
    return trained(READINGS[name][0])


def trained(settings, epochs=2):
    """A small model after a few steps, the names of its loss terms, and what gradient each parameter saw."""
    data = worlds.scattered(seed=5, n_users=20, idle_users=1).data
    config = MagnetConfig(**{"width": 6, "neighbours": 3, "induced": 5, **settings})
    model = Magnet.build(config, data, np.random.default_rng(0))
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    moved = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for epoch in range(1, epochs + 1):
        rng = np.random.default_rng(epoch)
        model.begin_epoch(epoch, rng)
        for batch in BatchSource(data.interactions, 32).epoch(rng, torch.device("cpu")):
            step = model.loss_terms(batch)
            assert all(torch.isfinite(term) for term in step.terms.values())
            optimiser.zero_grad()
            torch.stack(list(step.terms.values())).sum().backward()
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    moved[name] += parameter.grad.abs()
            optimiser.step()
            model.observe(step.facts)
        model.end_epoch(epoch)
    return model, set(step.terms), moved


@EVERY
def test_each_reading_trains_with_its_own_terms_and_ranks(name):
    model, found, _ = reading(name)
    assert found == READINGS[name][1]
    scorer = model.scorer()
    users, items = torch.meshgrid(torch.arange(21), torch.arange(15), indexing="ij")
    scores = scorer.scores(torch.arange(21))
    assert torch.isfinite(scores).all()
    pairs = scorer.score_pairs(users.flatten(), items.flatten()).reshape(21, 15)
    torch.testing.assert_close(pairs, scores, rtol=1e-4, atol=1e-5)


@EVERY
def test_each_reading_moves_every_parameter_but_the_inert(name):
    model, _, moved = reading(name)
    still = {name for name, gradient in moved.items() if not gradient.any()}
    assert still <= model.inert_parameters()


def test_switches_of_table_5_end_in_their_stage():
    # Two epochs of three steps.
    assert reading("c, switch at a fixed step")[0].stage.switch_step == 2
    assert reading("d, coverage only")[0].stage.stage == 1
    assert reading("e, confidence only")[0].stage.stage == 2
    # The literal rule fires as soon as its window allows.
    assert reading("paper")[0].stage.switch_step == 3


def test_without_a_mixture_there_is_no_router():
    model, _, _ = reading("g, without a mixture")
    assert not any(name.startswith("router") for name in model.state_dict())
    assert len(model.scorer().experts) == 1


def test_the_head_without_a_mixture_starts_from_the_mean_of_all_parts():
    data = worlds.scattered(absent_share=0.0).data
    config = MagnetConfig(
        **{"preset": "projected", "width": 6, "mixture": False},
        **{"views": "single", "cue_scale": "none", "head": "hadamard"},
    )
    scorer = Magnet.build(config, data, np.random.default_rng(0)).scorer()
    everyone = torch.arange(12)
    left = (scorer.users.z + scorer.users.cues.sum(1)) / 3
    # Items nobody took have no identity; the mean is over the parts that are there.
    right = (scorer.items.z + scorer.items.cues.sum(1)) / scorer.items.present.sum(1, keepdim=True)
    torch.testing.assert_close(scorer.scores(everyone), left @ right.T, rtol=1e-5, atol=1e-6)


def test_learned_templates_start_near_even_and_sum_to_one():
    data = worlds.scattered().data
    config = MagnetConfig(**{**plain.WHOLE, "width": 6, "templates": "learned"})
    model = Magnet.build(config, data, np.random.default_rng(0))
    shares = model.templates()
    torch.testing.assert_close(shares.sum(1), torch.ones(9))
    assert (shares - 1 / 3).abs().max() < 0.15
