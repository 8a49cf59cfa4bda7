"""From a plan to its runs: each once, with all settings, in an order in which they can be made."""

import json
from pathlib import Path

import pytest

from alnico.errors import ConfigError
from alnico.experiment.plan import Reference
from studied import SMALL, furnish, laid_out, names

ENTRIES = (
    SMALL
    + """
[models.wide]
like = "small"
set = { model.width = 8 }
"""
)


def plan(folder: Path, parts: str, head: str = "") -> Path:
    """A plan with these parts and two entries."""
    return furnish(folder, ENTRIES + parts, head=head)


def test_parts_take_entries_and_files_with_all_seeds_or_the_one_of_ablations(tmp_path: Path) -> None:
    course = laid_out(
        plan(
            tmp_path,
            """
[[parts]]
name = "all"
table = "overall"
models = ["{folder}/bpr.toml", "wide"]
[[parts]]
name = "one"
figure = "routing"
models = ["small"]
seeds = "ablation"
[[parts]]
name = "chosen"
figure = "cases"
models = ["small"]
seeds = [7]
""",
        )
    )
    assert names(course, "all") == [
        ("BPR-MF", "toy-bpr-1"),
        ("small BPR", "toy-wide-1"),
        ("BPR-MF", "toy-bpr-2"),
        ("small BPR", "toy-wide-2"),
    ]
    assert [(placed.run, placed.seed) for placed in course.placed["one"]] == [("toy-small-3", 3)]
    assert [placed.seed for placed in course.placed["chosen"]] == [7]
    spec = course.run("toy-wide-2").spec({})
    assert (spec.model["width"], spec.seed, spec.min_user) == (8, 2, 2)
    # The protocol's, and the file's own.
    assert (spec.training.epochs, spec.training.metric, spec.training.batch_size) == (2, "recall@5", 32)


def test_equal_runs_are_made_once_whichever_parts_they_serve(tmp_path: Path) -> None:
    course = laid_out(
        plan(
            tmp_path,
            """
[[parts]]
name = "overall"
table = "overall"
models = ["{folder}/bpr.toml", "small"]
seeds = "ablation"
[[parts]]
name = "width"
figure = "sensitivity"
base = "small"
seeds = "ablation"
variants = { "as it is" = {} }
[[parts.grids]]
mode = "one_at_a_time"
settings = { model.width = [4, 8], training.batch_size = [16, 32] }
""".replace('"{folder}/bpr.toml", "small"', '"small"'),
        )
    )
    # Width 4 and batch 32 are those of the file.
    assert names(course, "overall") == [("small BPR", "toy-small-3")]
    assert names(course, "width") == [
        ("as it is", "toy-small-3"),
        ("width=4", "toy-small-3"),
        ("width=8", "toy-small-width=8-3"),
        ("batch_size=16", "toy-small-batch_size=16-3"),
        ("batch_size=32", "toy-small-3"),
    ]
    assert len(course.runs) == 3


def test_grid_is_a_product_and_shares_its_own_settings(tmp_path: Path) -> None:
    course = laid_out(
        plan(
            tmp_path,
            """
[[parts]]
name = "grid"
figure = "pool"
base = "small"
seeds = [1]
[[parts.grids]]
name = "slow"
set = { training.learning_rate = 0.01 }
settings = { model.width = [2, 3], model.l2 = [0.0, 0.1] }
""",
        )
    )
    assert [(placed.variant, dict(placed.varied)) for placed in course.placed["grid"]] == [
        ("slow: width=2, l2=0.0", {"model.width": 2, "model.l2": 0.0}),
        ("slow: width=2, l2=0.1", {"model.width": 2, "model.l2": 0.1}),
        ("slow: width=3, l2=0.0", {"model.width": 3, "model.l2": 0.0}),
        ("slow: width=3, l2=0.1", {"model.width": 3, "model.l2": 0.1}),
    ]
    assert {run.spec({}).training.learning_rate for run in course.runs} == {0.01}


DEPENDENT = """
[[parts]]
name = "chain"
table = "ablations"
base = "small"
seeds = "ablation"
[parts.variants]
"third" = { model.width = { from = "second", fact = "epochs" } }
"second" = { model.width = { from = "other/first", fact = "steps", times = 0.5 } }
[[parts]]
name = "other"
table = "schedules"
base = "small"
seeds = "ablation"
variants = { "first" = { model.width = 6 } }
"""


def test_run_comes_after_those_whose_outcome_it_needs(tmp_path: Path) -> None:
    course = laid_out(plan(tmp_path, DEPENDENT))
    first, second, third = (f"toy-small-{name}-3" for name in ("first", "second", "third"))
    assert [run.name for run in course.runs] == [first, second, third]
    assert course.run(third).needs == {second}
    # Half of 21 steps, rounded down.
    assert course.run(second).spec({first: {"steps": 21}}).model["width"] == 10
    assert [run.name for run in course.serving("other")] == [first]
    assert [run.name for run in course.serving("chain")] == [first, second, third]
    with pytest.raises(ConfigError, match=r"has no part 'chains'; did you mean 'chain'\?"):
        course.serving("chains")


def test_variant_with_a_stroke_in_its_name_can_be_waited_for(tmp_path: Path) -> None:
    for source in ("w/o width", "one/w/o width"):
        course = laid_out(
            plan(
                tmp_path,
                f"""
[[parts]]
name = "one"
table = "ablations"
base = "small"
seeds = "ablation"
variants = {{ "w/o width" = {{ model.width = 1 }}, next = {{ model.width = {{ from = "{source}", fact = "steps" }} }} }}
""",
            )
        )
        assert course.run("toy-small-next-3").needs == {"toy-small-w-o-width-3"}


def test_fact_that_never_happened_is_one_sentence() -> None:
    reference = Reference.model_validate({"from": "full", "fact": "switch_step"})
    with pytest.raises(ConfigError, match="'full' has no switch_step to go by: -1"):
        reference.of({"switch_step": -1})
    with pytest.raises(ConfigError, match="'full' has no switch_step to go by: None"):
        reference.of({})


def test_runs_that_wait_for_each_other_are_refused(tmp_path: Path) -> None:
    circle = DEPENDENT.replace(
        "{ model.width = 6 }", '{ model.width = { from = "chain/third", fact = "epochs" } }'
    )
    with pytest.raises(
        ConfigError,
        match="wait for each other's outcome: chain/third -> chain/second -> other/first -> chain/third",
    ):
        laid_out(plan(tmp_path, circle))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('from = "second"', 'from = "secnd"', r"not in the plan .*: 'secnd'; did you mean 'second'\?"),
        ('from = "other/first"', 'from = "first"', r"'first'; did you mean 'other/first'\?"),
        ('fact = "epochs"', 'fact = "ndcg"', "model.width.fact: Input should be 'steps'"),
        (
            "model.width = 6",
            "model.widht = 6",
            r"part 'other', 'first': .*'model.widht'; did you mean 'width'\?",
        ),
        ("model.width = 6", "training.patience = 6", "'training.patience' is not a plan's to set"),
        ("model.width = 6", 'dataset = "x"', "'dataset' is not a plan's to set"),
        ("model.width = 6", "model.width.deep = 6", "'width' is a single value, not a group"),
        ('base = "small"', 'base = "smal"', r"has no model 'smal'; did you mean 'small'\?"),
        ('base = "small"', 'base = "gone.toml"', "cannot read the settings file gone.toml"),
        ('table = "ablations"', 'table = "ablation"', "parts.0.table: Input should be 'overall'"),
        ('table = "ablations"', 'tabel = "ablations"', r"no setting 'parts.0.tabel'; did you mean 'table'\?"),
        ('table = "ablations"', "", "part 'chain' serves either a table or a figure"),
        ('name = "other"', 'name = "chain"', "two parts are called 'chain'"),
        ('variants = { "first" = { model.width = 6 } }', "", "part 'other' needs a base for its variants"),
        ('like = "small"', 'like = "wide"', "the models 'wide' are like each other"),
        ('like = "small"', "", "an entry begins with either a file or another entry"),
        ('seeds = "ablation"', 'seeds = "some"', "parts.0.seeds"),
        ('seeds = "ablation"', 'datasets = ["baby"]', "names no data set of this study: 'baby'"),
    ],
)
def test_slip_in_a_plan_is_named(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    text = (ENTRIES + DEPENDENT).replace(old, new, 1)
    if "like" in old:
        text = text.replace('base = "small"', 'base = "wide"')
    with pytest.raises(ConfigError, match=sentence):
        laid_out(furnish(tmp_path, text))


@pytest.mark.parametrize(
    ("file", "changes", "sentence"),
    [
        (
            'model = "bpr_mf"',
            "",
            r"small\.toml: 'model' is a group of settings, in TOML \[model\] .*'bpr_mf'",
        ),
        ('training = 3\n[model]\nname = "bpr_mf"', "", r"small\.toml: 'training' is a group .*; found 3"),
        (
            '[model]\nname = "bpr_mf"',
            "set = { training = 3 }",
            r"model 'small': 'training' is a group .*; found 3",
        ),
        ('spec = 3\n[model]\nname = "bpr_mf"', "", "there is no setting 'spec'"),
        ("seed = 3", "", r"the settings name no model; add \[model\]"),
    ],
)
def test_settings_file_without_its_groups_is_named(
    tmp_path: Path, file: str, changes: str, sentence: str
) -> None:
    (tmp_path / "small.toml").write_text(file)
    parts = '[models.small]\nfile = "{folder}/small.toml"\n' + changes
    with pytest.raises(ConfigError, match=sentence):
        laid_out(furnish(tmp_path, parts + ONE.replace(', "{folder}/popular.toml"', "")))


def test_group_that_a_record_leaves_to_its_default_is_no_slip(tmp_path: Path) -> None:
    told = {"spec": {"dataset": "d", "model": {"name": "bpr_mf"}, "training": None}}
    (tmp_path / "run.json").write_text(json.dumps(told))
    course = laid_out(
        furnish(tmp_path, ONE.replace('"small", "{folder}/popular.toml"', '"{folder}/run.json"'))
    )
    assert [run.model for run in course.runs] == ["bpr_mf"]


def test_two_trials_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = """
[[parts]]
name = "grid"
figure = "pool"
base = "small"
grids = [{ settings = { model.width = [2] } }, { settings = { model.width = [2] }, set = { model.l2 = 0.5 } }]
"""
    with pytest.raises(ConfigError, match="part 'grid' has two runs called 'width=2'"):
        laid_out(plan(tmp_path, twice))


SLOW = """
[[patience]]
models = ["bpr_mf"]
patience = 50
reason = "it learns slowly here"
"""
ONE = """
[[parts]]
name = "one"
table = "overall"
models = ["small", "{folder}/popular.toml"]
seeds = [1]
"""


def test_slow_model_gets_more_patience_and_its_runs_say_why(tmp_path: Path) -> None:
    course = laid_out(plan(tmp_path, ONE, head=SLOW))
    slow, other = course.runs
    assert slow.spec({}).training.patience == 50
    assert slow.exception == "patience 50 instead of 5: it learns slowly here"
    assert (other.spec({}).training.patience, other.exception) == (5, None)
    for old, new, sentence in (
        ('"bpr_mf"', '"bpr_mv"', r"there is no model 'bpr_mv'; did you mean 'bpr_mf'\?"),
        ('reason = "it learns slowly here"', "", "patience.0.reason: Field required"),
        ('"it learns slowly here"', '"slow"', "patience.0.reason: String should have at least 10"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            laid_out(plan(tmp_path, ONE, head=SLOW.replace(old, new)))


def test_patience_may_be_for_some_data_sets_alone(tmp_path: Path) -> None:
    head = SLOW.replace("patience = 50", 'datasets = ["toy"]\npatience = 50')
    path = plan(tmp_path, ONE, head=head)
    path.write_text(path.read_text().replace("[datasets]", '[datasets]\nother = "other"'))
    told = {
        run.dataset: run.spec({}).training.patience for run in laid_out(path).runs if run.model == "bpr_mf"
    }
    assert told == {"other": 5, "toy": 50}
    path.write_text(path.read_text().replace('["toy"]', '["toi"]'))
    with pytest.raises(ConfigError, match="the patience of bpr_mf names no data set of this study: 'toi'"):
        laid_out(path)


def test_data_set_can_stand_elsewhere_and_settings_files_follow_its_name(tmp_path: Path) -> None:
    path = plan(tmp_path, ONE.replace("{folder}/popular.toml", "{folder}/{dataset}.toml"))
    (tmp_path / "toy.toml").write_text('[model]\nname = "popularity"\n')
    course = laid_out(path, {"toy": "elsewhere"})
    assert [run.spec({}).dataset for run in course.runs] == ["elsewhere", "elsewhere"]
    assert course.runs[1].model == "popularity"
    with pytest.raises(ConfigError, match=r"has no data set 'tou'; did you mean 'toy'\?"):
        laid_out(path, {"tou": "elsewhere"})
