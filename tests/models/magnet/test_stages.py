"""From coverage to confidence: the rule of Eq. (26) as printed, and its remedies."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alnico.models.magnet.config import MagnetConfig
from alnico.models.magnet.stages import (
    StageState,
    after_epoch,
    after_step,
    initial_state,
    stage_weights,
)


def literal(**settings):
    """Eq. (26) as printed, at threshold .9 and window 3 unless told."""
    printed = {"trigger_unit": "step", "smoothing": 0.0, "window": 3, "entropy_threshold": 0.9}
    return MagnetConfig(**{**printed, **settings})


def states(config, entropies):
    """The state after each of these steps."""
    state, seen = initial_state(config), []
    for value in entropies:
        state = after_step(state, value, config)
        seen.append(state)
    return seen


def test_literal_rule_step_by_step():
    seen = states(literal(), [0.95, 0.90, 0.89, 0.91, 0.92, 0.93, 0.10])
    # n counts values at or above .9, falls back to 0 below, and stage 2 begins when it reaches 3.
    assert [(s.count, s.stage) for s in seen] == [(1, 1), (2, 1), (0, 1), (1, 1), (2, 1), (3, 2), (3, 2)]
    assert [s.switch_step for s in seen] == [-1] * 5 + [6, 6]
    assert seen[-1].steps == 7


def test_a_fresh_router_fires_the_literal_rule_after_as_many_steps_as_the_window():
    seen = states(literal(window=5), [0.999] * 6)
    assert [s.stage for s in seen] == [1, 1, 1, 1, 2, 2]


@given(st.lists(st.floats(0, 1), max_size=40), st.integers(1, 5))
def test_literal_rule_agrees_with_a_plain_loop_and_never_goes_back(entropies, window):
    config = literal(window=window)
    stage, count = 1, 0
    for state, value in zip(states(config, entropies), entropies, strict=True):
        if stage == 1:
            count = count + 1 if value >= 0.9 else 0
            stage = 2 if count >= window else 1
        assert (state.stage, state.count) == (stage, count)


def test_smoothing_reads_an_exponential_mean():
    config = literal(smoothing=0.5, window=2, entropy_threshold=0.8)
    seen = states(config, [1.0, 0.5, 0.9, 0.9])
    # 1; .5 * 1 + .5 * .5 = .75; .5 * .75 + .5 * .9 = .825; .5 * .825 + .5 * .9 = .8625.
    assert [s.smoothed for s in seen] == pytest.approx([1.0, 0.75, 0.825, 0.8625])
    assert [(s.count, s.stage) for s in seen] == [(1, 1), (0, 1), (1, 1), (2, 2)]


def test_a_floor_of_steps_holds_the_switch_back_but_not_the_count():
    seen = states(literal(window=2, min_stage1_steps=4), [0.95] * 5)
    assert [(s.count, s.stage) for s in seen] == [(1, 1), (2, 1), (3, 1), (4, 2), (4, 2)]
    assert seen[-1].switch_step == 4


def test_with_epochs_as_units_the_mean_of_the_epoch_counts():
    config = MagnetConfig(trigger_unit="epoch", window=2, entropy_threshold=0.9)
    state, seen = initial_state(config), []
    for epoch in ([0.8, 1.0], [0.95, 0.80], [0.9, 0.9], [0.99, 0.99], [0.1, 0.1]):
        for value in epoch:
            state = after_step(state, value, config)
        state = after_epoch(state, config)
        seen.append((state.count, state.stage, state.switch_step))
    # Means .9, .875, .9, .99: the second breaks the run; stage 2 begins after the eighth step.
    assert seen == [(1, 1, -1), (0, 1, -1), (1, 1, -1), (2, 2, 8), (2, 2, 8)]


def test_with_epochs_as_units_steps_alone_switch_nothing():
    assert states(MagnetConfig(trigger_unit="epoch", window=1), [1.0] * 9)[-1].stage == 1


def test_with_steps_as_units_epochs_count_nothing():
    config = literal(window=9)
    state = after_epoch(states(config, [0.95, 0.95])[-1], config)
    assert (state.count, state.stage) == (2, 1)
    assert (state.epoch_sum, state.epoch_steps) == (0, 0)


def test_an_epoch_without_steps_counts_nothing():
    config = MagnetConfig(trigger_unit="epoch", window=1, entropy_threshold=0)
    assert after_epoch(initial_state(config), config).stage == 1


def test_fixed_switch_happens_at_its_step_whatever_the_entropy():
    seen = states(MagnetConfig(switch="fixed", fixed_switch_step=3), [0.1] * 4)
    assert [s.stage for s in seen] == [1, 1, 2, 2]
    assert seen[-1].switch_step == 3


def test_never_means_never():
    config = literal(switch="never", window=1)
    assert after_epoch(states(config, [1.0] * 9)[-1], config).stage == 1


def test_start_begins_with_confidence():
    state = initial_state(MagnetConfig(switch="start"))
    assert (state.stage, state.switch_step) == (2, 0)
    assert states(MagnetConfig(switch="start"), [0.0] * 3)[-1].stage == 2


@given(
    st.builds(
        StageState,
        stage=st.sampled_from([1, 2]),
        count=st.integers(0, 10**6),
        steps=st.integers(0, 10**9),
        smoothed=st.floats(-1, 1),
        epoch_sum=st.floats(0, 1e6),
        epoch_steps=st.integers(0, 10**6),
        switch_step=st.integers(-1, 10**9),
    )
)
def test_state_survives_as_a_tensor(state):
    again = StageState.from_tensor(state.to_tensor())
    assert again == state
    assert isinstance(again.stage, int)
    assert state.to_tensor().dtype == torch.float64


WEIGHTS_AT_ENTROPY_POINT_EIGHT = {
    # (coverage in stage 1, confidence in stage 2), in units of lambda_r.
    "linear": (0.2, 0.8),
    "quadratic": (0.04, 0.64),
    "constant": (1.0, 1.0),
    "reverse": (0.8, 0.2),
}


@pytest.mark.parametrize(("schedule", "expected"), WEIGHTS_AT_ENTROPY_POINT_EIGHT.items())
def test_weights_of_the_four_strategies_by_hand(schedule, expected):
    config = MagnetConfig(schedule=schedule, routing=0.3, coverage_floor=None)
    assert stage_weights(1, 0.8, config) == pytest.approx((0.3 * expected[0], 0))
    assert stage_weights(2, 0.8, config) == pytest.approx((0, 0.3 * expected[1]))


@pytest.mark.parametrize(
    ("entropy", "room"),
    [(1.0, 1.0), (0.95, 0.5), (0.9, 0.0), (0.4, 0.0)],
)
def test_the_floor_hands_the_weight_back_to_coverage(entropy, room):
    config = MagnetConfig(schedule="constant", routing=0.3, coverage_floor=0.9)
    assert stage_weights(2, entropy, config) == pytest.approx((0.3 * (1 - room), 0.3 * room))


def test_the_floor_does_not_touch_stage_one():
    floor, none = MagnetConfig(coverage_floor=0.9), MagnetConfig(coverage_floor=None)
    assert stage_weights(1, 0.5, floor) == stage_weights(1, 0.5, none)
