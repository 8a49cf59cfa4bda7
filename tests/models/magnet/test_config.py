"""Settings: presets, refusals, round trips."""

import pytest
from pydantic import ValidationError

from alnico.models.magnet.config import FAMILIES, PAPER, PROJECTED, MagnetConfig

FIXED = {"projected": PROJECTED, "paper": PAPER}


@pytest.mark.parametrize(("preset", "switches"), FIXED.items(), ids=FIXED)
def test_a_preset_fixes_exactly_its_switches(preset, switches):
    theirs, ours = MagnetConfig(preset=preset).model_dump(), MagnetConfig().model_dump()
    assert {name: theirs[name] for name in switches} == switches
    rest = set(ours) - set(switches) - {"preset"}
    assert {name: theirs[name] for name in rest} == {name: ours[name] for name in rest}


@pytest.mark.parametrize(
    ("preset", "cues", "pool", "rates"),
    [
        ("alnico", ("neighbourhood", True, "items", False), (FAMILIES, 0.6, "behaviour", "hadamard"), None),
        (
            "projected",
            ("projection", False, "users_and_items", True),
            (("dominant",), 1.0, "coherence", "hadamard"),
            (20, 10, 0.1, 0.3, 5.0, 0.02, 1e-3, 0.5, 0.02, 0.0, 0.0),
        ),
        (
            "paper",
            ("projection", False, "users_and_items", False),
            (FAMILIES, 0.6, "behaviour", "concat"),
            (20, 150, 0.1, 0.0, 1.0, 1.0, 2e-5, 0.5, 0.3, 0.0, 0.0),
        ),
    ],
)
def test_what_each_preset_is(preset, cues, pool, rates):
    config = MagnetConfig(preset=preset)
    assert (config.cue, config.anchored, config.induced_between, config.leave_one_out) == cues
    assert (config.families, config.alpha, config.router_input, config.head) == pool
    # Numbers of the default are chosen by measurement and may move.
    names = (
        *("neighbours", "induced", "dropout", "modality_dropout", "identity_rate", "head_rate"),
        *("l2", "temperature", "routing", "alignment", "attraction"),
    )
    assert rates is None or tuple(getattr(config, name) for name in names) == rates


def test_the_default_preset_is_the_projects_own():
    assert MagnetConfig() == MagnetConfig(preset="alnico")


def test_the_switches_of_the_paper_are_the_printed_form():
    paper = MagnetConfig(preset="paper")
    assert (paper.head, paper.bpr, paper.regulariser, paper.trigger_unit) == (
        "concat",
        "sum",
        "everything",
        "step",
    )
    assert (paper.cue_scale, paper.leave_one_out, paper.router_input) == ("none", False, "behaviour")
    assert (paper.smoothing, paper.coverage_floor, paper.modality_dropout) == (0, None, 0)
    assert paper.families == FAMILIES


@pytest.mark.parametrize(
    ("preset", "name"), [(preset, name) for preset, switches in FIXED.items() for name in switches]
)
def test_a_given_setting_wins_over_the_preset(preset, name):
    default = MagnetConfig().model_dump()[name]
    assert MagnetConfig(preset=preset, **{name: default}).model_dump()[name] == default


def test_the_numbers_of_the_paper_preset_are_those_printed_for_baby():
    config = MagnetConfig(preset="paper")
    assert (config.width, config.layers, config.neighbours, config.induced) == (64, 2, 20, 150)
    assert (config.alpha, config.beta, config.delta, config.experts_per_pair) == (0.6, 0.2, 0.5, 4)
    assert (config.entropy_threshold, config.window, config.routing) == (0.9, 3, 0.3)
    assert (config.l2, config.dropout, config.temperature, config.contrast) == (2e-5, 0.1, 0.5, 0.01)


@pytest.mark.parametrize(
    ("preset", "changes"),
    [("alnico", {"fanout": 10}), ("projected", {"induced_cap": 10}), ("paper", {"induced_cap": 10})],
)
def test_settings_survive_a_round_trip(preset, changes):
    config = MagnetConfig(preset=preset, width=48, families=("dominant",), **changes)
    assert MagnetConfig.model_validate(config.model_dump()) == config
    assert MagnetConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"switch": "fixed"}, "needs fixed_switch_step, the step at which stage 2 begins"),
        ({"families": ("dominant", "dominant")}, "families names a family twice"),
        ({"families": ()}, "families"),
        (
            {"preset": "projected", "features_trainable": True},
            "needs features that stay as they are; use 'behaviour'",
        ),
        (
            {"preset": "projected", "feature_input": "raw"},
            "compares vectors of length one; use feature_input = 'unit'",
        ),
        ({"alpha": 1.5}, "alpha"),
        ({"epsilon": 1.0}, "epsilon"),
        ({"head": "sum"}, "head"),
        ({"widht": 3}, "widht"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        MagnetConfig(**settings)
