"""Measured pages of the docs."""

import shutil
from pathlib import Path

import pytest

from alnico.errors import ConfigError, StorageError
from alnico.experiment.results import RunRecord
from alnico.models import MODELS
from alnico.report.documents import dataset_document, dataset_table
from alnico.report.published import PUBLISHED
from alnico.report.writing import write_results
from finished_runs import Finished, record

GOOD = [0.5 + 0.01 * user for user in range(40)]
POOR = [value - 0.2 for value in GOOD]


def column(table_header: tuple[str, ...], row: tuple[str, ...], name: str) -> str:
    """One cell by its header."""
    return row[table_header.index(name)]


def on_given_split(name: str, model: str, **settings: str) -> RunRecord:
    """A record on the split that came with the data."""
    found = record(name, GOOD, model=model)
    found.record["split"]["recipe"]["rule"] = "given"
    found.record["spec"]["model"].update(settings)
    return found


def test_published_numbers_stand_beside_runs_that_answer_the_same_question() -> None:
    runs = [
        on_given_split("own", "magnet", views="dual"),
        on_given_split("single", "magnet", views="single"),
        on_given_split("base", "lightgcn"),
        record("random", GOOD, model="lightgcn"),
    ]
    table = dataset_table("baby", runs)
    cells = {row[0]: column(table.header, row, "published") for row in table.rows}
    assert cells == {
        "own": ".0703 / .1076 / .0373 / .0478",
        "single": "-",
        "base": ".0479 / .0754 / .0257 / .0328",
        "random": "-",
    }
    assert "published" not in dataset_table("tiktok", runs).header
    page = dataset_document("baby", runs[:3])
    assert "magnet: MAGNET's Table 4; lightgcn: the evaluation table of MMRec." in page
    assert "for orientation only" not in dataset_document("tiktok", runs[:3])


def test_published_numbers_are_of_models_that_there_are() -> None:
    for known in PUBLISHED.values():
        assert set(known) <= set(MODELS)


def test_a_model_that_follows_its_source_only_in_part_says_so_on_the_page() -> None:
    old, new = record("old", GOOD, model="cmdl"), record("new", GOOD, model="cmdl")
    new.record["card"] = {"title": "CMDL", "reproduction": "partly reconstructed", "remark": "Guessed."}  # type: ignore[index]
    for runs in ([old, new], [new, old]):
        assert "* CMDL: partly reconstructed. Guessed." in dataset_document("toy", runs)


def test_switch_that_never_came_is_called_never() -> None:
    early, late, none = record("a", GOOD), record("b", GOOD), record("c", GOOD)
    early.result["switch_step"], late.result["switch_step"] = 0, -1  # type: ignore[index]
    table = dataset_table("toy", [early, late, none])
    assert sorted(column(table.header, row, "switch step") for row in table.rows) == ["-", "0", "never"]


def test_baselines_come_first_and_each_kind_goes_up_by_validation() -> None:
    runs = [
        record("m2", GOOD, valid=0.2),
        record("m1", GOOD, valid=0.1),
        record("b2", POOR, model="bpr_mf", valid=0.4),
        record("b1", POOR, model="bpr_mf", valid=0.3),
    ]
    assert [row[0] for row in dataset_table("toy", runs).rows] == ["b1", "b2", "m1", "m2"]


def test_page_compares_with_the_best_baseline_and_names_what_is_not_worse() -> None:
    runs = [
        record("MAGNET", GOOD, valid=0.6),
        record("equal", GOOD, model="lightgcn", valid=0.5),
        record("poor", POOR, model="bpr_mf", valid=0.4),
    ]
    text = dataset_document("toy", runs, "Features: made up.")
    assert "Features: made up." in text
    assert "### Against equal, the best baseline by validation ndcg@20" in text
    assert "| MAGNET - equal | recall@20 | +0.0000 |" in text
    assert "| poor - equal | ndcg@20 | -0.2000 |" in text
    assert "> On ndcg@20, equal is not significantly worse than MAGNET" in text


def test_runs_on_different_splits_stand_in_different_tables() -> None:
    text = dataset_document("toy", [record("a", GOOD, question="x"), record("b", POOR, question="y")])
    assert text.count("\n## Split random (seed 1), mask train\n") == 2


def test_pages_can_be_written_again_from_records_alone(finished: Finished, tmp_path: Path) -> None:
    runs, records, to = tmp_path / "runs", tmp_path / "records", tmp_path / "docs"
    shutil.copytree(finished.magnet.folder.parent, runs)
    written = write_results(runs, records, to, tmp_path / "no demo", {"toy": "A note."})
    assert sorted(path.name for path in written.paths) == [
        "item_knn.npz",
        "magnet.npz",
        "popularity.npz",
        "toy.csv",
        "toy.md",
    ]
    before = {name: (to / name).read_text() for name in ("toy.md", "toy.csv")}
    assert "A note." in before["toy.md"]

    shutil.rmtree(runs)
    write_results(runs, records, to, tmp_path / "no demo", {})
    assert {name: (to / name).read_text() for name in before} == before


def test_unfinished_run_is_left_out_with_a_notice(finished: Finished, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(finished.magnet.folder.parent, runs)
    (runs / "magnet" / "result.json").unlink()
    written = write_results(runs, tmp_path / "records", tmp_path / "docs", tmp_path / "no demo", {})
    assert not (tmp_path / "records" / "toy" / "magnet.npz").exists()
    assert list(written.notices) == [f"{runs / 'magnet'} is not finished and was left out"]


def test_nothing_to_write_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no finished run in"):
        write_results(tmp_path / "runs", tmp_path / "records", tmp_path / "docs", tmp_path / "demo", {})
    assert list(tmp_path.iterdir()) == []


def test_note_on_an_unknown_data_set_is_one_sentence(finished: Finished, tmp_path: Path) -> None:
    runs = finished.magnet.folder.parent
    with pytest.raises(ConfigError, match="did you mean 'toy'"):
        write_results(runs, tmp_path / "records", tmp_path / "docs", tmp_path / "demo", {"toyy": "x"})
