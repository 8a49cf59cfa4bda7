"""Asking what a run will cost, as a person does it."""

import json
from pathlib import Path

import pytest

from alnico.cli.estimate import BYTES, SECONDS, duration, read_quantity, size, verdict
from alnico.errors import ConfigError
from alnico.experiment.estimate import Budget, Estimate, Forecast, Proposal
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
batch_size = 64
metric = "ndcg@20"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A settings file for a small MAGNET."""
    path = tmp_path / "magnet.toml"
    path.write_text(SETTINGS)
    return path


def test_estimate_says_what_a_run_will_cost(
    finished: Finished, settings: Path, command_line: CommandLine
) -> None:
    said = command_line("estimate", settings, "--data", finished.data)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("magnet on 40 users, 48 items, ")
    assert [line.split("  ")[0] for line in lines[2:8]] == [
        "libraries, data",
        "building",
        "training",
        "validating",
        "saving",
        "at the height",
    ]
    assert lines[4].endswith("per epoch")
    assert "steps of" in lines[8]
    assert lines[8].endswith("at most 10 epochs")
    assert lines[9].startswith("measured on all the data")
    assert lines[10].startswith("it fits: ")


def test_estimate_as_json_takes_the_changes_that_train_takes(
    finished: Finished, settings: Path, command_line: CommandLine
) -> None:
    said = command_line(
        *("estimate", settings, "--data", finished.data, "--json"),
        *("--set", "training.batch_size=16", "--set", "model.views=single"),
    )
    told = json.loads(said.out)
    assert told["forecast"]["steps"] == -(-told["interactions"] // 16)
    assert told["forecast"]["peak_bytes"] > told["forecast"]["process_bytes"]
    assert (told["excess"], told["proposals"]) == ([], [])


def test_estimate_beyond_the_budget_says_what_would_fit_or_that_nothing_does(
    finished: Finished, settings: Path, command_line: CommandLine
) -> None:
    said = command_line("estimate", settings, "--data", finished.data, "--budget-memory", "1MB")
    assert said.code == 0
    assert "it does not fit (memory): " in said.out
    assert "the budget is 1 MB" in said.out
    assert said.out.splitlines()[-1].startswith(("no change of settings", "stopped looking"))


def forecast(peak: int, seconds: float) -> Forecast:
    """A cost of which only the sums matter."""
    return Forecast(2**20, {"building": peak - 2**20}, peak, 2.0, 5, 0.1, seconds, 0.0, seconds, 40, 48)


def test_verdict_names_changes_that_can_be_copied() -> None:
    budget = Budget(2 * 2**30, 60.0)
    told = Estimate(
        *("magnet", 40, 48, 300, 10, forecast(3 * 2**30, 90.0), budget, 8 * 2**30, ["memory", "time"]),
        proposals=[
            Proposal({"model.views": "single", "training.batch_size": 32}, forecast(2**30, 6.0)),
        ],
        tried_all=False,
        seconds=21.0,
    )
    assert verdict(told) == [
        "it does not fit (memory and time): 8.0 GB are free, the budget is 2.0 GB, an epoch may take 60.0 s",
        "fits with --set model.views=single --set training.batch_size=32: "
        "1.0 GB, 6.0 s per epoch, built in 2.0 s",
        "stopped looking after 21.0 s; a longer --patience tries more",
    ]
    assert told.forecast.excess(budget) == ["memory", "time"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--budget-memory", "much"), "--budget-memory expects a number above 0 with a unit"),
        (("--budget-time", "0s"), "--budget-time expects a number above 0 with a unit"),
        (("--set", "model.widht=8"), "there is no setting 'model.widht'; did you mean 'width'?"),
        (("--set", "device=tpu9"), "device 'tpu9' is none that torch knows"),
    ],
)
def test_wrong_input_gets_one_sentence(
    finished: Finished,
    settings: Path,
    command_line: CommandLine,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    said = command_line("estimate", settings, "--data", finished.data, *arguments)
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_quantities_are_read_with_and_without_units() -> None:
    assert read_quantity("4GB", BYTES, "--budget-memory") == 4 * 2**30
    assert read_quantity("1.5 mb", BYTES, "--budget-memory") == 1.5 * 2**20
    assert read_quantity("90", SECONDS, "--budget-time") == 90
    assert read_quantity("2min", SECONDS, "--budget-time") == read_quantity("2m", SECONDS, "--time") == 120
    with pytest.raises(ConfigError, match="found '4XB'"):
        read_quantity("4XB", BYTES, "--budget-memory")


def test_sizes_and_times_are_told_for_people() -> None:
    assert [size(n) for n in (3 * 2**20, 1.5 * 2**30)] == ["3 MB", "1.5 GB"]
    assert [duration(s) for s in (0.0123, 9.87, 600, 9000)] == ["12 ms", "9.9 s", "10 min", "2.5 h"]
