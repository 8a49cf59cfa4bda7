"""A study in which runs fail, were begun before, are timed or stopped: what goes on, and what it says of the time."""

import json
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from alnico.experiment import executor as executors
from alnico.experiment.conducting import conduct, expected_seconds, seconds_taken, standing_of
from alnico.experiment.executor import Job, Outcome, Workers
from alnico.experiment.ledger import Ledger
from alnico.experiment.run import resume
from alnico.experiment.study import Study, open_study
from alnico.training.trainer import Interrupted
from studied import OVERALL, PARTS, Here, Order, copied, furnish, laid_out, study

FAILING = """
[[parts]]
name = "chain"
table = "ablations"
base = "{folder}/bpr.toml"
seeds = "ablation"
[parts.variants]
"dependent" = { model.width = { from = "hot", fact = "epochs" } }
"nonsense" = { model.width = { from = "well", fact = "switch_step" } }
"hot" = { training.learning_rate = 1e30 }
"well" = {}
"""


def test_run_that_fails_is_told_and_those_that_wait_for_it_while_others_go_on(tmp_path: Path) -> None:
    plan = furnish(tmp_path, FAILING)
    opened, order = study(plan, tmp_path / "study")
    assert order == ["toy-bpr-hot-3", "toy-bpr-well-3"]
    told = {entry.variant: (run.state, run.sentence) for entry, run in opened.lacking("chain")}
    assert told["hot"][0] == "failed"
    assert told["hot"][1].startswith("training diverged: loss term ")
    assert told["dependent"] == ("blocked", "it waits for toy-bpr-hot-3, which is failed")
    assert told["nonsense"][0] == "failed"
    assert "'well' has no switch_step to go by: None" in told["nonsense"][1]
    assert [one.label for one in opened.runs_of("chain")] == ["well"]
    # What failed is tried again, what is finished is not.
    _, order = study(plan, tmp_path / "study")
    assert order == ["toy-bpr-hot-3"]


def test_run_that_began_and_was_killed_is_resumed(
    made: tuple[Study, list[str]], plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(made[0], tmp_path / "study")
    (folder / "records" / "toy" / "toy-small-1.npz").unlink()
    begun = folder / "runs" / "toy-small-1"
    (begun / "result.json").unlink()
    # Killed before anything was saved but the record of what it is.
    for path in begun.iterdir():
        if path.name != "run.json":
            path.unlink()
    resumed: list[str] = []

    def watched(at: Path, **given: str) -> object:
        resumed.append(at.name)
        return resume(at, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(executors, "resume", watched)
    _, order = study(plan, folder)
    assert order == resumed == ["toy-small-1"]
    assert (begun / "scorer.safetensors").read_bytes() == (
        made[0].folder / "runs" / "toy-small-1" / "scorer.safetensors"
    ).read_bytes()
    assert (folder / "records" / "toy" / "toy-small-1.npz").exists()


def test_begun_run_follows_data_and_device_of_the_command_line(
    made: tuple[Study, list[str]], tmp_path: Path
) -> None:
    folder = copied(made[0], tmp_path / "study")
    plan = furnish(tmp_path, PARTS)
    (folder / "records" / "toy" / "toy-small-1.npz").unlink()
    begun = folder / "runs" / "toy-small-1"
    (begun / "result.json").unlink()
    told = json.loads((begun / "run.json").read_text())
    told["spec"].update(dataset="gone", device="cuda")
    (begun / "run.json").write_text(json.dumps(told))
    shutil.move(tmp_path / "data", tmp_path / "moved")
    course = laid_out(plan, {"toy": str(tmp_path / "moved")})
    ledger = Ledger(course, folder, folder / "records", part="overall", device="cpu")
    assert ledger.states["toy-small-1"] == "started"
    order = Order()
    conduct(ledger, Here(), order)
    assert [(outcome.ending, outcome.sentence) for outcome in order.outcomes] == [("finished", "")]


def test_time_left_is_that_of_runs_of_the_same_model(
    plan: Path, made: tuple[Study, list[str]], tmp_path: Path
) -> None:
    folder = copied(made[0], tmp_path / "study")
    for name in ("toy-small-1", "toy-popular-2"):
        shutil.rmtree(folder / "runs" / name)
        (folder / "records" / "toy" / f"{name}.npz").unlink()
    for name, seconds in (("toy-popular-1", 2.0), ("toy-small-2", 10.0), ("toy-small-full-3", 20.0)):
        path = folder / "runs" / name / "result.json"
        told = {**json.loads(path.read_text()), "training_seconds": seconds, "test_seconds": 0.0}
        path.write_text(json.dumps(told))
        (folder / "records" / "toy" / f"{name}.npz").unlink()
    for name in ("toy-small-dependent-3", "toy-small-width=6-3"):
        shutil.rmtree(folder / "runs" / name)
        (folder / "records" / "toy" / f"{name}.npz").unlink()
    ledger = Ledger(laid_out(plan), folder, folder / "records", part="overall")
    taken = seconds_taken(ledger)
    assert expected_seconds(taken, "toy", "popularity") == 2
    assert expected_seconds(taken, "toy", "bpr_mf") == 15
    # A model that no run tells of is taken for one like the others: (2 + 10 + 20) / 3.
    assert expected_seconds(taken, "toy", "magnet") == pytest.approx(32 / 3)
    assert expected_seconds(taken, "other", "bpr_mf") is None
    standing = standing_of(ledger, lanes=2)
    assert (standing.wanted, standing.finished, standing.failed) == (4, 2, 0)
    assert standing.seconds_left == pytest.approx((15 + 2) / 2)


def test_timed_runs_have_the_machine_for_themselves(tmp_path: Path) -> None:
    timed = """
[[parts]]
name = "timed"
table = "efficiency"
models = ["{folder}/bpr.toml"]
seeds = [1]
alone = true
"""
    course = laid_out(furnish(tmp_path, OVERALL + timed))
    assert [run.name for run in course.runs if run.alone] == ["toy-bpr-1"]
    together: list[set[str]] = []

    class Roomy:
        """Takes as many jobs as there are and ends them at the next question, oldest first."""

        def __init__(self) -> None:
            self.here, self.jobs = Here(), list[executors.Job]()
            self.room = 9

        def submit(self, job: executors.Job) -> None:
            self.jobs.append(job)
            together.append({one.name for one in self.jobs})

        def wait(self, seconds: float) -> list[Outcome]:
            self.here.submit(self.jobs.pop(0))
            return list(self.here.wait(seconds))

        def stop(self) -> None:
            """Nothing."""

    conduct(Ledger(course, tmp_path / "study", tmp_path / "study" / "records"), Roomy())
    assert {"toy-bpr-1"} in together
    assert not any("toy-bpr-1" in names and len(names) > 1 for names in together)
    assert {"toy-popular-2", "toy-bpr-2"} in together


class Stopping:
    """Ends every job as if its process had been asked to stop."""

    room = 1

    def __init__(self) -> None:
        self.ended: list[Outcome] = []

    def submit(self, job: executors.Job) -> None:
        self.ended.append(Outcome(job.name, "stopped", "nothing was lost"))

    def wait(self, seconds: float) -> list[Outcome]:
        told, self.ended = self.ended, []
        return told

    def stop(self) -> None:
        """Nothing."""


def test_run_that_somebody_stops_does_not_stop_the_others(plan: Path, tmp_path: Path) -> None:
    order = Order()
    opened = conduct(Ledger(laid_out(plan), tmp_path / "study", tmp_path, part="overall"), Stopping(), order)
    assert [(outcome.ending, outcome.sentence) for outcome in order.outcomes] == 4 * [
        ("failed", "it was stopped from outside; nothing was lost")
    ]
    assert opened.runs_of("overall") == []


def test_ctrl_c_in_this_process_reaches_the_run_and_the_study(tmp_path: Path) -> None:
    plan = furnish(tmp_path, PARTS, epochs=400, patience=400)
    begun = tmp_path / "study" / "runs" / "toy-small-1" / "history.jsonl"

    def press() -> None:
        until = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < until:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    finger = threading.Thread(target=press)
    finger.start()
    ledger = Ledger(laid_out(plan), tmp_path / "study", tmp_path / "records")
    with pytest.raises(Interrupted, match="stopped with 1 of 8 runs finished; the same command goes on"):
        conduct(ledger, Here())
    finger.join()
    states = {name: run.state for name, run in open_study(tmp_path / "study").content.runs.items()}
    assert states["toy-popular-1"] == "finished"
    assert states["toy-small-1"] == "started"


@pytest.mark.slow
def test_defect_of_a_worker_is_told_with_the_place_of_its_traceback(plan: Path, tmp_path: Path) -> None:
    workers = Workers(1, 1, tmp_path / "logs")
    spec = laid_out(plan).run("toy-popular-1").spec({}).resolved()
    # Half a letter, which no file can hold, stands for what nobody has thought of.
    workers.submit(Job("odd", str(tmp_path / "run"), spec, label="\ud800"))
    (outcome,) = workers.wait(60)
    log = tmp_path / "logs" / "odd.log"
    assert outcome == Outcome(
        "odd", "failed", f"its process ended with exit code 1; what it said is in {log}"
    )
    assert "UnicodeEncodeError" in log.read_text()
