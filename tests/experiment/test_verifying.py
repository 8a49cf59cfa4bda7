"""Whether stored numbers come out again: bit for bit, but for rounding, or not."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import worlds
from alnico.data.store import save_dataset
from alnico.errors import StorageError
from alnico.experiment.folder import Run, open_run
from alnico.experiment.run import run
from alnico.experiment.spec import read_spec
from alnico.experiment.verifying import Verification, verify
from alnico.storage import read_json, read_tensors, write_json, write_tensors
from command_lines import CommandLine
from finished_runs import Finished

CLEAN = Verification(9, {}, 0, 0, 0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of a model without content, to be copied."""
    folder = tmp_path_factory.mktemp("verified")
    world = worlds.scattered(seed=4, n_users=30, n_items=20, per_user=6)
    save_dataset(worlds.dataset_of(world, "toy"), folder / "data")
    spec = {
        "dataset": str(folder / "data"),
        "model": {"name": "bpr_mf", "width": 4},
        "split": {"rule": "random"},
        "training": {"epochs": 2, "batch_size": 32, "learning_rate": 0.05},
        "evaluation": {"mask": "train+valid"},
    }
    return run(read_spec(spec), folder / "run")


def copied(made: Run, to: Path) -> Path:
    """The run in a folder of its own."""
    shutil.copytree(made.folder, to)
    return to


def change_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Write the file again with other tensors."""
    tensors, notes = read_tensors(path)
    change(tensors)
    write_tensors(path, tensors, notes)


@pytest.mark.parametrize("name", ["magnet", "item_knn", "popularity"])
def test_stored_numbers_come_out_again_bit_for_bit(finished: Finished, name: str) -> None:
    told = verify(getattr(finished, name))
    assert told == replace(CLEAN, users=told.users)
    assert told.users == getattr(finished, name).result["test_users"]
    assert told.verdict == "identical"


def test_thread_count_is_that_of_the_run(made: Run, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    folder = copied(made, tmp_path / "run")
    record = read_json(folder / "run.json")
    record["threads"]["torch"] = before + 1
    write_json(folder / "run.json", record)
    told = verify(open_run(folder))
    assert "threads" not in told.changed
    assert torch.get_num_threads() == before


def test_what_was_changed_is_found_and_counted(made: Run, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "lists")

    def swap(tensors: dict[str, torch.Tensor]) -> None:
        tensors["items"][0, :2] = tensors["items"][0, :2].flip(0)
        tensors["value/recall@20"][1] += 0.25

    change_tensors(folder / "test.safetensors", swap)
    told = verify(open_run(folder))
    assert (told.lists, told.values, told.scores, told.verdict) == (1, 1, 0, "different")
    assert (told.largest_value, told.largest_mean) == (0.25, 0)

    folder = copied(made, tmp_path / "means")
    result = read_json(folder / "result.json")
    result["valid"]["recall@20"] += 0.125
    write_json(folder / "result.json", result)
    told = verify(open_run(folder))
    assert told == replace(CLEAN, users=told.users, largest_mean=told.largest_mean)
    assert (told.largest_mean, told.verdict) == (pytest.approx(0.125), "different")

    folder = copied(made, tmp_path / "model")
    change_tensors(folder / "scorer.safetensors", lambda tensors: tensors["users"].mul_(1.5))
    told = verify(open_run(folder))
    # Longer user vectors keep every order, but not the scores; the largest is half as large again.
    assert (told.lists, told.values, told.scores) == (0, 0, told.users)
    assert told.largest_score == pytest.approx(0.5)
    assert told.verdict == "different"

    folder = copied(made, tmp_path / "shorter")
    change_tensors(
        folder / "test.safetensors", lambda tensors: tensors.update(items=tensors["items"][:, :5].clone())
    )
    assert verify(open_run(folder)).verdict == "different"


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({}, "identical"),
        ({"changed": {"threads": (1, 2)}}, "identical"),
        ({"scores": 3, "largest_score": 1e-7}, "different"),
        ({"scores": 3, "largest_score": 1e-7, "changed": {"threads": (1, 2)}}, "rounding"),
        # Two items with nearly equal scores changed places.
        (
            {"scores": 3, "lists": 1, "values": 1, "largest_score": 1e-7, "changed": {"torch": (1, 2)}},
            "rounding",
        ),
        ({"scores": 3, "largest_score": 1e-3, "changed": {"threads": (1, 2)}}, "different"),
        ({"largest_mean": 0.1}, "different"),
        # No other machine changes a mean whose values are all the same.
        ({"largest_mean": 0.1, "changed": {"threads": (1, 2)}}, "different"),
    ],
)
def test_rounding_is_an_excuse_only_where_something_changed(
    found: Mapping[str, object], verdict: str
) -> None:
    told = replace(CLEAN, **found)  # type: ignore[arg-type]
    assert told.verdict == verdict
    assert told.is_same == (verdict != "different")


def test_verify_on_the_command_line(made: Run, tmp_path: Path, command_line: CommandLine) -> None:
    said = command_line("verify", made.folder)
    assert said.code == 0, said.err
    n = made.result["test_users"]
    assert said.out == f"the same, bit for bit: lists and values of {n} test users, and all means\n"

    folder = copied(made, tmp_path / "run")
    change_tensors(folder / "scorer.safetensors", lambda tensors: tensors["items"].neg_())
    said = command_line("verify", folder)
    assert said.code == 1
    assert said.out.startswith(f"different: of {n} test users, ")
    told = command_line("verify", folder, "--json")
    assert told.code == 1
    assert '"verdict": "different"' in told.out

    (folder / "result.json").unlink()
    said = command_line("verify", folder)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "is not finished; go on with `alnico train --resume" in said.err


def test_other_data_cannot_verify_anything(made: Run, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "run")
    world = worlds.scattered(seed=5, n_users=30, n_items=20, per_user=6)
    save_dataset(worlds.dataset_of(world, "toy"), tmp_path / "data")
    record = read_json(folder / "run.json")
    record["spec"]["dataset"] = str(tmp_path / "data")
    write_json(folder / "run.json", record)
    with pytest.raises(StorageError, match=r"are not those that run .* was trained on"):
        verify(open_run(folder))


def test_values_that_differ_in_the_last_bit_are_not_identical(made: Run, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "run")

    def nudge(tensors: dict[str, torch.Tensor]) -> None:
        scores = tensors["scores"].numpy()
        scores[0, 0] = np.nextafter(scores[0, 0], np.float32(np.inf))

    change_tensors(folder / "test.safetensors", nudge)
    told = verify(open_run(folder))
    assert (told.lists, told.values, told.scores, told.verdict) == (0, 0, 1, "different")
    assert 0 < told.largest_score < 1e-6
