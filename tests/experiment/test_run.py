"""One run from settings to measures: what it leaves behind, what it refuses, how it goes on."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import worlds
from alnico.data.dataset import Dataset
from alnico.data.split import Targets
from alnico.data.splitting import Given, PerUser
from alnico.data.store import save_dataset
from alnico.errors import ConfigError, DataError, StorageError
from alnico.evaluation.evaluate import Scores, evaluate
from alnico.experiment import run as experiment
from alnico.experiment.folder import Run, default_recipe, open_for, open_run, settings_fingerprint
from alnico.experiment.run import resume, run
from alnico.experiment.spec import read_spec
from alnico.ranking import Ranking
from elsewhere import elsewhere
from short_runs import WHOLE, killed, spec_of


@pytest.fixture(scope="module")
def done(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, to be read only."""
    return run(spec_of(data), tmp_path_factory.mktemp("runs") / "done", label="my run")


def test_run_leaves_its_record_its_training_and_its_test(done: Run) -> None:
    assert sorted(path.name for path in done.folder.iterdir()) == [
        "checkpoint.safetensors",
        "history.jsonl",
        "result.json",
        "run.json",
        "scorer.safetensors",
        "steps.jsonl",
        "test.safetensors",
    ]
    record = json.loads((done.folder / "run.json").read_text())
    assert (record["label"], record["spec"]["seed"]) == ("my run", 5)
    assert (record["card"]["title"], record["card"]["reproduction"]) == ("BPR-MF", "full")
    assert record["dataset"] == {
        "name": "world",
        "fingerprint": WHOLE.fingerprint,
        "users": 30,
        "items": 20,
        "modalities": ["image", "text"],
    }
    # User 0 has one pair, the other 29 six; a tenth of 175 is rounded to the even 18.
    facts = record["split"]["facts"]
    held_out = facts["valid"] + facts["test"] + facts["held_out_interactions_dropped"]
    assert (facts["train"], held_out) == (175 - 36, 36)
    assert [row["epoch"] for row in done.history] == [1, 2]
    # ceil(139 / 32) steps in each of two epochs.
    assert [row["step"] for row in done.steps] == list(range(1, 11))
    assert done.result["epochs"] == 2
    assert done.result["finished"] == "all epochs done"


def test_stored_measures_are_those_of_the_stored_lists(done: Run) -> None:
    ranking, scores = done.test_ranking(), done.test_scores()
    again = evaluate(ranking, done.split.test, done.spec.evaluation.metrics)
    np.testing.assert_array_equal(scores.users, again.users)
    for name, values in again.values.items():
        np.testing.assert_array_equal(scores.of(name), values)
        assert done.result["test"][name] == values.mean()
    assert done.result["test_users"] == len(done.split.test)
    # The finished model makes the same lists again.
    top = done.scorer().top(done.split.test.users, done.seen, 50)
    np.testing.assert_array_equal(top.items, ranking.items)


def test_validation_chose_the_epoch_that_is_told(done: Run) -> None:
    values = [row["valid/recall@20"] for row in done.history]
    assert done.result["best_epoch"] == 1 + values.index(max(values))
    assert done.result["valid"]["recall@20"] == max(values)


def test_test_part_is_measured_once_and_after_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Targets] = []

    def counting(ranking: Ranking, targets: Targets, metrics: tuple[str, ...]) -> Scores:
        measured.append(targets)
        return evaluate(ranking, targets, metrics)

    monkeypatch.setattr(experiment, "evaluate", counting)
    made = run(spec_of(data), tmp_path / "run")
    test_pairs = [pairs.tolist() for pairs in made.split.test.pairs()]
    is_test = [[pairs.tolist() for pairs in targets.pairs()] == test_pairs for targets in measured]
    # Two epochs' validations, then the test, then the validation of the chosen model.
    assert is_test == [False, False, True, False]
    resume(tmp_path / "run")
    assert len(measured) == 4


@pytest.mark.parametrize("mask", ["train", "train+valid"])
def test_mask_says_what_a_list_may_not_hold(data: Path, tmp_path: Path, mask: str) -> None:
    made = run(spec_of(data, model={"name": "bpr_mf"}, evaluation={"mask": mask}), tmp_path / "run")
    train = set(made.split.train.pair_keys.tolist())
    users, items = made.split.valid.pairs()
    valid = set((users * 20 + items).tolist())
    ranking = made.test_ranking()
    listed = {
        int(user) * 20 + int(item)
        for user, row in zip(ranking.users, ranking.items, strict=True)
        for item in row[row >= 0]
    }
    # The lists are longer than the catalogue, so that whatever is allowed stands in them.
    everything = {int(user) * 20 + item for user in ranking.users for item in range(20)}
    assert listed == everything - train - (valid if mask == "train+valid" else set())
    assert valid & everything


def test_users_with_too_few_interactions_are_left_out_before_the_split(
    done: Run, data: Path, tmp_path: Path
) -> None:
    # User 0 has a single pair, all others six; items stay even where nobody took them.
    asked = read_spec({**spec_of(data).model_dump(), "min_user": 2})
    made = run(asked, tmp_path / "run", protocol={"name": "p", "kind": "k"})
    assert (made.dataset.n_users, made.dataset.n_items) == (29, 20)
    assert made.record["dataset"]["users"] == 29
    assert made.record["protocol"] == {"name": "p", "kind": "k"}
    assert made.dataset.users.name(0) == WHOLE.users.name(1)
    assert open_for(read_spec({**spec_of(data).model_dump(), "min_user": 1})).fingerprint == WHOLE.fingerprint
    assert done.record["protocol"] is None


def test_checkpoints_from_before_users_could_be_left_out_still_fit() -> None:
    spec = read_spec({"dataset": "d", "model": {"name": "popularity"}})
    old = {key: value for key, value in spec.resolved().items() if key not in ("dataset", "min_user")}
    text = json.dumps([old, "data", "split"], sort_keys=True)
    assert settings_fingerprint(spec, "data", "split") == hashlib.sha256(text.encode()).hexdigest()
    assert "precision" not in old["training"]
    changed = spec.model_copy(update={"min_user": 4})
    assert settings_fingerprint(changed, "data", "split") != settings_fingerprint(spec, "data", "split")


def test_folder_with_a_run_is_refused(done: Run, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.folder.iterdir()}
    with pytest.raises(
        StorageError, match=r"already holds a run; choose another folder, or go on with --resume"
    ):
        run(spec_of(data), done.folder)
    assert {path: path.stat().st_mtime_ns for path in done.folder.iterdir()} == before


def test_finished_run_is_returned_as_it_is(done: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.folder.iterdir()}
    assert resume(done.folder).result == done.result
    assert {path: path.stat().st_mtime_ns for path in done.folder.iterdir()} == before


def test_killed_run_goes_on_to_the_same_lists(done: Run, data: Path, tmp_path: Path) -> None:
    killed(spec_of(data), tmp_path / "run")
    begun = open_run(tmp_path / "run")
    assert not begun.is_tested
    with pytest.raises(StorageError, match=r"is not finished; go on with `alnico train --resume .*run`"):
        _ = begun.result
    resume(begun.folder)
    for name in ("scorer.safetensors", "test.safetensors"):
        assert (begun.folder / name).read_bytes() == (done.folder / name).read_bytes()


def test_run_without_a_finished_epoch_has_no_model(data: Path, tmp_path: Path) -> None:
    killed(spec_of(data), tmp_path / "run", epoch=1)
    with pytest.raises(StorageError, match="has no finished model yet; go on with `alnico train --resume"):
        open_run(tmp_path / "run").scorer()


def test_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"is not a run folder: it has no run\.json; `alnico train` makes one"
    ):
        open_run(tmp_path)
    with pytest.raises(StorageError, match="is not a run folder"):
        resume(tmp_path)


def test_changed_data_are_refused(tmp_path: Path) -> None:
    save_dataset(WHOLE, tmp_path / "data")
    killed(spec_of(tmp_path / "data"), tmp_path / "run")
    other = worlds.dataset_of(worlds.scattered(seed=5, n_users=30, n_items=20, per_user=6))
    save_dataset(other, tmp_path / "data", force=True)
    with pytest.raises(StorageError, match=r"data at .* are not those that run .*run was trained on"):
        resume(tmp_path / "run")


def test_begun_run_goes_on_where_its_data_have_gone_and_on_another_device(done: Run, tmp_path: Path) -> None:
    save_dataset(WHOLE, tmp_path / "before")
    killed(spec_of(tmp_path / "before"), tmp_path / "run")
    shutil.move(tmp_path / "before", tmp_path / "after")
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    # A run of another device: what it saved there serves here.
    told["spec"]["device"] = "cuda"
    (tmp_path / "run" / "run.json").write_text(json.dumps(told))
    other = worlds.dataset_of(worlds.scattered(seed=5, n_users=30, n_items=20, per_user=6))
    save_dataset(other, tmp_path / "other")
    with pytest.raises(StorageError, match=r"data at .*other are not those that run .*run was trained on"):
        resume(tmp_path / "run", dataset=str(tmp_path / "other"), device="cpu")
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == told
    made = resume(tmp_path / "run", dataset=str(tmp_path / "after"), device="cpu")
    assert (made.folder / "scorer.safetensors").read_bytes() == (
        done.folder / "scorer.safetensors"
    ).read_bytes()
    # From now on it knows.
    assert made.dataset.fingerprint == WHOLE.fingerprint
    assert made.spec.device == "cpu"


def test_same_data_at_another_name_of_theirs_are_the_same(done: Run, data: Path, tmp_path: Path) -> None:
    save_dataset(WHOLE, tmp_path / "elsewhere")
    moved = run(spec_of(tmp_path / "elsewhere"), tmp_path / "run")
    assert (moved.folder / "test.safetensors").read_bytes() == (done.folder / "test.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("changes", "kind", "sentence"),
    [
        (
            {"training": {"learning_rates": {"al": 0.1}}},
            ConfigError,
            r"learning_rates names no parameter group of this model: 'al'; did you mean 'all'\?",
        ),
        ({"split": {"valid": 0.0}}, DataError, "leaves no validation interactions"),
        ({"split": {"test": 0.001}}, DataError, "leaves no test interactions"),
    ],
)
def test_what_cannot_work_leaves_no_folder(
    data: Path, tmp_path: Path, changes: dict[str, Any], kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        run(spec_of(data, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_model_without_parameters_needs_no_validation(data: Path, tmp_path: Path) -> None:
    spec = read_spec(
        {
            "dataset": str(data),
            "model": {"name": "popularity"},
            "split": {"rule": "random", "valid": 0.0},
        }
    )
    made = run(spec, tmp_path / "run")
    assert made.result["valid"]["recall@20"] is None
    assert made.result["test"]["recall@20"] > 0
    assert made.history == []
    assert made.label == "Popularity"


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a GPU that is not there, and one is")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_missing_gpu_is_one_sentence(data: Path, tmp_path: Path, device: str) -> None:
    spec = spec_of(data).model_copy(update={"device": device})
    with pytest.raises(ConfigError, match="torch sees no GPU here; use device = 'cpu'"):
        run(spec, tmp_path / "run")


def test_unknown_device_is_one_sentence(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="device 'cudda' is none that torch knows"):
        run(spec_of(data).model_copy(update={"device": "cudda"}), tmp_path / "run")


def test_run_may_use_some_modalities(data: Path, tmp_path: Path) -> None:
    spec = spec_of(data).model_copy(update={"modalities": ("text",)})
    made = run(spec, tmp_path / "run")
    assert made.dataset.features.names == ("text",)
    assert made.record["dataset"]["modalities"] == ["text"]


def test_default_recipe_is_the_labels_or_else_per_user() -> None:
    assert default_recipe(WHOLE) == PerUser()
    labels = np.zeros(len(WHOLE.interactions), np.int8)
    labelled = Dataset("labelled", WHOLE.interactions, WHOLE.features, WHOLE.users, WHOLE.items, labels)
    assert default_recipe(labelled) == Given()


def test_mixed_precision_is_a_setting_that_the_run_records(data: Path, tmp_path: Path) -> None:
    model = {"name": "magnet", "preset": "projected", "width": 8, "neighbours": 5, "induced": 5}
    spec = read_spec(
        {**spec_of(data, training={"precision": "bfloat16", "epochs": 1}).resolved(), "model": model}
    )
    plain = spec_of(data)
    made = run(spec, tmp_path / "run")
    assert made.record["spec"]["training"]["precision"] == "bfloat16"
    assert made.spec.training.precision == "bfloat16"
    short = plain.model_copy(update={"training": plain.training.model_copy(update={"precision": "bfloat16"})})
    assert settings_fingerprint(short, "d", "s") != settings_fingerprint(plain, "d", "s")


def test_a_device_on_which_torch_computes_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="torch cannot compute on device 'meta' here; use cpu or cuda"):
        experiment.device_of("meta")


def test_a_run_elsewhere_measures_what_one_in_main_memory_does(data: Path, tmp_path: Path) -> None:
    model = {
        "name": "magnet",
        "preset": "projected",
        "width": 8,
        "neighbours": 5,
        "induced": 5,
        "dropout": 0.0,
    }
    settings = spec_of(data).resolved()
    near = run(read_spec({**settings, "model": model}), tmp_path / "near")
    with elsewhere():
        far_spec = read_spec({**settings, "model": model, "device": "meta"})
        killed(far_spec, tmp_path / "far")
        far = resume(tmp_path / "far")
        again = experiment.measure_again(far)[1].means()
    assert far.result["test"] == pytest.approx(near.result["test"])
    assert again == pytest.approx(near.result["test"])
    assert far.result["routing"]["groups"] == pytest.approx(near.result["routing"]["groups"], rel=1e-4)
    losses = [[row["loss/bpr"] for row in done.history] for done in (near, far)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
