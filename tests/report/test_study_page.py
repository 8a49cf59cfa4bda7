"""The page of a study: everything that its runs give, in files and inside, the worst news first."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from alnico.errors import ConfigError
from alnico.experiment.variants import StudyRow
from alnico.report.study_page import (
    EXHIBITS,
    WrittenStudy,
    distinct,
    file_name,
    sections_of,
    standings,
    study_page,
    write_study_page,
)
from finished_runs import Finished, record_row
from pages import Reader
from study_rows import study_row


@pytest.fixture(scope="module")
def told() -> list[str]:
    """What the writer said while it worked."""
    return []


@pytest.fixture(scope="module")
def written(finished: Finished, told: list[str], tmp_path_factory: pytest.TempPathFactory) -> WrittenStudy:
    """A page about the records of three real runs, a sweep made by hand, and a part that is for no exhibit."""
    sweep = [study_row(f"lr={value}", [value], varied={"model.routing": value}) for value in (0.1, 0.2)]
    parts = {
        "overall": [replace(record_row(run), run=None) for run in finished.runs],
        "regularisation": sweep,
        "my own question": [record_row(finished.popularity)],
        "empty": [],
    }
    return write_study_page(
        tmp_path_factory.mktemp("study"),
        "A <study>",
        parts,
        remarks=["Two runs are missing."],
        tell=told.append,
    )


def test_every_figure_and_table_is_a_file_in_each_form(written: WrittenStudy) -> None:
    folder = written.page.parent
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {f"{name}.{form}" for name in written.figures for form in ("svg", "png")}
    names = {path.name for path in (folder / "tables").iterdir()}
    assert names == {f"{name}.{form}" for name in written.tables for form in ("csv", "md", "tex")}
    assert {"table-2", "table-4-toy", "table-4-toy-tests", "table-7-toy", "my-own-question-toy"} <= set(
        written.tables
    )
    assert set(written.figures) == {"figure-5", "figure-10-toy", "figure-12"}
    for name in written.figures:
        with Image.open(folder / "figures" / f"{name}.png") as picture:
            assert picture.width == 1800


def test_page_needs_no_other_file_and_no_network(written: WrittenStudy) -> None:
    text = written.page.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert [address for address in reader.followed if not address.startswith(("#", "data:image/"))] == []
    assert not reader.tags & {"script", "link", "iframe", "object"}
    assert text.count("data:image/svg+xml;base64,") == len(written.figures)
    anchors = set(re.findall(r'href="#([^"]+)"', text))
    assert anchors == set(re.findall(r'<section class="chapter" id="([^"]+)"', text))


def test_texts_are_escaped_and_remarks_stand_at_the_beginning(written: WrittenStudy) -> None:
    text = written.page.read_text(encoding="utf-8")
    assert "<h1>A &lt;study&gt;</h1>" in text
    assert text.index("Two runs are missing.") < text.index("<main>")


def test_what_cannot_be_made_says_why(written: WrittenStudy) -> None:
    text = written.page.read_text(encoding="utf-8")
    assert "Figure 3: templates is left out: the study has no part templates." in text
    assert "Table 5: ablations is left out: the study has no part ablations." in text
    assert {one.title for one in written.left_out} >= {"Figure 3: templates", "Figure 9: trigger"}
    # The folders are gone, so that nothing can be drawn of the models themselves.
    assert "Figure 13: items and users in the plane, toy is left out: it needs the run folder" in text


def test_every_exhibit_is_announced(written: WrittenStudy, told: list[str]) -> None:
    assert told == [exhibit.title for exhibit in EXHIBITS]


def test_model_that_is_ahead_stands_in_the_first_line() -> None:
    rows = [
        study_row("MAGNET", [0.5, 0.25, 0.5], dataset="second"),
        study_row("LightGCN", [0.5, 0.5, 0.5], model="lightgcn", dataset="second"),
        study_row("MAGNET", [0.5, 0.5, 0.5], dataset="first"),
        study_row("LightGCN", [0.5, 0.25, 0.5], model="lightgcn", dataset="first"),
    ]
    found = standings({"overall": rows})
    assert [one.is_behind for one in found] == [True, True, False, False]
    text = study_page("t", [], found, 4)
    first = re.search(r'<div class="warning"><p>([^<]+)</p>', text)
    assert first is not None
    assert first[1].startswith("second, recall@20: LightGCN (0.5000, not significantly) is ahead of MAGNET")
    # Nobody ahead: no alarm.
    calm = study_page("t", [], standings({"overall": rows[2:]}), 2)
    assert '<div class="warning">' not in calm
    assert "no other model is ahead of MAGNET in the mean" in calm


def test_run_that_serves_several_parts_is_counted_once() -> None:
    row = study_row("MAGNET", [1, 0])
    assert len(distinct({"overall": [row], "routing": [row]})) == 1
    again = replace(row, label="full")
    assert len(distinct({"a": [row], "b": [again]})) == 1
    assert [one.label for one in distinct({"a": [row], "b": [again]}, by_variant=True)] == ["MAGNET", "full"]


def test_first_part_that_an_exhibit_knows_is_taken() -> None:
    rows = {
        "overall": [study_row("MAGNET", [1, 0], history=_history(0.1))],
        "efficiency": [study_row("timed", [1, 0], history=_history(0.2))],
    }
    sections = {section.title: section for section in sections_of(rows)}
    (table,) = sections["Table 7: cost"].tables
    assert [line[0] for line in table.table.rows] == ["timed"]


def _history(value: float) -> list[dict[str, float]]:
    return [{"epoch": 1, "train_seconds": 1.0, "epoch_seconds": 2.0, "valid/ndcg@20": value}]


def test_titles_as_names() -> None:
    assert file_name("Table 4: all models") == "table-4-all-models"


def test_study_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no finished run"):
        write_study_page(tmp_path, "t", {"overall": []})
    assert list(tmp_path.iterdir()) == []


def test_parts_that_serve_the_same_are_shown_each_for_itself() -> None:
    """Variants have the same names in both parts, but they are variants of two models, not seeds of one."""
    parts = {
        part: [study_row("full", [value, 0], settings={"preset": part}), study_row("cut", [0, value])]
        for part, value in (("ablations", 1.0), ("ablations-paper", 0.5))
    }
    serves = dict.fromkeys(parts, "ablations")
    found = [section for section in sections_of(parts, serves) if section.title.startswith("Table 5")]
    assert [section.title for section in found] == [
        "Table 5: ablations (ablations)",
        "Table 5: ablations (ablations-paper)",
    ]
    tables = [one for section in found for one in section.tables]
    assert [one.name for one in tables] == ["table-5-toy-ablations", "table-5-toy-ablations-paper"]
    seeds = [[row[1] for row in one.table.rows] for one in tables]
    assert seeds == [["1", "1"], ["1", "1"]]


def test_nothing_is_said_of_a_measure_that_was_not_taken() -> None:
    def without(row: StudyRow) -> StudyRow:
        told = row.record
        test = {name: value for name, value in told.result["test"].items() if name != "ndcg@20"}
        return replace(row, record=replace(told, result={**told.result, "test": test}))

    rows = [study_row("MAGNET", [0.5, 0.1]), study_row("LightGCN", [1.0, 0.9], model="lightgcn")]
    found = standings({"overall": [without(row) for row in rows]})
    assert [one.is_behind for one in found] == [True]
    assert found[0].sentence.startswith("toy, recall@20: LightGCN")


def test_models_that_share_no_split_are_not_called_worse() -> None:
    rows = [
        study_row("MAGNET", [0.5, 0.4], split="a"),
        study_row("LightGCN", [0.1, 0.2], model="lightgcn", split="b"),
    ]
    found = standings({"overall": rows})
    assert [one.is_behind for one in found] == [False, False]
    assert all("Not every other model could be compared" in one.sentence for one in found)
