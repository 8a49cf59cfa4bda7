"""A search from its first trial to its best settings: what it chooses, keeps, repeats and never touches."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import searches
from alnico.data.dataset import Dataset
from alnico.data.split import Split
from alnico.data.splitting import SplitRecipe
from alnico.data.splitting import split as split_dataset
from alnico.errors import AlnicoError, ConfigError, DataError, StorageError
from alnico.experiment import bench as benches
from alnico.experiment.bench import Unwatched
from alnico.experiment.crew import hired
from alnico.experiment.run import run
from alnico.experiment.space import load_search
from alnico.experiment.spec import load_spec, settings_toml
from alnico.experiment.trials import Task, Trial, open_store
from alnico.experiment.tune import Tuned, train_winner, tune
from alnico.lock import locked
from alnico.training.checkpoint import Progress
from alnico.training.trainer import Interrupted

RATE, WIDTH = "training.learning_rate", "model.width"
NO_PRUNING = {"rule": "none"}


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stored checkerboard, to be read only."""
    return searches.checkerboard(tmp_path_factory.mktemp("data") / "board")


@pytest.fixture(scope="module")
def tastes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stored tastes, to be read only."""
    return searches.two_tastes(tmp_path_factory.mktemp("data") / "tastes")


def drawn(sampler: str, trials: int = 5, **more: Any) -> dict[str, Any]:
    """A search that draws step and width."""
    return {
        "trials": trials,
        "joint": {"sampler": sampler, **more},
        "space": {RATE: {"low": 1e-3, "high": 0.1, "log": True}, WIDTH: {"low": 2, "high": 8, "step": 2}},
        "pruning": {"warm_up": 2, "startup": 1},
    }


def facts(done: Tuned) -> list[tuple[Any, ...]]:
    """What trials tried and measured, in their order, without what the clock says and without lost ones."""
    return [
        (trial.position, dict(trial.settings), trial.outcome, trial.value, trial.best_epoch, trial.epochs)
        for trial in done.trials
        if trial.is_over
    ]


# -- what it finds -----------------------------------------------------------------------------------


def test_grid_finds_the_setting_that_is_known_to_be_best(tastes: Path, tmp_path: Path) -> None:
    space = {"joint": {"sampler": "grid"}, "space": {"model.source": {"choices": ["behaviour", "content"]}}}
    done = tune(searches.search(tmp_path, space, searches.KNN, tastes), tmp_path / "search")
    assert [(trial.settings["model.source"], trial.outcome) for trial in done.trials] == [
        ("behaviour", "complete"),
        ("content", "complete"),
    ]
    # The new item of the own side stands among the four of that side which the user has not got.
    assert done.best is done.trials[1]
    assert done.trials[1].value == 1.0
    assert done.base_value == done.trials[0].value < 1.0
    assert done.finished == "all trials made"


def test_best_settings_train_to_the_value_that_was_found(board: Path, tmp_path: Path) -> None:
    space = {
        "joint": {"sampler": "grid"},
        "space": {RATE: {"choices": [1e-9, 0.05]}, WIDTH: {"choices": [8]}},
    }
    done = tune(searches.search(tmp_path, space, searches.BPR, board), tmp_path / "search")
    assert [tuple(trial.settings.values()) for trial in done.trials] == [(1e-9, 8), (0.05, 8)]
    assert done.best is done.trials[1]
    # best.toml says all, and training it repeats the trial bit for bit.
    spec = load_spec(tmp_path / "search" / "best.toml")
    assert spec == done.spec
    finished = run(spec, tmp_path / "run")
    assert finished.result["valid"]["recall@5"] == done.best.value
    assert finished.result["best_epoch"] == done.best.best_epoch


def test_each_stage_begins_at_the_best_of_those_before(tastes: Path, tmp_path: Path) -> None:
    space = {
        "stage": [
            {"name": "kind", "space": {"model.source": {"choices": ["behaviour", "content"]}}},
            {
                "name": "size",
                "space": {
                    "model.neighbours": {"choices": [1, 50]},
                    "model.modalities": {"choices": [["image"], ["text"]]},
                },
            },
        ]
    }
    done = tune(searches.search(tmp_path, space, searches.KNN, tastes), tmp_path / "search")
    tried = [(trial.stage, trial.sweep, dict(trial.settings)) for trial in done.trials]
    assert tried == [
        (0, 0, {"model.source": "behaviour"}),
        (0, 0, {"model.source": "content"}),
        (1, 0, {"model.source": "content", "model.neighbours": 1}),
        (1, 0, {"model.source": "content", "model.neighbours": 50}),
        # One neighbour is worse; the best so far, and the first of its kind, is the second trial.
        (1, 1, {"model.source": "content", "model.modalities": ["image"]}),
        (1, 1, {"model.source": "content", "model.modalities": ["text"]}),
    ]
    assert (done.trials[2].value or 0) < 1.0
    # Fifty neighbours are the default: that trial had been made, and costs nothing.
    assert (done.trials[3].outcome, done.trials[3].note) == ("known", "trial 2")
    assert done.trials[3].value == done.trials[1].value
    assert (done.spent["trials"], done.trials[3].epochs, done.trials[3].seconds < 1) == (5, 0, True)


def test_drawn_search_starts_from_the_base(board: Path, tmp_path: Path) -> None:
    done = tune(searches.search(tmp_path, drawn("random", 2), searches.BPR, board), tmp_path / "search")
    assert done.trials[0].settings == {RATE: 0.05, WIDTH: 8}
    assert done.base_value == done.trials[0].value
    # A base outside the space is no point of it.
    elsewhere = {**drawn("random", 1), "space": {RATE: {"low": 0.001, "high": 0.01}}}
    done = tune(searches.search(tmp_path, elsewhere, searches.BPR, board), tmp_path / "elsewhere")
    assert 0.001 <= done.trials[0].settings[RATE] <= 0.01
    assert done.base_value is None


# -- trials that end early ---------------------------------------------------------------------------


def test_hopeless_trial_is_given_up_and_recorded(board: Path, tmp_path: Path) -> None:
    space = {
        "joint": {"sampler": "grid"},
        "space": {RATE: {"choices": [0.05, 1e-9]}},
        "pruning": {"warm_up": 3, "startup": 1},
    }
    done = tune(searches.search(tmp_path, space, searches.BPR, board), tmp_path / "search")
    good, bad = done.trials
    assert (good.outcome, good.epochs) == ("complete", 6)
    # A model that does not move is below the one that does as soon as it may be looked at.
    assert (bad.outcome, bad.epochs, bad.note) == ("pruned", 3, "given up")
    assert done.best is good
    assert done.spent["outcomes"] == {"complete": 1, "pruned": 1}
    assert (done.spent["trials"], done.spent["epochs"]) == (2, 9)


def test_halving_lets_only_the_best_go_on(board: Path, tmp_path: Path) -> None:
    space = {
        "joint": {"sampler": "grid"},
        "space": {RATE: {"choices": [0.05, 1e-9, 1e-8]}},
        "pruning": {"rule": "halving", "warm_up": 4, "factor": 2},
    }
    done = tune(searches.search(tmp_path, space, searches.BPR, board), tmp_path / "search")
    assert [(trial.outcome, trial.epochs) for trial in done.trials] == [
        ("complete", 6),
        ("pruned", 4),
        ("pruned", 4),
    ]


def test_diverged_trial_is_an_outcome(board: Path, tmp_path: Path) -> None:
    space = {"joint": {"sampler": "grid"}, "space": {RATE: {"choices": [1e30, 0.05]}}, "pruning": NO_PRUNING}
    done = tune(searches.search(tmp_path, space, searches.BPR, board), tmp_path / "search")
    assert [trial.outcome for trial in done.trials] == ["diverged", "complete"]
    assert done.trials[0].note.startswith("training diverged: loss term")
    assert done.best is done.trials[1]


def test_settings_that_the_model_refuses_are_an_outcome(tastes: Path, tmp_path: Path) -> None:
    choices = {
        "model.modalities": {"choices": [["image"], ["smell"]]},
        "model.source": {"choices": ["content"]},
    }
    space = {"joint": {"sampler": "grid"}, "space": choices}
    done = tune(searches.search(tmp_path, space, searches.KNN, tastes), tmp_path / "search")
    assert [trial.outcome for trial in done.trials] == ["complete", "refused"]
    assert "'smell'" in done.trials[1].note


def test_refusal_of_the_first_trial_ends_the_search(tastes: Path, tmp_path: Path) -> None:
    choices = {"model.modalities": {"choices": [["smell"]]}, "model.source": {"choices": ["content"]}}
    space = searches.search(tmp_path, {"joint": {"sampler": "grid"}, "space": choices}, searches.KNN, tastes)
    for _ in range(2):
        with pytest.raises(DataError, match="'smell'"):
            tune(space, tmp_path / "search")


def test_settings_of_a_trial_that_was_given_up_are_not_the_best_by_being_asked_again(
    board: Path, tmp_path: Path
) -> None:
    both = {RATE: {"choices": [0.05, 1e-9]}, "training.learning_rate_decay": {"choices": [1.0]}}
    space = {
        "stage": [
            {"name": "first", "search": "grid", "space": {RATE: both[RATE]}},
            {"name": "again", "search": "grid", "space": both},
        ],
        "pruning": {"warm_up": 3, "startup": 1},
    }
    done = tune(searches.search(tmp_path, space, searches.BPR, board), tmp_path / "search")
    assert [(trial.outcome, trial.value is None, trial.note[:7]) for trial in done.trials] == [
        ("complete", False, "all epo"),
        ("pruned", False, "given u"),
        ("known", False, "trial 1"),
        ("known", True, "trial 2"),
    ]
    assert done.best is done.trials[0]


# -- budgets -----------------------------------------------------------------------------------------


def test_trials_are_counted_over_all_calls(board: Path, tmp_path: Path) -> None:
    path = searches.search_file(tmp_path / "space.toml", drawn("random", 2), searches.BPR, board)
    first = tune(load_search(path), tmp_path / "search")
    assert (len(first.trials), first.finished) == (2, "all trials made")
    again = tune(load_search(path), tmp_path / "search")
    assert facts(again) == facts(first)
    more = tune(load_search(path, trials=4), tmp_path / "search")
    assert (len(more.trials), facts(more)[:2]) == (4, facts(first))
    record = json.loads((tmp_path / "search" / "search.json").read_text())
    assert record["budget"] == {"trials": 4, "seconds": None}
    assert record["spent"]["trials"] == 4
    assert record["spent"]["epochs"] == sum(trial.epochs for trial in more.trials)
    assert record["model"] == "bpr_mf"


def test_a_budget_of_trials_cuts_a_grid_short(tastes: Path, tmp_path: Path) -> None:
    space = {"trials": 2, "joint": {"sampler": "grid"}, "space": {"model.neighbours": {"choices": [5, 9, 7]}}}
    done = tune(searches.search(tmp_path, space, searches.KNN, tastes), tmp_path / "search")
    assert [trial.settings["model.neighbours"] for trial in done.trials] == [5, 9]
    assert done.finished == "the trials are spent"


class Clock(Unwatched):
    """A clock that every epoch moves by ten seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def epoch(self, number: int, value: float | None, progress: Progress) -> None:
        """Let time pass."""
        self.now += 10


def test_time_ends_training_after_an_epoch_and_the_trial_is_made_again(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = searches.search(tmp_path, drawn("random", 2), searches.BPR, board)
    clock = Clock(monkeypatch)
    done = tune(space, tmp_path / "search", seconds=25, watcher=clock)
    (cut,) = done.trials
    assert (cut.outcome, cut.epochs, cut.note) == ("stopped", 3, "out of time")
    assert done.finished == "the time is spent"
    # What it reached is real: training with its settings reaches no less.
    assert done.best is cut
    assert (done.spent["trials"], done.spent["epochs"], done.spent["wall_seconds"]) == (0, 3, 30)
    # Time is counted over all calls.
    assert len(tune(space, tmp_path / "search", seconds=25, watcher=clock).trials) == 1
    whole = tune(space, tmp_path / "search", seconds=10_000, watcher=clock)
    assert [(trial.place, trial.outcome == "stopped") for trial in whole.trials] == [
        (0, True),
        (0, False),
        (1, False),
    ]
    assert whole.trials[1].settings == cut.settings
    assert whole.spent["wall_seconds"] == 30 + 10 * sum(trial.epochs for trial in whole.trials[1:])


def test_search_without_an_end_is_refused(board: Path, tmp_path: Path) -> None:
    space = drawn("tpe")
    del space["trials"]
    with pytest.raises(ConfigError, match="draws points without end; give --trials or --time"):
        tune(searches.search(tmp_path, space, searches.BPR, board), tmp_path / "search")
    assert not (tmp_path / "search").exists()


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


# -- what it refuses ---------------------------------------------------------------------------------


def test_folder_with_another_search_is_refused(tastes: Path, board: Path, tmp_path: Path) -> None:
    space = {"joint": {"sampler": "grid"}, "space": {"model.neighbours": {"choices": [5, 9]}}}
    tune(searches.search(tmp_path, dict(space), searches.KNN, tastes), tmp_path / "search")
    for what, more, changes in (
        ("base", {}, ["model.shrinkage=3"]),
        ("stages", {"space": {"model.neighbours": {"choices": [5]}}}, []),
        ("pruning", {"pruning": NO_PRUNING}, []),
        ("data", {}, [f"dataset={board}"]),
    ):
        path = searches.search_file(tmp_path / "other.toml", {**space, **more}, searches.KNN, tastes)
        with pytest.raises(StorageError, match=rf"holds another search: its {what} differ"):
            tune(load_search(path, changes=changes), tmp_path / "search")
    # Data that only stand elsewhere are the same.
    shutil.copytree(tastes, tmp_path / "moved")
    moved = load_search(tmp_path / "space.toml", changes=[f"dataset={tmp_path / 'moved'}"])
    assert len(tune(moved, tmp_path / "search").trials) == 2


def test_folder_in_which_somebody_searches_is_refused(tastes: Path, tmp_path: Path) -> None:
    grid = {"joint": {"sampler": "grid"}, "space": {"model.neighbours": {"choices": [5, 9]}}}
    space = searches.search(tmp_path, grid, searches.KNN, tastes)

    class Meddles(Unwatched):
        """Begins the same search once more while it goes on."""

        def began(self, number: int, stage: str, settings: Mapping[str, Any]) -> None:
            """Try it."""
            with pytest.raises(StorageError, match="another search is at work in"):
                tune(space, tmp_path / "search")

    assert len(tune(space, tmp_path / "search", watcher=Meddles()).trials) == 2


def test_data_without_validation_are_refused(board: Path, tmp_path: Path) -> None:
    base = {**searches.BPR, "split": {"rule": "random", "valid": 0.0}}
    with pytest.raises(DataError, match="leaves no validation interactions"):
        tune(searches.search(tmp_path, drawn("random"), base, board), tmp_path / "search")


def test_settings_that_toml_cannot_say_are_refused(board: Path, tmp_path: Path) -> None:
    said = {
        "base": {"dataset": str(board), "model": {"name": "magnet", "coverage_floor": None}},
        "joint": {"sampler": "grid"},
        "space": {WIDTH: {"choices": [8]}},
    }
    (tmp_path / "space.json").write_text(json.dumps(said))
    with pytest.raises(
        ConfigError, match=r"sets model\.coverage_floor to nothing, .* could not say in a TOML file"
    ):
        tune(load_search(tmp_path / "space.json"), tmp_path / "search")
    # What a preset leaves empty is said by the preset.
    said["base"]["model"] = {"name": "magnet", "preset": "paper"}
    (tmp_path / "space.json").write_text(json.dumps(said))
    spec = load_search(tmp_path / "space.json").spec
    assert spec.resolved()["model"]["coverage_floor"] is None
    assert load_spec(_written(tmp_path, spec.resolved())).resolved() == spec.resolved()


def _written(folder: Path, settings: dict[str, Any]) -> Path:
    (folder / "again.toml").write_text(settings_toml(settings))
    return folder / "again.toml"


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


# -- several workers ---------------------------------------------------------------------------------


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
