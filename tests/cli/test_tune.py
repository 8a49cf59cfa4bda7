"""Searching settings as a person does it: a file, a folder, a machine that goes away, and the same command again."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import searches
from alnico.cli import tune as verb
from alnico.cli.tune import Lines, Live, following, summary
from alnico.experiment.bench import Unwatched
from alnico.experiment.space import load_search
from alnico.experiment.trials import Trial
from alnico.experiment.tune import tune
from alnico.training.checkpoint import Progress
from command_lines import CommandLine

RATE = "training.learning_rate"
GRID: dict[str, Any] = {
    "joint": {"sampler": "grid"},
    "space": {RATE: {"choices": [1e-9, 0.05]}},
    "pruning": {"rule": "none"},
}


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored checkerboard, to be read only."""
    return searches.checkerboard(tmp_path_factory.mktemp("data") / "board")


@pytest.fixture
def space(board: Path, tmp_path: Path) -> Path:
    """A search of which the better setting is known."""
    return searches.search_file(tmp_path / "space.toml", dict(GRID), searches.BPR, board)


def test_tune_says_what_it_tries_and_what_comes_next(
    space: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    folder = tmp_path / "search"
    said = command_line("tune", space, "--to", folder)
    assert (said.code, said.err) == (0, "")
    first, second, outcome, header, row, values, following_line = said.out.splitlines()
    assert first.startswith("trial   1  joint  learning_rate 1e-09  | recall@5 0.")
    assert second.startswith("trial   2  joint  learning_rate 0.05  | recall@5 1.0000 (epoch ")
    assert second.split("| best ")[1].endswith(", trial 2")
    assert outcome.startswith("all trials made: 2 trials (2 complete), 12 epochs, ")
    assert header.split() == ["setting", "base", "best"]
    # The base had the better step already, so its value is that of the second trial.
    assert row.split() == [RATE, "0.05", "0.05"]
    value = second.split("recall@5 ")[1].split()[0]
    assert values.startswith(f"validation recall@5: base {value}, best {value} (trial 2, epoch ")
    assert following_line == f"next: alnico train {folder / 'best.toml'}, which opens the test part once"
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row[RATE], row["outcome"], row["note"]) for row in rows] == [
        ("1", "1e-09", "complete", "all epochs done"),
        ("2", "0.05", "complete", "all epochs done"),
    ]
    # Once more, and what best.toml says.
    again = command_line("tune", space, "--to", folder)
    assert again.out.splitlines()[0] == "going on after 2 trials"
    trained = command_line("train", folder / "best.toml", "--to", tmp_path / "run", "--json")
    assert json.loads(trained.out)["valid"]["recall@5"] == float(rows[1]["recall@5"])


def test_json_tells_all_and_the_winner_is_tested(
    space: Path, tmp_path: Path, command_line: CommandLine
) -> None:
    said = command_line(
        *("tune", space, "--to", tmp_path / "search", "--trials", 1, "--set", "training.epochs=2"),
        *("--then-train", "--json"),
    )
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert (told["finished"], told["spent"]["trials"], told["spent"]["epochs"]) == (
        "the trials are spent",
        1,
        2,
    )
    assert told["best"] == told["trials"][0]
    assert told["best_spec"]["training"]["epochs"] == 2
    assert told["winner"]["valid"]["recall@5"] == told["best"]["value"]
    assert told["winner"]["test_users"] == 16
    record = json.loads((tmp_path / "search" / "search.json").read_text())
    assert record["spent"] == told["spent"]
    assert record["budget"] == {"trials": 1, "seconds": None}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--set", "model.widht=3"), "there is no setting 'model.widht'; did you mean 'width'?"),
        (
            ("--time", "soon"),
            "--time expects a number above 0 with a unit, for example 30min or 2h; found 'soon'",
        ),
        (("--dataset", "toy"), "--dataset toy fits only a base with {dataset} in its path"),
        (("--workers", "0"), "'--workers'"),
        (("--set", "split.valid=0.0", "--set", "split.rule=random"), "leaves no validation interactions"),
        (("--set", "dataset=nowhere"), "nowhere"),
    ],
)
def test_slip_gets_one_sentence_and_leaves_nothing(
    space: Path, tmp_path: Path, command_line: CommandLine, more: tuple[str, ...], sentence: str
) -> None:
    said = command_line("tune", space, "--to", tmp_path / "search", *more)
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert sentence in said.err
    assert not (tmp_path / "search").exists()


def test_missing_search_file_is_named(tmp_path: Path, command_line: CommandLine) -> None:
    said = command_line("tune", tmp_path / "none.toml", "--to", tmp_path / "search")
    assert said.code == 2
    assert said.err.startswith(f"alnico: cannot read the search file {tmp_path / 'none.toml'}: No such file")


@pytest.mark.parametrize("damage", ["no database at all", "a page of it"])
def test_damaged_trials_are_one_sentence(
    space: Path, tmp_path: Path, command_line: CommandLine, damage: str
) -> None:
    folder = tmp_path / "search"
    store = folder / "study.db"
    if damage == "a page of it":
        assert command_line("tune", space, "--to", folder, "--trials", 1).code == 0
        store.write_bytes(store.read_bytes()[:4096] + b"x" * (store.stat().st_size - 4096))
    else:
        folder.mkdir()
        store.write_text(20 * "this is no database")
    said = command_line("tune", space, "--to", folder)
    assert said.code == 2
    assert said.err.startswith(f"alnico: {store} cannot be used as the trials of a search: ")
    assert said.err.endswith("; move it away to begin anew, or choose another --to\n")
    assert said.err.count("\n") == 1


def test_without_optuna_the_extra_is_named(
    space: Path, tmp_path: Path, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trials", "bench", "crew", "tune"):
        monkeypatch.delitem(sys.modules, f"alnico.experiment.{name}")
    monkeypatch.setitem(sys.modules, "optuna", None)
    said = command_line("tune", space, "--to", tmp_path / "search")
    assert (said.code, said.out) == (2, "")
    assert said.err == "alnico: searching settings needs optuna; pip install 'alnico[tune]'\n"


class SendsSignal(Unwatched):
    """Asks this process to end, as a cluster does, while a trial is made."""

    def epoch(self, number: int, value: float | None, progress: Progress) -> None:
        """Send it."""
        os.kill(os.getpid(), signal.SIGTERM)


def test_being_asked_to_stop_is_one_sentence(
    space: Path, tmp_path: Path, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def signalling(search: object, quiet: bool = False) -> Iterator[Unwatched]:
        yield SendsSignal()

    monkeypatch.setattr(verb, "following", signalling)
    said = command_line("tune", space, "--to", tmp_path / "search")
    assert (said.code, said.out) == (130, "")
    assert said.err == (
        f"alnico: the search was stopped; 0 trials are kept in {tmp_path / 'search'}, the same command goes on\n"
    )


def test_killed_process_loses_no_finished_trial(board: Path, tmp_path: Path) -> None:
    drawn = {
        "trials": 3,
        "joint": {"sampler": "tpe", "startup": 1},
        "space": {RATE: {"low": 1e-3, "high": 0.1, "log": True}},
        "pruning": {"rule": "none"},
    }
    base = {**searches.BPR, "training": {**searches.BPR["training"], "epochs": 25}}
    space = searches.search_file(tmp_path / "space.toml", drawn, base, board)
    folder = tmp_path / "search"
    command = [sys.executable, "-m", "alnico.cli.main", "tune", str(space), "--to", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.kill()
        _, complaint = process.communicate()
    assert line.startswith("trial   1"), complaint
    assert process.returncode == -signal.SIGKILL
    search = load_search(space)
    done, quiet = tune(search, folder), tune(search, tmp_path / "quiet")
    assert [(trial.settings, trial.value) for trial in done.trials if trial.is_over] == [
        (trial.settings, trial.value) for trial in quiet.trials
    ]
    # The second trial was under way, or the third on a busy machine.
    assert {trial.place for trial in done.trials if trial.outcome == "lost"} <= {1, 2}
    assert done.spent["trials"] == 3


# -- how a search looks --------------------------------------------------------------------------------

TRIAL = Trial(
    7,
    0,
    0,
    3,
    {RATE: 0.00123456, "model.families": ["dominant"]},
    outcome="pruned",
    value=0.25,
    best_epoch=3,
    epochs=5,
    seconds=12.34,
)
BEST = Trial(4, 0, 0, 1, {}, outcome="complete", value=0.5)


def test_trial_in_one_line() -> None:
    assert summary(TRIAL, "joint", "ndcg@20", BEST) == (
        "trial   7  joint  learning_rate 0.001235  families ['dominant']  | ndcg@20 0.2500 (epoch 3 of 5)"
        "  | pruned  | 12.3 s  | best 0.5000, trial 4"
    )
    lost = Trial(8, 0, 0, 3, {RATE: 0.1}, outcome="lost")
    assert summary(lost, "joint", "ndcg@20", None) == "trial   8  joint  learning_rate 0.1  | lost"


def test_who_follows_depends_on_where_the_output_goes(
    space: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = load_search(space)
    with following(search, quiet=True) as watcher:
        assert isinstance(watcher, Unwatched)
    with following(search) as watcher:
        assert isinstance(watcher, Lines)
        watcher.found([])
        watcher.began(7, "joint", TRIAL.settings)
        watcher.epoch(7, 0.25, Progress(epoch=1, best_value=0.25))
        watcher.ended(TRIAL, BEST)
    assert capsys.readouterr().out == summary(TRIAL, "joint", "recall@5", BEST) + "\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with following(search) as watcher:
        assert isinstance(watcher, Live)
        watcher.found([BEST])
        watcher.began(7, "joint", TRIAL.settings)
        watcher.epoch(7, 0.25, Progress(epoch=3, best_value=0.25))
        everything, under_way = watcher.bar.tasks
        assert (everything.completed, everything.total) == (1, 2)
        assert (under_way.description, under_way.completed, under_way.fields["doing"]) == (
            "trial 7, joint",
            3,
            "recall@5 0.2500",
        )
        watcher.ended(TRIAL, BEST)
        assert [(task.description, task.completed) for task in watcher.bar.tasks] == [("trials", 2)]
    assert "best 0.5000, trial 4" in capsys.readouterr().out
