"""A search that is made again, or goes on where it was killed, and what none of its trials touches."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import searches
from alnico.data.dataset import Dataset
from alnico.data.split import Split
from alnico.data.splitting import SplitRecipe
from alnico.data.splitting import split as split_dataset
from alnico.errors import StorageError
from alnico.experiment import bench as benches
from alnico.experiment.bench import Unwatched
from alnico.experiment.space import load_search
from alnico.experiment.tune import Tuned, train_winner, tune
from alnico.lock import locked
from alnico.training.checkpoint import Progress
from alnico.training.trainer import Interrupted
from searches import NO_PRUNING, drawn, facts

# -- the same again ----------------------------------------------------------------------------------


def test_search_repeats_bit_for_bit(board: Path, tmp_path: Path) -> None:
    space = searches.search(tmp_path, drawn("tpe", 5, startup=3), searches.BPR, board)
    first, second = tune(space, tmp_path / "first"), tune(space, tmp_path / "second")
    assert facts(first) == facts(second)
    # All points differ, and another seed draws others.
    assert len({json.dumps(trial.settings) for trial in first.trials}) == 5
    other = searches.search(tmp_path, drawn("tpe", 2, startup=3), {**searches.BPR, "seed": 4}, board)
    assert facts(tune(other, tmp_path / "other"))[1][1] != facts(first)[1][1]


class Pulls(Unwatched):
    """Pulls the plug in an epoch of a trial."""

    def __init__(self, number: int, epoch: int) -> None:
        self.at = number, epoch

    def epoch(self, number: int, value: float | None, progress: Progress) -> None:
        """Die, if it is time."""
        if (number, progress.epoch) == self.at:
            raise Killed


class Killed(BaseException):
    """The machine went away."""


def test_killed_search_goes_on_to_the_same_trials(board: Path, tmp_path: Path) -> None:
    space = searches.search(tmp_path, drawn("tpe", 5, startup=2), searches.BPR, board)
    quiet = tune(space, tmp_path / "quiet")
    folder = tmp_path / "search"
    for number, epoch in ((3, 2), (5, 1)):
        with pytest.raises(Killed):
            tune(space, folder, watcher=Pulls(number, epoch))
    done = tune(space, folder)
    assert facts(done) == facts(quiet)
    assert [trial.number for trial in done.trials if trial.outcome == "lost"] == [3, 5]
    assert done.spent["trials"] == quiet.spent["trials"]
    assert (folder / "best.toml").read_text().split("\n", 2)[2] == (
        tmp_path / "quiet" / "best.toml"
    ).read_text().split("\n", 2)[2]


class SendsSignal(Unwatched):
    """Sends Ctrl-C to this process after an epoch of a trial."""

    def __init__(self, number: int, epoch: int) -> None:
        self.at = number, epoch

    def epoch(self, number: int, value: float | None, progress: Progress) -> None:
        """Send it, if it is time."""
        if (number, progress.epoch) == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def test_search_that_is_asked_to_stop_keeps_what_is_finished(board: Path, tmp_path: Path) -> None:
    space = searches.search(tmp_path, {**drawn("random", 3), "pruning": NO_PRUNING}, searches.BPR, board)
    folder = tmp_path / "search"
    with pytest.raises(Interrupted, match=rf"1 trials are kept in .*{folder.name}, the same command goes on"):
        tune(space, folder, watcher=SendsSignal(2, epoch=1))
    # In its last epoch the trial ends as it would have, and then the search does.
    with pytest.raises(Interrupted, match="2 trials are kept"):
        tune(space, folder, watcher=SendsSignal(3, epoch=6))
    done = tune(space, folder)
    assert [(trial.place, trial.outcome, trial.epochs) for trial in done.trials] == [
        (0, "complete", 6),
        (1, "stopped", 1),
        (1, "complete", 6),
        (2, "complete", 6),
    ]


# -- what it never touches ---------------------------------------------------------------------------


class Sealed(Split):
    """A split whose test part must not be opened."""

    def __getattribute__(self, name: str) -> Any:
        if name == "test" and object.__getattribute__(self, "__dict__").get("sealed"):
            raise AssertionError("the test part was opened")
        return super().__getattribute__(name)


def test_no_trial_opens_the_test_part(board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed: list[Sealed] = []

    def sealing(dataset: Dataset, recipe: SplitRecipe) -> Split:
        parts = split_dataset(dataset, recipe)
        sealed.append(Sealed(parts.train, parts.valid, parts.test, parts.recipe, parts.facts))
        sealed[-1].__dict__["sealed"] = True
        return sealed[-1]

    monkeypatch.setattr(benches, "split", sealing)
    done = tune(searches.search(tmp_path, drawn("tpe", 3), searches.BPR, board), tmp_path / "search")
    assert len(done.trials) == 3
    with pytest.raises(AssertionError, match="was opened"):
        _ = sealed[0].test


def test_another_test_part_changes_nothing(tmp_path: Path) -> None:
    found = []
    for test_item in (2, 4):
        data = searches.checkerboard(tmp_path / f"board-{test_item}", test_item)
        space = searches.search(tmp_path, drawn("tpe", 3, startup=2), searches.BPR, data)
        found.append(tune(space, tmp_path / f"search-{test_item}"))
    assert facts(found[0]) == facts(found[1])
    assert found[0].search.spec.dataset != found[1].search.spec.dataset


def test_winner_is_tested_once(board: Path, tmp_path: Path) -> None:
    space = searches.search(tmp_path, drawn("random", 2), searches.BPR, board)
    done = tune(space, tmp_path / "search")
    assert not list((tmp_path / "search").rglob("result.json"))
    assert done.best is not None
    with locked(done.folder, "search"), pytest.raises(StorageError, match="another search is at work in"):
        train_winner(done)
    assert not list((tmp_path / "search").rglob("run.json"))
    winner = train_winner(done)
    assert winner.result["valid"]["recall@5"] == done.best.value
    before = (winner.folder / "result.json").stat().st_mtime_ns
    assert train_winner(done).result == winner.result
    assert (winner.folder / "result.json").stat().st_mtime_ns == before
    other = Tuned(done.folder, load_search(tmp_path / "space.toml", changes=["seed=9"]), done.trials, "", 0)
    with pytest.raises(StorageError, match=r"has other settings than are best now; train .*best\.toml to"):
        train_winner(other)


def test_nothing_measured_has_no_best(board: Path, tmp_path: Path) -> None:
    space = searches.search(tmp_path, drawn("random", 2), searches.BPR, board)
    with pytest.raises(Killed):
        tune(space, tmp_path / "search", watcher=Pulls(1, 1))
    assert not (tmp_path / "search" / "best.toml").exists()
    begun = Tuned(tmp_path / "search", space, [], "", 0.0)
    assert (begun.best, begun.base_value) == (None, None)
    with pytest.raises(
        StorageError, match=r"no trial in .* has measured anything yet; trials\.csv there says"
    ):
        _ = begun.spec
