"""`alnico study` as a person drives it: workers, kills, Ctrl-C, the lock, missing data, what is printed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from alnico import lock as locks
from alnico.cli.progress import StudyLive, ending, remaining, studying
from alnico.errors import StorageError
from alnico.experiment.conducting import Running, Standing, Unwatched, conduct
from alnico.experiment.executor import Outcome, Workers
from alnico.experiment.ledger import Ledger
from alnico.experiment.study import open_study
from alnico.lock import locked
from alnico.training.history import read_rows
from command_lines import CommandLine
from studied import OVERALL, WIDTHS, Here, furnish, laid_out, same_bytes

LONG = """
[[parts]]
name = "one"
table = "overall"
models = ["{folder}/bpr.toml"]
seeds = "ablation"
"""
EPOCHS = 100
FILES = ("scorer.safetensors", "checkpoint.safetensors", "test.safetensors")
SHORT = OVERALL + 'seeds = "ablation"' + WIDTHS


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The long study, undisturbed, with one thread; its folder holds plan and study."""
    folder = tmp_path_factory.mktemp("quiet")
    plan = furnish(folder, LONG, epochs=EPOCHS, patience=EPOCHS)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        conduct(Ledger(laid_out(plan), folder / "study", folder / "study" / "records"), Here())
    finally:
        torch.set_num_threads(before)
    return folder


class AtEpoch(Unwatched):
    """Does something once, when a run has reached an epoch."""

    def __init__(self, epoch: int, strike: Callable[[], None]) -> None:
        self.epoch, self.strike, self.done = epoch, strike, False

    def looks(self, standing: Standing) -> None:
        if not self.done and any(run.epoch >= self.epoch for run in standing.running):
            self.done = True
            self.strike()


class Counted(Workers):
    """Tells the number of each job's process."""

    def process(self, name: str) -> int:
        return self._running[name].pid


def epochs(folder: Path) -> int:
    """How many epochs a run has saved."""
    return len(read_rows(folder / "history.jsonl"))


def test_study_ends_in_the_same_bytes_whoever_is_killed_on_the_way(
    quiet: Path, tmp_path: Path, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alnico.experiment.conducting.POLL_SECONDS", 0.05)
    plan, folder = quiet / "plan.toml", tmp_path / "study"
    run = folder / "runs" / "toy-bpr-3"

    # The study is killed; its worker saves, ends and lets the folder go.
    asked = [sys.executable, "-m", "alnico.cli.main", "study", plan, "--to", folder, "--threads", "1"]
    with subprocess.Popen([*map(str, asked)], stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while epochs(run) < 3 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with locked(folder, "study") as held:
        reached = epochs(run)
        assert 3 <= reached < EPOCHS
        assert open_study(folder).content.runs["toy-bpr-3"].state == "waiting"

        # The worker is killed, and its run has failed.
        ledger = Ledger(laid_out(plan), folder, folder / "records")
        assert ledger.states["toy-bpr-3"] == "started"
        workers = Counted(1, 1, folder / "logs", held)

        def kill_worker() -> None:
            os.kill(workers.process("toy-bpr-3"), signal.SIGKILL)

        study = conduct(ledger, workers, AtEpoch(reached + 3, kill_worker))
    told = study.content.runs["toy-bpr-3"]
    assert (told.state, told.sentence) == ("failed", "its process was killed by signal 9")
    assert reached < epochs(run) < EPOCHS

    said = command_line("study", plan, "--to", folder, "--threads", 1)
    assert said.code == 0, said.err
    assert said.out.splitlines()[:2] == ["began toy-bpr-3", "finished toy-bpr-3; 1 of 1 runs finished"]
    assert same_bytes(quiet / "study" / "runs" / "toy-bpr-3", run, FILES)
    # What a worker said is kept only where it failed.
    assert list((folder / "logs").iterdir()) == []


def test_ctrl_c_ends_the_workers_too(quiet: Path, tmp_path: Path, command_line: CommandLine) -> None:
    folder = tmp_path / "study"

    def press() -> None:
        until = time.monotonic() + 60
        while not (folder / "logs" / "toy-bpr-3.log").exists() and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    finger = threading.Thread(target=press)
    finger.start()
    said = command_line("study", quiet / "plan.toml", "--to", folder)
    finger.join()
    assert said.code == 130
    assert said.err == "alnico: stopped with 0 of 1 runs finished; the same command goes on\n"
    assert said.out.splitlines()[0] == "began toy-bpr-3"
    assert said.out.splitlines()[1].startswith("stopped toy-bpr-3: ")
    assert open_study(folder).content.runs["toy-bpr-3"].state == "started"
    with locked(folder, "study"):
        pass  # nobody is left


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The short study: its plan and its folder, to be read only."""
    folder = tmp_path_factory.mktemp("short")
    plan = furnish(folder, SHORT)
    conduct(Ledger(laid_out(plan), folder / "study", folder / "study" / "records"), Here())
    return plan, folder / "study"


def test_finished_study_says_what_was_found(
    short: tuple[Path, Path], tmp_path: Path, command_line: CommandLine
) -> None:
    plan, made = short
    folder = tmp_path / "study"
    shutil.copytree(made, folder)
    said = command_line("study", plan, "--to", folder, "--oracle")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].startswith("overall, toy: strongest baseline of 2 is ")
    assert "grid, toy: chosen of 2 is width=" in said.out
    oracle = next(line for line in lines if line.startswith("grid, toy: oracle of 2 is width="))
    assert "(chosen on the test part: not a result" in oracle
    assert lines[-1] == f"3 of 3 runs are finished; the study is in {folder}"
    told = json.loads(command_line("study", plan, "--to", folder, "--json").out)
    assert (told["finished"], told["wanted"], told["failed"]) == (3, 3, {})
    assert told["findings"]["grid"]["toy"]["chosen"]["among"] == 2
    assert told["findings"]["grid"]["toy"]["oracle"] is None


def test_dry_run_lists_the_runs_and_makes_none(
    short: tuple[Path, Path], tmp_path: Path, command_line: CommandLine
) -> None:
    plan, made = short
    folder = tmp_path / "study"
    shutil.copytree(made, folder)
    shutil.rmtree(folder / "runs" / "toy-bpr-width=6-3")
    (folder / "records" / "toy" / "toy-bpr-width=6-3.npz").unlink()
    before = sorted(folder.rglob("*"))
    said = command_line("study", plan, "--to", folder, "--dry-run")
    assert said.code == 0, said.err
    header, *rows, last = said.out.splitlines()
    assert header.split() == ["run", "state", "time", "for"]
    assert [row.split()[:2] for row in rows] == [
        ["toy-popular-3", "finished"],
        ["toy-bpr-3", "finished"],
        ["toy-bpr-width=6-3", "waiting"],
    ]
    assert rows[1].endswith("overall, grid")
    # As long as the other run of that model took.
    assert last.startswith("3 runs, 1 of them to be made: about ")
    assert sorted(folder.rglob("*")) == before
    told = json.loads(
        command_line("study", plan, "--to", folder, "--dry-run", "--json", "--only", "grid").out
    )
    assert [run["run"] for run in told["runs"]] == ["toy-bpr-3", "toy-bpr-width=6-3"]
    result = json.loads((folder / "runs" / "toy-bpr-3" / "result.json").read_text())
    assert told["seconds"] == pytest.approx(result["training_seconds"] + result["test_seconds"])


def test_dry_run_tries_a_model_out_where_nothing_is_known(
    short: tuple[Path, Path], tmp_path: Path, command_line: CommandLine
) -> None:
    plan, _ = short
    told = json.loads(command_line("study", plan, "--to", tmp_path / "study", "--dry-run", "--json").out)
    assert all(run["at_most"] for run in told["runs"])
    assert 0 < told["seconds"] < 600
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize("asked", ["on the command line", "in the settings file"])
def test_dry_run_gives_no_time_for_another_device_than_the_cpu(
    short: tuple[Path, Path], tmp_path: Path, command_line: CommandLine, asked: str
) -> None:
    plan, made = short
    folder, given = tmp_path / "study", ["--device", "cuda"]
    shutil.copytree(made, folder)
    shutil.rmtree(folder / "runs" / "toy-bpr-width=6-3")
    (folder / "records" / "toy" / "toy-bpr-width=6-3.npz").unlink()
    if asked == "in the settings file":
        plan, given = furnish(tmp_path, SHORT), []
        for name in ("bpr", "popular"):
            file = tmp_path / f"{name}.toml"
            file.write_text('device = "cuda"\n' + file.read_text())
    # What the CPU took says nothing either.
    said = command_line("study", plan, "--to", folder, "--dry-run", *given)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[3].split()[:3] == ["toy-bpr-width=6-3", "waiting", "-"]
    assert said.out.splitlines()[-1] == (
        "3 runs, 1 of them to be made; 1 without a time, which trying out tells of the CPU only"
    )


def test_missing_data_are_one_sentence_and_left_out_only_if_asked(
    short: tuple[Path, Path], tmp_path: Path, command_line: CommandLine
) -> None:
    plan, made = short
    text = plan.read_text().replace("[datasets]", '[datasets]\ngone = "nowhere/gone"')
    both = tmp_path / "plan.toml"
    both.write_text(text)
    folder = tmp_path / "study"
    shutil.copytree(made, folder)
    sentence = (
        "the data set 'gone' is not at nowhere/gone: import it with `alnico data import`, name its place with "
        "--data gone=PATH, or leave it out with --available\n"
    )
    said = command_line("study", both, "--to", folder)
    assert (said.code, said.out, said.err) == (2, "", f"alnico: {sentence}")
    said = command_line("study", both, "--to", folder, "--available")
    assert (said.code, said.err) == (0, f"alnico: left out: {sentence}")
    assert said.out.splitlines()[-1].startswith("3 of 3 runs are finished")
    states = {run.state for name, run in open_study(folder).content.runs.items() if name.startswith("gone")}
    assert states == {"missing"}
    said = command_line("study", both, "--to", folder, "--dry-run")
    assert (said.code, said.err) == (0, f"alnico: {sentence}")
    # With its place named there is nothing missing; with nothing there at all, nothing can be left out.
    said = command_line(
        "study", both, "--to", folder, "--data", "gone=nowhere", "--data", "toy=nowhere", "--available"
    )
    assert said.code == 2
    assert "the data set 'gone' is not at nowhere:" in said.err
    said = command_line("study", both, "--to", folder, "--data", "gone")
    assert (said.code, said.err) == (2, "alnico: --data takes NAME=PATH, found 'gone'\n")


def test_run_that_cannot_be_made_shows_in_the_exit_code(
    short: tuple[Path, Path], tmp_path: Path, command_line: CommandLine
) -> None:
    plan, made = short
    folder = tmp_path / "study"
    shutil.copytree(made, folder)
    longer = tmp_path / "plan.toml"
    lost = 'variants = { full = {}, lost = { model.width = { from = "full", fact = "switch_step" } } }'
    longer.write_text(plan.read_text() + lost)
    said = command_line("study", longer, "--to", folder)
    assert said.code == 1
    assert said.err == (
        "alnico: toy-bpr-lost-3: 'full' has no switch_step to go by: None; a setting depends on it, take another "
        "fact or a fixed number\n"
    )
    assert said.out.splitlines()[-1] == f"3 of 4 runs are finished; the study is in {folder}"
    told = command_line("study", longer, "--to", folder, "--json")
    assert told.code == 1
    assert list(json.loads(told.out)["failed"]) == ["toy-bpr-lost-3"]


def test_part_alone_is_judged_by_its_own_runs_and_data(
    short: tuple[Path, Path], tmp_path: Path, command_line: CommandLine
) -> None:
    plan, made = short
    folder = tmp_path / "study"
    shutil.copytree(made, folder)
    text = plan.read_text().replace("[datasets]", '[datasets]\ngone = "nowhere/gone"')
    text = text.replace('name = "grid"', 'name = "grid"\ndatasets = ["toy"]')
    lost = 'variants = { full = {}, lost = { model.width = { from = "full", fact = "switch_step" } } }'
    other = tmp_path / "plan.toml"
    other.write_text(
        f'{text}\n[[parts]]\nname = "lost"\ntable = "ablations"\ndatasets = ["toy"]\nseeds = "ablation"\n'
        f'base = "{plan.parent}/bpr.toml"\n{lost}'
    )
    said = command_line("study", other, "--to", folder, "--only", "grid")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[-1] == f"2 of 2 runs are finished; the study is in {folder}"
    assert command_line("study", other, "--to", folder, "--only", "grid", "--dry-run").err == ""
    said = command_line("study", other, "--to", folder, "--only", "lost")
    assert said.code == 1
    assert said.err.startswith("alnico: toy-bpr-lost-3: 'full' has no switch_step to go by")
    said = command_line("study", other, "--to", folder, "--only", "overall")
    assert said.code == 2
    assert "the data set 'gone' is not at nowhere/gone" in said.err
    said = command_line("study", other, "--to", folder, "--only", "gird")
    assert said.code == 2
    assert "has no part 'gird'; did you mean 'grid'?" in said.err


def test_second_study_in_a_folder_is_refused(
    short: tuple[Path, Path], tmp_path: Path, command_line: CommandLine
) -> None:
    plan, _ = short
    with locked(tmp_path / "study", "study"):
        said = command_line("study", plan, "--to", tmp_path / "study")
    assert said.code == 2
    assert said.err == (
        f"alnico: another study is at work in {tmp_path / 'study'} (process {os.getpid()}); "
        "wait for it, or choose another --to\n"
    )
    with locked(tmp_path / "study", "study"):
        pass  # it was let go


def test_workers_of_a_killed_study_are_waited_for_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.2)
    with locked(tmp_path, "study") as (file,):
        # The lock is held, and the process that wrote itself in is gone.
        gone = subprocess.Popen([sys.executable, "-c", ""])
        gone.wait()
        os.ftruncate(file, 0)
        os.pwrite(file, str(gone.pid).encode(), 0)
        with (
            pytest.raises(StorageError, match="was killed and its workers have not ended yet"),
            locked(tmp_path, "study"),
        ):
            pass


def test_system_without_locks_gets_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    with caplog.at_level("INFO", logger="alnico"), locked(tmp_path, "study") as held:
        assert held == ()
    assert "this system has no file locks: take care that no other study works in" in caplog.text


# -- how a study looks -------------------------------------------------------------------------------

STANDING = Standing(
    9, 3, 1, [Running("toy-bpr-3", 12, 0.25, 90.0), Running("toy-wide-3", 0, None, 0.0)], 4000.0
)


def test_what_is_left_in_one_line() -> None:
    assert remaining(STANDING) == "3 of 9 runs finished, 2 running, 3 waiting, 1 failed, about 67 min left"
    assert remaining(Standing(9, 0, 0, [], None)) == "0 of 9 runs finished, 9 waiting"
    assert remaining(Standing(9, 9, 0, [], 0.0)) == "9 of 9 runs finished"
    assert ending(Outcome("toy-bpr-3", "failed", "it broke")) == "failed toy-bpr-3: it broke"


def test_who_watches_a_study_depends_on_where_the_output_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with studying(quiet=True) as watcher:
        assert isinstance(watcher, Unwatched)
    with studying() as watcher:
        watcher.looks(STANDING)
        watcher.began("toy-bpr-3", "toy")
        watcher.ended(Outcome("toy-bpr-3", "finished"), STANDING)
    assert capsys.readouterr().out == (f"began toy-bpr-3\nfinished toy-bpr-3; {remaining(STANDING)}\n")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with studying() as watcher:
        assert isinstance(watcher, StudyLive)
        watcher.looks(STANDING)
        console = Console(width=100, color_system=None)
        with console.capture() as shown:
            console.print(watcher.live.renderable)
        watcher.began("toy-bpr-3", "toy")
        watcher.ended(Outcome("toy-bpr-3", "finished"), STANDING)
    head, first, second, last = (line.split() for line in shown.get().splitlines())
    assert " ".join(last) == remaining(STANDING)
    assert head == ["run", "epoch", "best", "trained"]
    assert first == ["toy-bpr-3", "12", "0.2500", "90.0", "s"]
    assert second == ["toy-wide-3", "0", "0", "ms"]
    assert "finished toy-bpr-3" in capsys.readouterr().out
