"""The plans that come with the project: every run of them can be asked for, and they say what the paper says."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from alnico.experiment.course import Course, lay_out
from alnico.experiment.folder import settings_fingerprint
from alnico.experiment.plan import Figure, Table, load_plan
from alnico.experiment.protocol import read_protocol
from alnico.experiment.results import read_record
from alnico.experiment.shelf import TOLD_BY_FINGERPRINTS, told_identity

ROOT = Path(__file__).parents[1]
STUDIES = {path.stem: path for path in sorted((ROOT / "studies").glob("*.toml"))}
AMAZON = {
    # Table 3: k, r, d, alpha, beta, delta, H*, W, lambda_r, learning rate, lambda, dropout, tau.
    "baby": (20, 150, 64, 0.6, 0.2, 0.5, 0.90, 3, 0.30, 1e-3, 2e-5, 0.10, 0.5),
    "sports": (20, 200, 64, 0.6, 0.2, 0.4, 0.87, 4, 0.30, 1.5e-3, 2e-5, 0.20, 1.5),
    "clothing": (30, 200, 48, 0.6, 0.1, 0.8, 0.90, 5, 0.40, 1e-3, 4e-5, 0.20, 0.2),
    "electronics": (30, 200, 48, 0.6, 0.2, 0.6, 0.87, 5, 0.30, 1e-3, 2e-4, 0.15, 0.2),
}
SWEPT = ("tiktok", "ml100k")
CLOSEST = "leaders"
SYMBOLS = (
    *("neighbours", "induced", "width", "alpha", "beta", "delta", "entropy_threshold", "window", "routing"),
    *("learning_rate", "l2", "dropout", "temperature"),
)


def set_apart(name: str) -> list[str]:
    """All plans but this one."""
    return [other for other in STUDIES if other != name]


@cache
def course_of(name: str) -> Course:
    """All runs of a shipped plan; its settings files are found from the project's folder."""
    plan = load_plan(STUDIES[name])
    return lay_out(plan, read_protocol(plan.protocol))


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def settings(course: Course, part: str, variant: str) -> Mapping[str, Any]:
    """The resolved model settings of a run in a part, with its learning rate."""
    run = next(placed.run for placed in course.placed[part] if placed.variant == variant)
    spec = course.run(run).outline().resolved()
    return {**spec["model"], "learning_rate": spec["training"]["learning_rate"]}


def test_there_are_plans() -> None:
    assert set(STUDIES) == {*AMAZON, *SWEPT, "baby-mmrec", CLOSEST}


@pytest.mark.parametrize("name", STUDIES)
def test_every_run_of_a_plan_can_be_asked_for(name: str) -> None:
    course = course_of(name)
    assert course.protocol.name == ("magnet" if name in AMAZON else "mmrec")
    for run in course.runs:
        training = run.settings["training"]
        assert training["metric"] == course.protocol.training.metric
        assert (training["patience"] == course.protocol.training.patience) == (run.exception is None)
    names = [run.name for run in course.runs]
    assert len(set(names)) == len(names)
    for number, run in enumerate(course.runs):
        assert run.needs <= set(names[:number])


@pytest.mark.parametrize("name", set_apart(CLOSEST))
def test_plan_serves_the_tables_and_figures_that_it_should(name: str) -> None:
    parts = course_of(name).plan.parts
    assert {part.table for part in parts if part.table} == set(get_args(Table))
    figures = {part.figure for part in parts if part.figure}
    sweeps = {"templates", "pool", "replicas", "trigger", "regularisation", "sensitivity"}
    assert figures == set(get_args(Figure)) - (sweeps if name == "baby-mmrec" else set())


@pytest.mark.parametrize("name", AMAZON)
def test_magnet_as_printed_has_the_settings_of_table_3(name: str) -> None:
    full = settings(course_of(name), "ablations", "full")
    assert tuple(full[symbol] for symbol in SYMBOLS) == AMAZON[name]
    assert (full["preset"], full["layers"], full["experts_per_pair"], full["contrast"]) == (
        "paper",
        2,
        4,
        0.01,
    )
    assert (full["views"], full["visibility"], full["trigger_unit"]) == ("dual", "full", "step")
    assert full["induced_cap"] == (20 if name == "electronics" else None)


@pytest.mark.parametrize("name", set_apart(CLOSEST))
def test_ablations_are_those_of_table_5_and_schedules_those_of_table_6(name: str) -> None:
    course = course_of(name)
    full = settings(course, "ablations", "full")
    expected = {
        "w/o routing regularisers": {"routing": 0.0},
        "w/o view contrast": {"contrast": 0.0},
        "fixed-step switch": {"switch": "fixed", "fixed_switch_step": 1},
        "coverage only": {"switch": "never"},
        "confidence only": {"switch": "start"},
        "w/o templates": {"templates": "learned"},
        "w/o mixture": {"mixture": False},
        "full": {},
    }
    assert {placed.variant for placed in course.placed["ablations"]} == set(expected)
    for variant, changes in expected.items():
        assert settings(course, "ablations", variant) == {**full, **changes}
    for schedule in ("linear", "quadratic", "constant", "reverse"):
        assert settings(course, "schedules", schedule) == {**full, "schedule": schedule}
    fixed = next(placed.run for placed in course.placed["ablations"] if placed.variant == "fixed-step switch")
    (source,) = course.run(fixed).needs
    told = course.run(fixed).spec({source: {"steps": 4001}}).model
    assert told["fixed_switch_step"] == 2000


@pytest.mark.parametrize("name", set_apart(CLOSEST))
def test_every_modality_is_dealt_out_beside_the_model_of_the_tables(name: str) -> None:
    course = course_of(name)
    told = {
        placed.variant: (course.run(placed.run).outline(), placed.seed)
        for placed in course.placed["corruption"]
    }
    (whole, seed), *others = (told.pop("intact"), *told.values())
    content = {"tiktok": ("image", "audio")}.get(name, ("image", "text"))
    assert [spec.content.dealt for spec, _ in others] == [(modality,) for modality in content]
    assert all(spec.model == whole.model and own == seed for spec, own in others)
    # It costs the dealt runs only: the intact one is that of the faithfulness and of the routing.
    magnet = {placed.run for placed in course.placed["routing"] if placed.variant == "MAGNET"}
    assert {placed.run for placed in course.placed["faithfulness"]} == magnet
    assert magnet <= {placed.run for placed in course.placed["corruption"]}


@pytest.mark.parametrize("name", [*AMAZON, *SWEPT])
def test_pool_asks_for_no_more_experts_than_there_are(name: str) -> None:
    course = course_of(name)
    cells = {
        (frozenset(placed.varied["model.families"]), placed.varied["model.experts_per_pair"])
        for placed in course.placed["pool"]
    }
    # Three experts of one family allow one to three per pair; six and nine allow all six that are asked.
    assert len(cells) == len(course.placed["pool"]) == 3 + 4 * 6
    assert all(per_pair <= 3 * len(families) for families, per_pair in cells)
    grid = settings(course, "trigger", course.placed["trigger"][1].variant)
    literal = settings(course, "trigger", "literal")
    assert (literal["router_scale"], grid["router_scale"]) == (1, 20)
    assert (literal["trigger_unit"], literal["smoothing"]) == ("step", 0)


def test_overall_table_holds_every_baseline_from_a_paper() -> None:
    for name in set_apart(CLOSEST):
        course = course_of(name)
        models = {course.run(placed.run).model for placed in course.placed["overall"]}
        assert len(models) == 22
        assert {"magnet", "soil", "freedom", "itcohd"} <= models
        readings = [placed.variant for placed in course.placed["overall"] if "MAGNET" in placed.variant]
        everywhere = {"MAGNET", "MAGNET single view", "MAGNET (paper)", "MAGNET single view (paper)"}
        assert set(readings) == everywhere | (set() if name in AMAZON else {"MAGNET, projected cues"})


def test_the_closest_rivals_are_runs_of_the_whole_plans() -> None:
    course = course_of(CLOSEST)
    assert {part.name for part in course.plan.parts} == {"overall"}
    for name in SWEPT:
        whole = [run.outline() for run in course_of(name).runs if not run.needs]
        own = [run.outline() for run in course.runs if run.settings["dataset"] == f"data/{name}"]
        assert len(own) == 8 * 3
        assert all(spec in whole for spec in own)


def test_plan_of_the_docs_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    text = page.split("```toml\n")[1].split("```")[0].replace("{dataset}", "tiktok")
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    plan = load_plan(tmp_path / "plan.toml")
    course = lay_out(plan, read_protocol(plan.protocol))
    # Three models on three seeds; two variants and six cells, of which full is MAGNET of the first seed.
    assert len(course.runs) == 9 + 2 + 6


def test_record_on_the_common_split_is_one_of_the_plan() -> None:
    # What was measured on Baby before there was a plan is taken over by it: the same settings, seed by seed.
    course = course_of("baby-mmrec")
    stored = read_record(ROOT / "results" / "baby" / "baby-soil.npz").record
    data, split = stored["dataset"]["fingerprint"], stored["split"]["fingerprint"]
    spec = course.run("baby-soil-999").spec({})
    assert settings_fingerprint(spec, data, split, TOLD_BY_FINGERPRINTS) == told_identity(stored)
