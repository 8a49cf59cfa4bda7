"""Going on with a run as a person does: with its own settings, where its data stand now, on another device."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from alnico.data.features import ItemFeatures
from alnico.data.store import open_dataset, save_dataset
from command_lines import CommandLine
from finished_runs import Finished


@pytest.mark.parametrize(
    "other",
    [
        ("--seed", 4),
        ("--label", "other"),
        ("--set", "seed=4"),
        ("--to", "elsewhere"),
        ("--warm-start", "elsewhere"),
    ],
    ids=lambda other: other[0],
)
def test_resume_takes_no_other_settings(
    finished: Finished, command_line: CommandLine, other: tuple[str, object]
) -> None:
    said = command_line("train", "--resume", finished.magnet.folder, *other)
    assert said.code == 2
    assert said.err == (
        "alnico: --resume goes on with the run's own settings; give nothing beside it but --data and --device, which "
        "say where the data stand now and where to train\n"
    )


def test_resume_follows_its_data_and_takes_another_device(
    finished: Finished, tmp_path: Path, command_line: CommandLine
) -> None:
    folder, moved, other = tmp_path / "run", tmp_path / "moved", tmp_path / "other"
    shutil.copytree(finished.popularity.folder, folder)
    (folder / "result.json").unlink()
    shutil.copytree(finished.data, moved, ignore=shutil.ignore_patterns("cache"))
    save_dataset(replace(open_dataset(moved), features=ItemFeatures(48)), other)
    told = json.loads((folder / "run.json").read_text())
    told["spec"].update(dataset="gone", device="cuda:7")
    (folder / "run.json").write_text(json.dumps(told))
    for given, sentence in (
        (("--device", "cpu"), "gone"),
        (("--data", moved), "cuda"),
        (("--data", other, "--device", "cpu"), "are not those that run"),
        (("--data", moved, "--device", "no such place"), "is none that torch knows"),
    ):
        said = command_line("train", "--resume", folder, *given)
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert sentence in said.err
        assert json.loads((folder / "run.json").read_text()) == told
    said = command_line("train", "--resume", folder, "--data", moved, "--device", "cpu", "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["test"] == finished.popularity.result["test"]
    spec = json.loads((folder / "run.json").read_text())["spec"]
    assert (spec["dataset"], spec["device"]) == (str(moved), "cpu")
