"""Training and asking as a person does it: settings in a file, commands, and a machine that goes away."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from alnico.cli.progress import Lines, Live, summary, watching
from alnico.models import MODELS
from alnico.training.checkpoint import Progress
from alnico.training.plan import TrainPlan
from alnico.training.trainer import Silent
from command_lines import CommandLine
from finished_runs import Finished

SETTINGS = """
seed = 3

[model]
name = "magnet"
preset = "projected"
width = 64
neighbours = 5
induced = 10

[split]
rule = "random"

[training]
epochs = 10
batch_size = 8
metric = "ndcg@20"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A settings file for a small MAGNET."""
    path = tmp_path / "magnet.toml"
    path.write_text(SETTINGS)
    return path


def test_train_says_what_it_does_and_what_comes_next(
    finished: Finished, settings: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    folder = tmp_path / "run"
    said = command_line(
        *("train", settings, "--data", finished.data, "--to", folder, "--label", "small"),
        *("--set", "model.width=8", "--set", "training.epochs=2", "--set", "training.batch_size=64"),
    )
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert [line[:10] for line in lines[:2]] == ["epoch    1", "epoch    2"]
    assert "ndcg@20" in lines[0]
    assert lines[1].endswith("all epochs done")
    assert lines[2].split() == ["small", "recall@10", "recall@20", "ndcg@10", "ndcg@20"]
    assert [line.split()[0] for line in lines[3:5]] == ["valid", "test"]
    assert lines[5] == f"run folder {folder}; next: alnico evaluate {folder}"
    record = json.loads((folder / "run.json").read_text())
    assert (record["spec"]["model"]["width"], record["spec"]["seed"]) == (8, 3)

    again = command_line("train", settings, "--data", finished.data, "--to", folder)
    assert again.code == 2
    assert again.err.startswith(f"alnico: {folder} already holds a run; choose another folder")
    back = command_line("train", "--resume", folder, "--json")
    assert json.loads(back.out)["epochs"] == 2


def test_run_is_named_after_data_model_and_seed(
    finished: Finished, tmp_path: Path, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = command_line(
        *("train", "--data", finished.data, "--set", "model.name=popularity", "--seed", 4, "--json")
    )
    assert json.loads(said.out)["run"] == "runs/data-popularity-4"
    assert (tmp_path / "runs" / "data-popularity-4" / "result.json").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("model.widht=8", "there is no setting 'model.widht'; did you mean 'width'?"),
        ("trainin.epochs=8", "there is no setting 'trainin'; did you mean 'training'?"),
        (
            "training.learning_rates.heads=1",
            "training.learning_rates names no parameter group of this model: 'heads'; did you mean 'head'?",
        ),
        (
            "modalities=['imag']",
            "'imag'",
        ),
    ],
)
def test_misspelt_setting_gets_a_hint_and_leaves_nothing(
    finished: Finished,
    settings: Path,
    tmp_path: Path,
    command_line: CommandLine,
    change: str,
    sentence: str,
) -> None:
    said = command_line(
        *("train", settings, "--data", finished.data, "--to", tmp_path / "run", "--set", change)
    )
    assert said.code == 2
    assert said.out == ""
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_device_of_the_command_line_wins_over_the_settings_file(
    finished: Finished, settings: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    settings.write_text(f'device = "cpu"\n{SETTINGS}')
    said = command_line(
        *("train", settings, "--data", finished.data, "--to", tmp_path / "run", "--device", "no such place")
    )
    assert said.code == 2
    assert said.err == "alnico: device 'no such place' is none that torch knows; use cpu or cuda\n"
    assert not (tmp_path / "run").exists()


# -- a machine that goes away ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, finished: Finished) -> Path:
    """An uninterrupted run of the settings, in a process of its own."""
    folder = tmp_path_factory.mktemp("quiet")
    (folder / "magnet.toml").write_text(SETTINGS)
    subprocess.run(
        [
            *_alnico("train", folder / "magnet.toml", "--data", finished.data, "--to", folder / "run"),
            "--json",
        ],
        check=True,
        capture_output=True,
    )
    return folder / "run"


def _alnico(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "alnico.cli.main", *map(str, arguments)]


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL], ids=["asked to stop", "killed"])
def test_run_that_was_cut_short_ends_in_the_same_bytes(
    quiet: Path,
    finished: Finished,
    settings: Path,
    tmp_path: Path,
    command_line: CommandLine,
    command_process: CommandLine,
    blow: signal.Signals,
) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen(
        _alnico("train", settings, "--data", finished.data, "--to", folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        # The first epoch is over and the second has begun.
        line = process.stdout.readline()
        os.kill(process.pid, blow)
        _, complaint = process.communicate()
    assert line.startswith("epoch    1"), complaint
    if blow == signal.SIGTERM:
        assert process.returncode == 130
        # Mostly epoch 2; on a busy machine the signal may come a little later.
        sentence = (
            r"alnico: stopped in epoch (\d+); the (\d+) before it are saved, go on with --resume (.*)\n"
        )
        told = re.fullmatch(sentence, complaint)
        assert told is not None, complaint
        assert int(told[1]) == int(told[2]) + 1 >= 2
        assert told[3] == str(folder)
    else:
        assert process.returncode == -signal.SIGKILL
    early = command_line("evaluate", folder)
    assert early.code == 2
    assert early.err == (
        f"alnico: run {folder} is not finished; go on with `alnico train --resume {folder}`\n"
    )
    resumed = command_process("train", "--resume", folder)
    assert resumed.code == 0, resumed.err
    assert not resumed.out.startswith("epoch    1")
    for name in ("scorer.safetensors", "checkpoint.safetensors", "test.safetensors", "routing.safetensors"):
        assert (folder / name).read_bytes() == (quiet / name).read_bytes(), name


# -- asking ------------------------------------------------------------------------------------------


def test_evaluate_shows_the_stored_measures(finished: Finished, command_line: CommandLine) -> None:
    run = finished.magnet
    said = command_line("evaluate", run.folder)
    assert said.code == 0
    assert said.out.startswith("magnet on toy, mask: train\n")
    shown = {line.split()[0]: line.split()[1:] for line in said.out.splitlines() if line}
    for name, value in run.result["test"].items():
        assert shown[name] == [f"{run.result['valid'][name]:.4f}", f"{value:.4f}"]
    assert "lists of 20: coverage" in said.out
    assert "effective experts" in said.out
    told = json.loads(command_line("evaluate", run.folder, "--json").out)
    assert told["test"] == run.result["test"]
    assert (told["run"], told["label"]) == (str(run.folder), "magnet")
    assert "effective experts" not in command_line("evaluate", finished.popularity.folder).out


def test_compare_shows_and_tells(finished: Finished, command_line: CommandLine) -> None:
    pair = finished.magnet.folder, finished.popularity.folder
    said = command_line("compare", *pair)
    assert said.code == 0
    n_users = finished.magnet.result["test_users"]
    assert said.out.startswith(f"recall@20 on {n_users} test users: magnet 0.")
    assert "paired wilcoxon test: p = " in said.out
    told = json.loads(command_line("compare", *pair, "--metric", "ndcg@10", "--test", "t", "--json").out)
    assert (told["metric"], told["test"], told["n_users"]) == ("ndcg@10", "t", n_users)
    assert told["difference"] == pytest.approx(told["mean_a"] - told["mean_b"])
    wrong = command_line("compare", *pair, "--metric", "ndcg@11")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "has no measure 'ndcg@11'; did you mean 'ndcg@10'?" in wrong.err


def test_recommend_lists_items_for_each_user(finished: Finished, command_line: CommandLine) -> None:
    dataset = finished.magnet.dataset
    first, second = (dataset.users.name(number) for number in (0, 1))
    asked = ("recommend", finished.magnet.folder, "--user", first, "--user", second, "-k", 3)
    told = json.loads(command_line(*asked, "--json").out)
    assert [(row["user_id"], row["rank"]) for row in told] == [
        (user, rank) for user in (first, second) for rank in (1, 2, 3)
    ]
    said = command_line(*asked)
    assert said.code == 0
    header, *rows = said.out.splitlines()
    assert header.split() == ["user", "rank", "item", "score", "title"]
    assert [row.split()[2] for row in rows] == [str(row["item_id"]) for row in told]
    wrong = command_line("recommend", finished.magnet.folder, "--user", "nobody")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "user 'nobody' is not among the" in wrong.err
    nothing = command_line("recommend", finished.magnet.folder, "--user", first, "-k", 0)
    assert (nothing.code, nothing.err) == (2, "alnico: k must be at least 1; found 0\n")


def test_explain_says_why(finished: Finished, command_line: CommandLine) -> None:
    dataset, train = finished.magnet.dataset, finished.magnet.split.train
    user = dataset.users.name(0)
    (row,) = json.loads(
        command_line("recommend", finished.magnet.folder, "--user", user, "-k", 1, "--json").out
    )
    asked = ("explain", finished.magnet.folder, "--user", user, "--item", row["item_id"])
    said = command_line(*asked)
    assert said.code == 0, said.err
    for heading in ("routing over the pool", "what decided", "active experts", "history that speaks for it"):
        assert f"\n{heading}" in said.out
    assert "place 1 of the items the user has not got" in said.out
    told = json.loads(command_line(*asked, "--json").out)
    assert (told["user"], told["rank"], told["item"]["item_id"]) == (user, 1, row["item_id"])
    assert sum(told["contributions"].values()) == pytest.approx(told["score"] - told["baseline"], abs=1e-4)

    owned = dataset.items.name(int(train.of_user(0)[0]))
    said = command_line("explain", finished.magnet.folder, "--user", user, "--item", owned)
    assert "the user has it already" in said.out


def test_explain_on_a_model_that_cannot_is_one_sentence(
    finished: Finished, command_line: CommandLine
) -> None:
    dataset = finished.popularity.dataset
    said = command_line(
        *("explain", finished.popularity.folder, "--user", dataset.users.name(0)),
        *("--item", dataset.items.name(0)),
    )
    assert said.code == 2
    assert said.err == (
        "alnico: popularity cannot explain its scores; magnet can, train one with --set model.name=magnet\n"
    )


def test_unfinished_run_asked_for_results_is_one_sentence(
    finished: Finished, tmp_path: Path, command_line: CommandLine
) -> None:
    folder = tmp_path / "begun"
    folder.mkdir()
    shutil.copy(finished.magnet.folder / "run.json", folder)
    dataset = finished.magnet.dataset
    user, item = dataset.users.name(0), dataset.items.name(0)
    for line in (
        ("evaluate", folder),
        ("compare", folder, finished.popularity.folder),
        ("recommend", folder, "--user", user),
        ("explain", folder, "--user", user, "--item", item),
    ):
        said = command_line(*line)
        assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
        assert f"go on with `alnico train --resume {folder}`" in said.err
    nowhere = command_line("evaluate", tmp_path / "nowhere")
    assert "is not a run folder: it has no run.json; `alnico train` makes one" in nowhere.err


def test_models_and_their_settings_are_listed(command_line: CommandLine) -> None:
    said = command_line("models")
    head, *lines = said.out.splitlines()
    assert head.split() == ["model", "title", "year", "reads", "reproduction", "source"]
    assert [line.split()[0] for line in lines] == list(MODELS)
    freedom = next(line for line in lines if line.startswith("freedom"))
    assert freedom.split()[1:6] == ["FREEDOM", "2023", "interactions", "content", "full"]
    cards = json.loads(command_line("models", "--json").out)
    assert list(cards) == list(MODELS)
    assert cards["freedom"]["title"] == "FREEDOM"
    page = Path(__file__).parents[2] / "docs" / "models.md"
    assert command_line("models", "--markdown").out == page.read_text(encoding="utf-8")
    assert "width = 64\n" in command_line("models", "magnet").out
    told = json.loads(command_line("models", "magnet", "--json").out)
    assert told["width"]["default"] == 64
    wrong = command_line("models", "magnt")
    assert (wrong.code, wrong.err) == (2, "alnico: there is no model 'magnt'; did you mean 'magnet'?\n")


# -- how training looks ------------------------------------------------------------------------------

PLAN = TrainPlan(metric="ndcg@20")
ROW: Mapping[str, float] = {
    "epoch": 12,
    "loss/bpr": 0.5,
    "valid/ndcg@20": 0.25,
    "stage": 2,
    "epoch_seconds": 1.26,
}


def test_epoch_in_one_line() -> None:
    progress = Progress(epoch=12, best_epoch=10, best_value=0.375, finished="no improvement")
    assert summary(ROW, progress, PLAN) == (
        "epoch   12  bpr 0.5000  | ndcg@20 0.2500 (best 0.3750, epoch 10)  | stage 2  | 1.3 s  | no improvement"
    )
    # An epoch without validation, of a model without stages, in the middle.
    assert summary({"epoch": 3, "epoch_seconds": 2}, Progress(epoch=3), PLAN) == "epoch    3  | 2.0 s"


def test_who_watches_depends_on_where_the_output_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(epoch=12, best_epoch=10, best_value=0.375)
    with watching(PLAN, quiet=True) as watcher:
        assert isinstance(watcher, Silent)
    with watching(PLAN) as watcher:
        assert isinstance(watcher, Lines)
        watcher.step(12, 1, 3)
        watcher.epoch(ROW, progress)
    assert capsys.readouterr().out == summary(ROW, progress, PLAN) + "\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with watching(PLAN) as watcher:
        assert isinstance(watcher, Live)
        for done in (1, 2, 3):
            watcher.step(12, done, 3)
        assert watcher.bar.tasks[0].completed == 3
        watcher.epoch(ROW, progress)
    assert "ndcg@20 0.2500" in capsys.readouterr().out
