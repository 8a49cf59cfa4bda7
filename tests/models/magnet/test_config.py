"""Settings: presets, refusals, round trips."""

import pytest
from pydantic import ValidationError

from alnico.models.magnet.config import FAMILIES, PAPER, MagnetConfig


def test_the_paper_preset_fixes_exactly_its_switches():
    paper, ours = MagnetConfig(preset="paper").model_dump(), MagnetConfig().model_dump()
    assert {name: paper[name] for name in PAPER} == PAPER
    rest = set(ours) - set(PAPER) - {"preset"}
    assert {name: paper[name] for name in rest} == {name: ours[name] for name in rest}


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


@pytest.mark.parametrize("name", PAPER)
def test_a_given_setting_wins_over_the_preset(name):
    default = MagnetConfig().model_dump()[name]
    assert MagnetConfig(preset="paper", **{name: default}).model_dump()[name] == default


def test_the_numbers_of_the_paper_preset_are_those_printed_for_baby():
    config = MagnetConfig(preset="paper")
    assert (config.width, config.layers, config.neighbours, config.induced) == (64, 2, 20, 150)
    assert (config.alpha, config.beta, config.delta, config.experts_per_pair) == (0.6, 0.2, 0.5, 4)
    assert (config.entropy_threshold, config.window, config.routing) == (0.9, 3, 0.3)
    assert (config.l2, config.dropout, config.temperature, config.contrast) == (2e-5, 0.1, 0.5, 0.01)


@pytest.mark.parametrize("preset", ["alnico", "paper"])
def test_settings_survive_a_round_trip(preset):
    config = MagnetConfig(preset=preset, width=48, families=("dominant",), induced_cap=10)
    assert MagnetConfig.model_validate(config.model_dump()) == config
    assert MagnetConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"switch": "fixed"}, "needs fixed_switch_step, the step at which stage 2 begins"),
        ({"families": ("dominant", "dominant")}, "families names a family twice"),
        ({"families": ()}, "families"),
        ({"features_trainable": True}, "needs features that stay as they are; use 'behaviour'"),
        ({"feature_input": "raw"}, "compares vectors of length one; use feature_input = 'unit'"),
        ({"alpha": 1.5}, "alpha"),
        ({"epsilon": 1.0}, "epsilon"),
        ({"head": "sum"}, "head"),
        ({"widht": 3}, "widht"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        MagnetConfig(**settings)
