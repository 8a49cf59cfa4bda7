"""Routing while training, on steps written by hand and on those of a real run."""

import numpy as np
import pytest

from alnico.diagnostics.dynamics import (
    FACTS,
    smoothed,
    switch_of,
    trace_of,
    unit_curve,
)
from finished_runs import Finished


def rows(entropies: list[float], per_epoch: int = 2) -> list[dict[str, float]]:
    """One row per step; every fact but the entropy is a tenth of the step's number."""
    return [
        {
            **dict.fromkeys(FACTS, number / 10),
            "entropy": value,
            "step": number,
            "epoch": (number - 1) // per_epoch + 1,
            "bpr": 0.5,
        }
        for number, value in enumerate(entropies, start=1)
    ]


SETTINGS = {
    "switch": "entropy",
    "trigger_unit": "step",
    "smoothing": 0.0,
    "entropy_threshold": 0.9,
    "window": 2,
}


def test_trace_has_a_value_per_step_and_a_mean_per_epoch() -> None:
    trace = trace_of(rows([1.0, 0.8, 0.6, 0.4, 0.2]))
    assert trace is not None
    epochs, means = trace.by_epoch("entropy")
    assert epochs.tolist() == [1, 2, 3]
    assert means == pytest.approx([0.9, 0.5, 0.2])
    assert trace.of("pair_entropy") == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
    assert trace.after(3).steps.tolist() == [4, 5]


def test_a_fact_that_earlier_logs_lack_is_there_where_every_step_holds_it() -> None:
    old = rows([1.0, 0.8])
    assert "hhi_pairs" not in trace_of(old)
    new = [{**row, "hhi_pairs": value} for row, value in zip(old, (0.2, 0.6), strict=True)]
    assert trace_of(new).by_epoch("hhi_pairs")[1] == pytest.approx([0.4])
    assert "hhi_pairs" not in trace_of([*old, *new])


def test_late_is_the_last_fifth() -> None:
    trace = trace_of(rows([0.0] * 8 + [0.5, 0.7]))
    assert trace is not None
    assert trace.late("entropy") == pytest.approx(0.6)
    short = trace_of(rows([0.0, 0.3]))
    assert short is not None
    assert short.late("entropy") == pytest.approx(0.3)


def test_steps_without_routing_have_no_trace() -> None:
    assert trace_of([{"step": 1, "epoch": 1, "bpr": 0.5}]) is None


def test_exponential_mean_by_hand() -> None:
    # .5 * 1 + .5 * 0, then .5 * .5 + .5 * 1.
    assert smoothed(np.array([1.0, 0.0, 1.0]), 0.5).tolist() == [1.0, 0.5, 0.75]
    assert smoothed(np.array([1.0, 0.0, 1.0]), 0.0).tolist() == [1.0, 0.0, 1.0]


def test_crossing_is_where_the_signal_stayed_above_the_threshold() -> None:
    trace = trace_of(rows([0.95, 0.5, 0.92, 0.93, 0.2]))
    assert trace is not None
    told = switch_of(trace, SETTINGS, 4)
    assert (told.crossing, told.step, told.window) == (3, 4, 2)


def test_literal_trigger_crosses_with_the_first_step() -> None:
    trace = trace_of(rows([0.99, 0.98, 0.3]))
    assert trace is not None
    assert switch_of(trace, SETTINGS, 2).crossing == 1


def test_epochs_are_the_unit_where_the_trigger_counts_them() -> None:
    trace = trace_of(rows([0.5, 0.7, 0.9, 0.96, 0.92, 0.92, 0.1, 0.1]))
    assert trace is not None
    told = switch_of(trace, {**SETTINGS, "trigger_unit": "epoch"}, 6)
    # Epoch means .6, .93, .92, .1 at their last steps 2, 4, 6, 8.
    assert told.signal == pytest.approx([0.6, 0.93, 0.92, 0.1])
    assert told.signal_steps.tolist() == [2, 4, 6, 8]
    assert (told.crossing, told.step) == (4, 6)


@pytest.mark.parametrize(("switch", "step"), [("never", -1), ("never", None), ("fixed", 3)])
def test_without_the_trigger_nothing_crosses(switch: str, step: int | None) -> None:
    trace = trace_of(rows([0.99, 0.98, 0.97, 0.96]))
    assert trace is not None
    told = switch_of(trace, {**SETTINGS, "switch": switch}, step)
    assert told.crossing is None
    assert told.step == (3 if switch == "fixed" else None)


def test_scaling_to_unit_keeps_order_and_stands_still_where_all_are_equal() -> None:
    assert unit_curve(np.array([1.0, 3.0, 2.0])).tolist() == [0, 1, 0.5]
    assert unit_curve(np.array([1.0, 1.0])).tolist() == [0.5, 0.5]


def test_real_steps_hold_every_fact(finished: Finished) -> None:
    trace = trace_of(finished.magnet.steps)
    assert trace is not None
    assert len(trace) == finished.magnet.result["steps"]
    assert (trace.of("effective_experts") >= 1).all()
    assert (trace.of("pair_entropy") <= trace.of("entropy") + 1e-6).all()
