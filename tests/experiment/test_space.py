"""What a search may try: read strictly, listed in order, and every slip found before the first trial."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alnico.errors import ConfigError
from alnico.experiment.space import Choices, Range, Search, load_search
from alnico.experiment.spec import look_up
from alnico.models import MODELS

ROOT = Path(__file__).parents[2]
SPACES = sorted((ROOT / "spaces").glob("*.toml"))

BASE = 'base = { dataset = "data/toy", seed = 4, model = { name = "lightgcn" }, training = { epochs = 5 } }\n'
GRID = BASE + '[joint]\nsampler = "grid"\n[space]\n'
STAGE = BASE + '[[stage]]\nname = "one"\n'


def read(folder: Path, text: str, **more: Any) -> Search:
    """The search that ``text`` describes."""
    (folder / "space.toml").write_text(text)
    return load_search(folder / "space.toml", **more)


def test_grid_lists_every_combination_the_last_setting_fastest(tmp_path: Path) -> None:
    search = read(
        tmp_path, GRID + '"model.layers" = { low = 1, high = 2 }\n"model.l2" = { choices = [0.1, 0.0] }\n'
    )
    (stage,) = search.stages
    assert (stage.name, stage.search, stage.is_listed, len(stage.sweeps)) == ("joint", "grid", True, 1)
    assert [tuple(point.values()) for point in stage.points(0)] == [(1, 0.1), (1, 0.0), (2, 0.1), (2, 0.0)]
    assert (stage.size(), search.size, search.metric) == (4, 4, "recall@20")


def test_stages_sweep_one_setting_after_the_other(tmp_path: Path) -> None:
    text = (
        STAGE
        + '[stage.space]\n"model.layers" = { choices = [1, 2, 3] }\n"model.l2" = { choices = [0.1, 0.0] }\n'
        '[[stage]]\nname = "two"\nsearch = "tpe"\ntrials = 7\n[stage.space]\n'
        '"training.learning_rate" = { low = 1e-4, high = 1e-2, log = true }\n'
    )
    search = read(tmp_path, text)
    assert [stage.search for stage in search.stages] == ["one_at_a_time", "tpe"]
    assert [list(sweep) for sweep in search.stages[0].sweeps] == [["model.layers"], ["model.l2"]]
    assert search.stages[0].points(1) == [{"model.l2": 0.1}, {"model.l2": 0.0}]
    # Three and two in turn, then seven drawn.
    assert search.size == 12
    assert read(tmp_path, text, trials=9).size == 9


def test_changes_metric_and_preset_are_those_of_the_base(tmp_path: Path) -> None:
    text = 'metric = "ndcg@10"\n' + GRID + '"model.layers" = { choices = [1] }\n'
    search = read(tmp_path, text, changes=["training.epochs=9", "dataset=elsewhere"])
    assert (search.metric, search.spec.training.epochs, search.spec.dataset) == ("ndcg@10", 9, "elsewhere")
    # A preset goes on filling what nobody set: the paper's layers, whatever the trial changes.
    magnet = GRID.replace('"lightgcn"', '"magnet", preset = "paper"')
    search = read(tmp_path, magnet + '"model.preset" = { choices = ["alnico", "paper"] }\n')
    layers = [
        look_up(search.settings_of({"model.preset": preset}).resolved(), "model.layers")
        for preset in ("alnico", "paper")
    ]
    assert layers == [3, 2]


def test_base_is_a_file_of_the_data_set_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text('dataset = "data/shop"\n[model]\nname = "lightgcn"\n')
    body = '\n[joint]\nsampler = "grid"\n[space]\n"model.layers" = { choices = [1, 2] }\n'
    assert read(tmp_path, 'base = "{dataset}.toml"' + body, dataset="shop").spec.dataset == "data/shop"
    inside = 'base = { dataset = "data/{dataset}", model = { name = "lightgcn" } }' + body
    assert read(tmp_path, inside, dataset="shop").spec.dataset == "data/shop"
    with pytest.raises(ConfigError, match=r"starts from \{dataset\}\.toml; say which with --dataset NAME"):
        read(tmp_path, 'base = "{dataset}.toml"' + body)
    with pytest.raises(ConfigError, match=r"cannot read the settings file other\.toml"):
        read(tmp_path, 'base = "{dataset}.toml"' + body, dataset="other")
    with pytest.raises(ConfigError, match=r"--dataset shop fits only a base with \{dataset\} in its path"):
        read(tmp_path, 'base = "shop.toml"' + body, dataset="shop")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            GRID + '"model.layrs" = { choices = [1] }',
            "there is no setting 'model.layrs'; did you mean 'layers'?",
        ),
        (GRID + '"trainin.epochs" = { choices = [1] }', "no setting 'trainin'; did you mean 'training'?"),
        (GRID + '"model.layers" = { choices = [1, "two"] }', "found 'two'"),
        (GRID + '"model.l2" = { choices = [-1.0] }', "found -1.0"),
        (GRID + '"model.layers" = { low = 0, high = 3 }', "found 0"),
        (GRID + '"model.name" = { choices = ["bpr_mf"] }', "may not change model.name; compare models by"),
        (GRID + '"training.metric" = { choices = ["ndcg@20"] }', "say metric = ... at the top of the search"),
        (
            GRID + '"split.seed" = { choices = [1] }',
            "may not change split.seed: trials could not be compared",
        ),
        (GRID + '"seed" = { choices = [1] }', "may not change seed: trials could not be compared"),
        (GRID + '"model.layers" = { chices = [1] }', "did you mean 'choices'?"),
        (GRID + '"model.layers" = { choices = [] }', 'space."model.layers".choices'),
        (GRID + '"model.layers" = { choices = [1, 1] }', "1 stands there twice"),
        (GRID + '"model.layers" = { choices = [1979-05-27] }', "is not a value that settings have"),
        (GRID + '"model.layers" = { low = 3, high = 1 }', "low 3 must be below high 1"),
        (GRID + '"model.l2" = { low = 0.0, high = 1.0, log = true }', "log needs low above 0; found 0.0"),
        (GRID + '"model.l2" = { low = 0.1, high = 1.0, log = true, step = 0.1 }', "log and step exclude"),
        (GRID + '"model.l2" = { low = 0.1, high = 1.0, step = 0 }', "step must be above 0; found 0"),
        (GRID + '"model.l2" = { low = 0.1, high = 1.0 }', "model.l2 is a range without end; give it choices"),
        (GRID + "model.layers = 3", "its name in quotes; found model = {'layers': 3}"),
        (GRID + '"model.layers" = 3', "its name in quotes; found model.layers = 3"),
        (
            GRID + '"model.layers" = { low = 1, high = 200 }\n"model.width" = { low = 1, high = 200 }',
            "has 40000 points, more than 10000",
        ),
        (BASE, "either [joint] with a [space], or [[stage]] tables with a space each; found none"),
        (BASE + "[joint]\n", "a space each; found [joint]"),
        (
            GRID + '"model.layers" = { choices = [1] }\n[[stage]]\nname = "x"',
            "found [joint], [space], [stage]",
        ),
        (BASE + '[joint]\nsampler = "gird"\n[space]\n"model.layers" = { choices = [1] }', "joint.sampler"),
        (GRID.replace("sampler", "smpler"), "there is no setting 'joint.smpler'; did you mean 'sampler'?"),
        (BASE + "trails = 3\n", "there is no setting 'trails'; did you mean 'trials'?"),
        (BASE + '[pruning]\nrule = "mean"', "pruning.rule"),
        (STAGE, "stage 1 has no [stage.space] with values by setting"),
        (
            STAGE + 'serch = "tpe"\n[stage.space]\n"model.layers" = { choices = [1] }',
            "no setting 'stage 1.serch'",
        ),
        (
            STAGE + 'search = "tpe"\n[stage.space]\n"model.layers" = { choices = [1] }',
            "say trials = how many",
        ),
        (STAGE + 'trials = 3\n[stage.space]\n"model.layers" = { choices = [1] }', "it takes no trials"),
        (2 * (STAGE + '[stage.space]\n"model.layers" = { choices = [1] }\n').replace(BASE, ""), "base"),
        ('metric = "recall@21"\n' + GRID + '"model.layers" = { choices = [1] }', "recall@21"),
    ],
)
def test_slips_are_found_before_the_first_trial(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        read(tmp_path, text)


def test_two_stages_need_two_names(tmp_path: Path) -> None:
    stage = '[[stage]]\nname = "one"\n[stage.space]\n"model.layers" = { choices = [1] }\n'
    with pytest.raises(ConfigError, match="two stages have the same name; found one, one"):
        read(tmp_path, BASE + 2 * stage)


@settings(max_examples=30)
@given(low=st.integers(-50, 50), span=st.integers(1, 60), step=st.integers(1, 9))
def test_range_with_a_step_lists_what_it_holds(low: int, span: int, step: int) -> None:
    whole = Range(low=low, high=low + span, step=step)
    assert whole.values == list(range(low, low + span + 1, step))
    tenths = Range(low=low / 10, high=(low + span) / 10, step=step / 10)
    assert tenths.values == pytest.approx([n / 10 for n in range(low, low + span + 1, step)])
    for value in range(low - 1, low + span + 2):
        assert whole.holds(value) == (value in (whole.values or ()))
        assert tenths.holds(value / 10) == whole.holds(value)


def test_what_a_space_holds() -> None:
    rates = Range(low=1e-4, high=1e-2, log=True)
    assert (rates.holds(1e-3), rates.holds(0.1), rates.holds("0.001"), rates.holds(None)) == (
        True,
        False,
        False,
        False,
    )
    assert rates.values is None
    layers = Range(low=1, high=3)
    assert (layers.holds(2), layers.holds(2.0), layers.holds(True)) == (True, False, False)
    # The base's 1.0 is the search's 1; true is not.
    assert (Choices(choices=(1,)).holds(1.0), Choices(choices=(1,)).holds(True)) == (True, False)
    assert Choices(choices=(["image"], ["text"])).holds(["text"])


# -- the searches that come with the project -----------------------------------------------------------


def test_searches_are_named_after_models() -> None:
    assert {path.stem.split("-")[0] for path in SPACES} <= set(MODELS)
    assert {"magnet", "magnet-joint", "magnet-cues", "lightgcn", "freedom"} <= {path.stem for path in SPACES}


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_searches_of_the_project_ask_for_settings_that_exist(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for dataset in ("baby", "tiktok", "ml100k"):
        search = load_search(path, dataset)
        assert search.spec.model_name == path.stem.split("-")[0]
        assert search.spec.dataset == f"data/{dataset}"
        assert 3 < (search.size or 0) <= 40
    # Reading has tried what each sweep asks for; a later sweep asks on top of any of the earlier ones.
    for stage in search.stages:
        columns = [entry.ends for entry in stage.space.values()]
        for values in itertools.product(*columns) if stage.is_listed else zip(*columns, strict=False):
            search.settings_of(dict(zip(stage.space, values, strict=True)))
