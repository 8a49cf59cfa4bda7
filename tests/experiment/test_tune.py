"""A search from its first trial to its best settings: what it chooses, keeps and refuses."""

import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import searches
from alnico.errors import ConfigError, DataError, StorageError
from alnico.experiment.bench import Unwatched
from alnico.experiment.run import run
from alnico.experiment.space import load_search
from alnico.experiment.spec import load_spec, settings_toml
from alnico.experiment.tune import tune
from alnico.training.checkpoint import Progress
from searches import NO_PRUNING, RATE, WIDTH, drawn, facts

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
