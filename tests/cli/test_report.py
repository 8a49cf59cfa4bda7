"""``alnico report`` and ``alnico results`` on finished runs."""

import json
import shutil
from pathlib import Path

import pytest

from alnico.catalogue.shop import ShopPlan
from alnico.catalogue.writing import make_shop
from alnico.experiment.conducting import conduct
from alnico.experiment.ledger import Ledger
from command_lines import CommandLine
from finished_runs import Finished
from studied import OVERALL, WIDTHS, Here, furnish, laid_out


def test_report_prints_what_it_writes(finished: Finished, tmp_path: Path, command_line: CommandLine) -> None:
    page = tmp_path / "page.html"
    answer = command_line(
        "report", *(run.folder for run in finished.runs), "--to", page, "--truth", finished.shop
    )
    assert answer.code == 0
    assert "magnet - popularity" in answer.out
    assert "may not be needed" in answer.out
    assert f"open {page}" in answer.out
    text = page.read_text()
    assert "Recommendations on toy" in text
    assert "By true kind of user" in text


def test_report_as_json_holds_the_comparisons(
    finished: Finished, tmp_path: Path, command_line: CommandLine
) -> None:
    runs = [finished.magnet.folder, finished.popularity.folder]
    answer = command_line("report", *runs, "--to", tmp_path / "page.html", "--metric", "recall@20", "--json")
    (told,) = json.loads(answer.out)["comparisons"]["toy"]
    assert (told["first"], told["second"], told["metric"]) == ("magnet", "popularity", "recall@20")
    assert told["wins"] + told["ties"] + told["losses"] == told["users"]


def test_truth_of_another_shop_is_refused(
    finished: Finished, tmp_path: Path, command_line: CommandLine
) -> None:
    make_shop(ShopPlan(n_users=12, n_items=48, n_interactions=80), tmp_path / "other")
    answer = command_line(
        "report", finished.magnet.folder, "--to", tmp_path / "page.html", "--truth", tmp_path / "other"
    )
    assert answer.code == 2
    assert "none of the runs was trained on the shop" in answer.err
    assert not (tmp_path / "page.html").exists()


def test_report_on_no_run_is_one_sentence(tmp_path: Path, command_line: CommandLine) -> None:
    answer = command_line("report", tmp_path, "--to", tmp_path / "page.html")
    assert answer.code == 2
    assert "is not a run folder" in answer.err


def test_report_on_an_unfinished_run_is_one_sentence(
    finished: Finished, tmp_path: Path, command_line: CommandLine
) -> None:
    begun = shutil.copytree(finished.magnet.folder, tmp_path / "begun")
    (begun / "result.json").unlink()
    answer = command_line("report", begun, "--to", tmp_path / "page.html")
    assert answer.code == 2
    assert "is not finished; go on with" in answer.err


def test_results_name_what_they_write(finished: Finished, tmp_path: Path, command_line: CommandLine) -> None:
    places = [
        "--runs",
        finished.magnet.folder.parent,
        "--records",
        tmp_path / "records",
        "--to",
        tmp_path / "docs",
    ]
    answer = command_line("results", *places, "--demo", tmp_path / "none", "--note", "toy=Made up.")
    assert answer.code == 0
    assert str(tmp_path / "docs" / "toy.md") in answer.out.splitlines()
    assert "Made up." in (tmp_path / "docs" / "toy.md").read_text()


def test_note_without_text_is_one_sentence(tmp_path: Path, command_line: CommandLine) -> None:
    answer = command_line("results", "--runs", tmp_path, "--note", "baby")
    assert answer.code == 2
    assert "--note takes DATASET=TEXT, found 'baby'" in answer.err


@pytest.fixture(scope="module")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which one part was made and one was not; its runs chose among a grid with a look at the test."""
    folder = tmp_path_factory.mktemp("study")
    plan = furnish(folder, OVERALL + WIDTHS)
    for part, oracle in (("overall", False), ("grid", True)):
        course = laid_out(plan)
        conduct(Ledger(course, folder / "study", folder / "records", part=part), Here(), oracle=oracle)
    return folder / "study"


def test_report_of_a_study_shows_what_its_runs_can_give(small_study: Path, command_line: CommandLine) -> None:
    answer = command_line("report", small_study, "--title", "All of it")
    assert answer.code == 0
    page = small_study / "report" / "study.html"
    assert f"open {page}" in answer.out
    text = page.read_text()
    assert "<title>All of it</title>" in text
    assert "All runs stand under the protocol tiny." in text
    assert "but what a search that looks there would have claimed" in text
    assert "Figure 9: trigger is left out: the study has no part trigger." in text
    assert (small_study / "report" / "tables" / "table-4-toy.csv").exists()


def test_report_of_a_study_as_json(small_study: Path, tmp_path: Path, command_line: CommandLine) -> None:
    answer = command_line("report", small_study, "--to", tmp_path, "--json")
    told = json.loads(answer.out)
    assert told["page"] == str(tmp_path / "study.html")
    assert sorted(path.stem for path in (tmp_path / "tables").glob("*.csv")) == sorted(told["tables"])
    assert sorted(path.stem for path in (tmp_path / "figures").glob("*.svg")) == sorted(told["figures"])


def test_truth_is_not_for_studies(small_study: Path, tmp_path: Path, command_line: CommandLine) -> None:
    answer = command_line("report", small_study, "--truth", tmp_path)
    assert answer.code == 2
    assert "--truth belongs to reports of runs" in answer.err
