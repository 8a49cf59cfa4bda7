"""A search whose trials are made by several processes, some of which die."""

import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import searches
from alnico.errors import AlnicoError
from alnico.experiment.bench import Unwatched
from alnico.experiment.crew import hired
from alnico.experiment.trials import Task, Trial, open_store
from alnico.experiment.tune import Tuned, tune
from alnico.training.checkpoint import Progress
from alnico.training.trainer import Interrupted
from searches import NO_PRUNING, drawn


def by_place(done: Tuned) -> dict[int, Trial]:
    """The trials that are over, by the place that they took."""
    return {trial.place: trial for trial in done.trials if trial.is_over}


def test_workers_make_the_trials_that_one_process_makes(board: Path, tmp_path: Path) -> None:
    space = searches.search(tmp_path, {**drawn("random", 3), "pruning": NO_PRUNING}, searches.BPR, board)
    alone, together = tune(space, tmp_path / "alone"), tune(space, tmp_path / "together", workers=2)
    assert sorted(by_place(together)) == [0, 1, 2]
    for place, trial in by_place(together).items():
        other = by_place(alone)[place]
        assert (trial.settings, trial.outcome, trial.epochs) == (other.settings, "complete", other.epochs)
        # The last bits may differ where a worker has fewer threads.
        assert trial.value == pytest.approx(other.value, abs=0.1)
    assert multiprocessing.active_children() == []


class Mischief(Unwatched):
    """Kills a worker once two are at it, and stops the search when its trial is begun again."""

    def __init__(self) -> None:
        self.begun: list[Mapping[str, Any]] = []
        self.under_way: set[int] = set()
        self.ends: list[str] = []
        self.has_killed = False

    def began(self, number: int, stage: str, settings: Mapping[str, Any]) -> None:
        """Ask for the end, if it is time."""
        self.under_way.add(number)
        if settings in self.begun:
            os.kill(os.getpid(), signal.SIGINT)
        self.begun.append(settings)

    def epoch(self, number: int, value: float | None, progress: Progress) -> None:
        """Kill, if it is time."""
        if len(self.under_way) == 2 and not self.has_killed:
            self.has_killed = True
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """Remember how."""
        self.under_way.discard(trial.number)
        self.ends.append(trial.outcome)


@pytest.mark.slow
def test_what_a_dead_worker_was_at_is_made_again(board: Path, tmp_path: Path) -> None:
    base = {**searches.BPR, "training": {**searches.BPR["training"], "epochs": 300, "patience": 300}}
    space = searches.search(tmp_path, {**drawn("random", 4), "pruning": NO_PRUNING}, base, board)
    watcher, folder = Mischief(), tmp_path / "search"
    with pytest.raises(Interrupted, match="the same command goes on"):
        tune(space, folder, workers=2, watcher=watcher)
    # A worker died, and another began its trial again. Now nobody is left, and nothing seems to run.
    assert "lost" in watcher.ends
    assert multiprocessing.active_children() == []
    assert "running" not in (folder / "trials.csv").read_text()
    assert sorted(by_place(tune(space, folder))) == [0, 1, 2, 3]


def test_worker_that_died_while_idle_is_replaced(tastes: Path, tmp_path: Path) -> None:
    grid = {"joint": {"sampler": "grid"}, "space": {"model.neighbours": {"choices": [5, 9]}}}
    space = searches.search(tmp_path, grid, searches.KNN, tastes)
    path = tmp_path / "study.db"
    with open_store(path, space) as store, hired(1, path, store, space, Unwatched()) as crew:
        (idle,) = multiprocessing.active_children()
        before = idle.pid
        idle.kill()
        idle.join()
        crew.take(Task(1, 0, 0, 0))
        (fresh,) = multiprocessing.active_children()
        assert fresh.pid != before
        assert list(crew.busy) == [1]
    assert multiprocessing.active_children() == []


class KillsThemAll(Unwatched):
    """Kills every worker as soon as one of them gets anywhere."""

    def epoch(self, number: int, value: float | None, progress: Progress) -> None:
        """Kill."""
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, signal.SIGKILL)


@pytest.mark.slow
def test_workers_that_die_before_anything_is_measured_end_the_search(board: Path, tmp_path: Path) -> None:
    base = {**searches.BPR, "training": {**searches.BPR["training"], "epochs": 300, "patience": 300}}
    space = searches.search(tmp_path, {**drawn("random", 4), "pruning": NO_PRUNING}, base, board)
    with pytest.raises(
        AlnicoError, match=r"2 worker processes died of the same trial, .* exit code -9, .* fewer"
    ):
        tune(space, tmp_path / "search", workers=2, watcher=KillsThemAll())
    assert multiprocessing.active_children() == []
    assert len(tune(space, tmp_path / "search").trials) > 4
