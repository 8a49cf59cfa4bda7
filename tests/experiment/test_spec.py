"""Settings of a run: read strictly, and every slip is named with the nearest thing that exists."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alnico.data.splitting import Random
from alnico.errors import ConfigError
from alnico.experiment.spec import changed, load_spec, read_model, read_spec, settings_toml
from alnico.models.magnet.config import MagnetConfig
from finished_runs import Finished

PLAIN: dict[str, Any] = {
    "dataset": "data/toy",
    "model": {"name": "bpr_mf", "width": 8},
    "training": {"epochs": 3},
}


def toml(folder: Path, text: str) -> Path:
    """A settings file."""
    path = folder / "run.toml"
    path.write_text(text)
    return path


def test_toml_and_json_say_the_same(tmp_path: Path) -> None:
    text = 'dataset = "data/toy"\n[model]\nname = "bpr_mf"\nwidth = 8\n[training]\nepochs = 3\n'
    as_json = tmp_path / "run.json"
    as_json.write_text(json.dumps(PLAIN))
    assert load_spec(toml(tmp_path, text)) == load_spec(as_json) == read_spec(PLAIN)


def test_what_is_not_said_has_its_default() -> None:
    spec = read_spec({"dataset": "d", "model": {"name": "magnet"}})
    assert (spec.seed, spec.split, spec.modalities, spec.device) == (999, None, None, "cpu")
    assert spec.model_config_record() == MagnetConfig()
    assert spec.evaluation.k == 50


def test_changes_win_over_the_file_and_given_values(tmp_path: Path) -> None:
    path = toml(tmp_path, 'dataset = "a"\nseed = 1\n[model]\nname = "magnet"\nwidth = 8\n')
    changes = [
        "model.width=16",
        "model.families=['dominant', 'balanced']",
        "training.learning_rates.head=1e-4",
        "split.rule=random",
        "split.seed=7",
        "seed=3",
        "device=cuda:1",
    ]
    spec = load_spec(path, changes, dataset="b", seed=2)
    config = spec.model_config_record()
    assert isinstance(config, MagnetConfig)
    assert (config.width, config.families) == (16, ("dominant", "balanced"))
    assert spec.training.learning_rates == {"head": 1e-4}
    assert spec.split == Random(seed=7)
    # A value that is no TOML (cuda:1 has no quotes) is text.
    assert (spec.dataset, spec.seed, spec.device) == ("b", 3, "cuda:1")


def test_settings_need_no_file() -> None:
    spec = load_spec(None, ["dataset=toy", "model.name=popularity"], seed=None)
    assert (spec.dataset, spec.model_name, spec.seed) == ("toy", "popularity", 999)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("sed=3", r"there is no setting 'sed'; did you mean 'seed'\?"),
        ("model.widht=3", r"there is no setting 'model\.widht'; did you mean 'width'\?"),
        ("training.epocs=3", r"there is no setting 'training\.epocs'; did you mean 'epochs'\?"),
        ("evaluation.maks=train", r"there is no setting 'evaluation\.maks'; did you mean 'mask'\?"),
        ("split.sed=3", r"split rule 'random' has no setting 'sed'; did you mean 'seed'\?"),
        ("split.rule=randm", r"there is no split rule 'randm'; did you mean 'random'\?"),
        ("model.name=bprmf", r"there is no model 'bprmf'; did you mean 'bpr_mf'\?"),
        ("evaluation.metrics=['recal@20']", r"recal"),
        ("model.width=wide", r"model\.width: .*valid integer.*; found 'wide'"),
        ("training.epochs=0", r"training\.epochs: .*greater than 0; found 0"),
        ("evaluation.mask=valid", r"evaluation\.mask: .*'train' or 'train\+valid'; found 'valid'"),
        ("evaluation.metrics=[]", r"evaluation\.metrics: .*at least 1"),
        ("split=random", r"split: .*found 'random'"),
        ("model=magnet", r"model: .*found 'magnet'"),
        ("evaluation.k=19", r"evaluation\.k = 19 is shorter than the largest cut-off of evaluation\.metrics"),
        (
            "training.metric=recall@21",
            r"training\.metric 'recall@21' is not among evaluation\.metrics; did you mean 'recall@20'\?",
        ),
        ("seed.first=3", r"--set seed\.first=3: 'seed' is a single value, not a group of settings"),
        ("model.width", r"--set expects key=value, for example model\.width=48; found 'model\.width'"),
        ("=3", r"--set expects key=value"),
    ],
)
def test_every_slip_is_one_sentence(tmp_path: Path, change: str, sentence: str) -> None:
    path = toml(tmp_path, 'dataset = "a"\nseed = 1\n[model]\nname = "bpr_mf"\n[split]\nrule = "random"\n')
    with pytest.raises(ConfigError, match=sentence) as caught:
        load_spec(path, [change])
    assert "\n" not in str(caught.value)


def test_data_and_model_must_be_said() -> None:
    with pytest.raises(ConfigError, match="dataset: Field required"):
        read_spec({"model": {"name": "popularity"}})
    with pytest.raises(ConfigError, match="model: Field required"):
        read_spec({"dataset": "a"})
    with pytest.raises(ConfigError, match=r"the settings name no model; .* --set model\.name=magnet"):
        read_spec({"dataset": "a", "model": {"width": 3}})


def test_setting_that_contradicts_another_tells_its_reason() -> None:
    with pytest.raises(ConfigError, match=r"^model: switch = 'fixed' needs fixed_switch_step"):
        read_model({"name": "magnet", "switch": "fixed"})


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*none\.toml: No such file"):
        load_spec(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match=r"run\.toml is not valid TOML: .*line 1"):
        load_spec(toml(tmp_path, "dataset = = 3"))
    broken = tmp_path / "run.json"
    broken.write_text("{")
    with pytest.raises(ConfigError, match=r"run\.json is not valid JSON"):
        load_spec(broken)
    broken.write_text("[3]")
    with pytest.raises(ConfigError, match="must hold a table of settings"):
        load_spec(broken)
    picture = tmp_path / "picture.toml"
    picture.write_bytes(b"\x89PNG\xff")
    with pytest.raises(ConfigError, match=r"picture\.toml is not valid TOML"):
        load_spec(picture)


@pytest.mark.parametrize("model", ["popularity", "item_knn", "bpr_mf", "lightgcn", "magnet"])
def test_resolved_settings_read_back_are_the_same(model: str) -> None:
    spec = read_spec({"dataset": "a", "model": {"name": model}, "split": {"rule": "time"}})
    resolved = spec.resolved()
    again = read_spec(json.loads(json.dumps(resolved)))
    assert again.resolved() == resolved
    assert again.split == spec.split
    assert again.model_config_record() == spec.model_config_record()


def test_preset_is_resolved_to_what_it_means() -> None:
    spec = read_spec({"dataset": "a", "model": {"name": "magnet", "preset": "paper", "alpha": 0.7}})
    model = spec.resolved()["model"]
    # The paper's alpha is 0.6, but a setting that is given wins; its L is 2.
    assert (model["preset"], model["alpha"], model["layers"]) == ("paper", 0.7, 2)


def test_record_of_a_run_can_be_asked_for_again(finished: Finished) -> None:
    record = finished.magnet.folder / "run.json"
    assert load_spec(record).resolved() == finished.magnet.spec.resolved()
    assert load_spec(record, ["model.width=16"]).resolved()["model"]["width"] == 16


def test_group_that_a_record_left_to_its_default_can_be_set(tmp_path: Path) -> None:
    record = tmp_path / "run.json"
    record.write_text(json.dumps({"spec": read_spec(PLAIN).resolved()}))
    assert json.loads(record.read_text())["spec"]["split"] is None
    assert load_spec(record, ["split.rule=random", "split.seed=4"]).split == Random(seed=4)


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(), VALUES | st.none(), max_size=5))
def test_settings_written_as_toml_are_read_back(plain: dict[str, Any]) -> None:
    said = {key: value for key, value in plain.items() if value is not None}
    assert tomllib.loads(settings_toml(plain)) == said


def test_toml_of_settings_is_for_people_and_leaves_out_what_it_cannot_say() -> None:
    plain = {"split": None, "seed": 3, "model": {"name": "bpr_mf", "cap": None, "rates": {"a b": 1e-05}}}
    assert settings_toml(plain) == ('seed = 3\n\n[model]\nname = "bpr_mf"\nrates = { "a b" = 1e-05 }\n')


def test_changes_leave_the_settings_they_change_alone() -> None:
    more = changed(PLAIN, ["model.width=9", "training.metric=ndcg@20"])
    assert (more["model"]["width"], more["training"]["metric"]) == (9, "ndcg@20")
    assert PLAIN == {
        "dataset": "data/toy",
        "model": {"name": "bpr_mf", "width": 8},
        "training": {"epochs": 3},
    }
