"""From runs that differ in a setting to points and cells."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from alnico.experiment.variants import StudyRow, fields
from alnico.report.exhibits import sweeps
from alnico.report.exhibits.shown import LeftOut, StudyFigure
from finished_runs import Finished, record_row
from study_rows import study_row

BASE = {"alpha": 0.6, "beta": 0.2, "families": ["dominant"], "experts_per_pair": 4, "replicas": 1}
THREE = ["dominant", "balanced", "complementary"]


def row(value: float, label: str = "", seed: int = 1, result: Any = None, **varied: Any) -> StudyRow:
    """A run whose test measures are all ``value`` and that changes these settings of the model."""
    dotted = {f"model.{key}": value for key, value in varied.items()}
    name = label or ", ".join(f"{key}={value}" for key, value in varied.items()) or "default"
    return study_row(name, [value, value], settings=BASE, varied=dotted, seed=seed, result=result)


def texts(figure: object) -> list[str]:
    """Everything that is written on a figure."""
    assert isinstance(figure, StudyFigure)
    root = ET.fromstring(figure.picture.svg)
    return [element.text or "" for element in root.iter() if element.tag.endswith("text")]


def lines(figure: object, panel: int) -> list[tuple[list[float], list[float]]]:
    """The curves of one panel."""
    assert isinstance(figure, StudyFigure)
    axes = figure.picture.figure.axes[panel]
    return [
        ([float(x) for x in line.get_xdata()], [float(y) for y in line.get_ydata()])  # type: ignore[union-attr]
        for line in axes.lines
    ]


def test_template_sweep_joins_the_default_and_averages_seeds() -> None:
    made = sweeps.template_sweeps(
        [
            row(0.5),
            row(0.25, alpha=0.0),
            row(0.75, alpha=0.0, seed=2),
            row(0.875, alpha=1.0),
            row(1, beta=0.4),
        ]
    )
    (figure,) = made
    # Three measures times the two settings that were swept.
    assert isinstance(figure, StudyFigure)
    assert len(figure.picture.figure.axes) == 6
    assert lines(figure, 0)[0] == ([0.0, 0.6, 1.0], [0.5, 0.5, 0.875])
    hollow = [line.get_markerfacecolor() for line in figure.picture.figure.axes[0].lines[1:]]
    assert [face == "white" for face in hollow] == [False, True, False]
    assert lines(figure, 1)[0] == ([0.2, 0.4], [0.5, 1.0])
    assert figure.caption.endswith("Hollow: the default. Not swept: δ, first auxiliary.")


def test_default_is_known_from_the_other_sweeps_where_it_was_not_run() -> None:
    (field,) = fields([row(0.5, alpha=0.0), row(0.5, alpha=0.6), row(0.5, beta=0.4), row(0.5, beta=0.2)])
    assert sweeps.default_value(field, "model.alpha") == 0.6
    (alone,) = fields([row(0.5, alpha=0.0), row(0.5, alpha=0.6)])
    assert sweeps.default_value(alone, "model.alpha") is None


def test_unchanged_run_of_other_settings_is_no_point_of_the_sweep() -> None:
    other = study_row("default", [1, 1], settings={**BASE, "width": 9})
    made = sweeps.template_sweeps([other, row(0.25, alpha=0.0), row(0.5, alpha=1.0)])
    assert lines(made[0], 0)[0] == ([0.0, 1.0], [0.25, 0.5])


def test_part_without_a_sweep_says_so() -> None:
    (told,) = sweeps.template_sweeps([row(0.5), row(0.5, width=9)])
    assert isinstance(told, LeftOut)
    assert told.why == "no two runs differ in alpha, beta, delta alone"


def test_routing_weight_is_drawn_beside_the_experts_in_use() -> None:
    used = {"routing": {"effective_experts": 2.0}}
    (figure,) = sweeps.routing_sweeps(
        [row(0.5, routing=0.0, result=used), row(0.6, routing=0.1, result=used)]
    )
    assert "N_eff" in texts(figure)
    assert lines(figure, 2)[0][1] == [2.0, 2.0]
    (without,) = sweeps.routing_sweeps([row(0.5, routing=0.0), row(0.6, routing=0.1)])
    assert "N_eff" not in texts(without)


def test_settings_of_the_training_are_swept_too() -> None:
    made = sweeps.setting_sweeps(
        [
            study_row(f"{rate}", [rate, rate], settings=BASE, varied={"training.learning_rate": rate})
            for rate in (0.25, 0.5)
        ]
    )
    assert lines(made[0], 1)[0] == ([0.25, 0.5], [0.25, 0.5])


def test_pool_map_knows_how_many_experts_there_are() -> None:
    rows = [row(0.125 * k, families=["balanced"], experts_per_pair=k) for k in (1, 4)]
    rows += [row(0.25 * k, families=THREE, experts_per_pair=k) for k in (1, 4)]
    rows += [row(0.5, replicas=p, experts_per_pair=k) for p in (1, 2) for k in (2, 4)]
    (figure,) = sweeps.pool_maps(rows)
    told = texts(figure)
    # One modality beside behaviour: two experts per family; the replicas are of the one family of the base.
    assert {"Bal (E = 2)", "Dom + Bal + Com (E = 6)", "p = 1 (E = 2)", "p = 2 (E = 4)"} <= set(told)
    # K = 4 of two experts, twice.
    assert told.count("\\") == 2
    assert "1.0000" in told


def test_trigger_map_shows_where_the_switch_never_came() -> None:
    rows = [
        row(0.5, entropy_threshold=h, window=w, result={"switch_step": 10 * w if h < 0.9 else -1})
        for h in (0.8, 0.95)
        for w in (1, 3)
    ]
    (figure,) = sweeps.trigger_maps(rows)
    told = texts(figure)
    assert told.count("never") == 2
    assert {"10", "30", "H*, threshold", "W, window"} <= set(told)
    (same,) = sweeps.trigger_maps(
        [row(0.5, entropy_threshold=h, window=1, result={"switch_step": 3}) for h in (0.8, 0.9)]
    )
    assert isinstance(same, StudyFigure)
    assert "threshold and window decide nothing here" in same.caption
    for steps in ((-1, -1), (3, -1)):
        (figure,) = sweeps.trigger_maps(
            [
                row(0.5, entropy_threshold=h, window=1, result={"switch_step": step})
                for h, step in zip((0.8, 0.9), steps, strict=True)
            ]
        )
        assert isinstance(figure, StudyFigure)
        assert "decide nothing" not in figure.caption
        assert ("No run switched." in figure.caption) == (steps == (-1, -1))
    assert isinstance(sweeps.trigger_maps([row(0.5)])[0], LeftOut)


def test_literal_trigger_is_shown_by_one_log(finished: Finished) -> None:
    real = record_row(finished.magnet)
    settings = real.record.settings["model"]
    grid = [
        study_row(
            f"H*={h}",
            [0.5, 0.5],
            settings=settings,
            varied={"model.entropy_threshold": h},
            result={"switch_step": 4},
        )
        for h in (0.8, 0.9)
    ]
    literal = study_row(
        "literal",
        [0.5, 0.5],
        settings=settings,
        varied={"model.trigger_unit": "step", "model.smoothing": 0.0},
        result={"switch_step": 3},
        run=finished.magnet,
    )
    (figure,) = sweeps.trigger_maps([*grid, literal])
    assert isinstance(figure, StudyFigure)
    assert "The literal trigger" in texts(figure)
    assert "stage 2 begins at step 3." in figure.caption


@pytest.mark.parametrize("make", [sweeps.template_sweeps, sweeps.pool_maps, sweeps.routing_sweeps])
def test_each_data_set_has_a_figure_of_its_own(make: Any) -> None:
    rows = []
    for dataset in ("shop", "baby"):
        for value in (0.1, 0.2):
            for key in ("alpha", "routing", "replicas"):
                rows.append(
                    study_row(
                        f"{key}={value}",
                        [value, value],
                        dataset=dataset,
                        settings=BASE,
                        varied={f"model.{key}": value},
                    )
                )
    names = [one.name for one in make(rows)]
    assert [name.rsplit("-", 1)[1] for name in names] == ["shop", "baby"]
