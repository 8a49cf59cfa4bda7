"""Reliance on intact and on dealt content side by side."""

from dataclasses import replace

import pytest

from alnico.diagnostics.routing import reliance_shares
from alnico.experiment.run import run
from alnico.experiment.spec import read_spec
from alnico.experiment.variants import StudyRow
from alnico.report.exhibits.corruption import corrupted_reliance
from alnico.report.exhibits.shown import LeftOut, StudyFigure
from alnico.report.study_page import sections_of, standings
from alnico.report.study_tables.corruption import corruption_tables
from finished_runs import Finished, record_row

PARTS = ["behaviour", "image", "text"]


@pytest.fixture(scope="module")
def rows(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> list[StudyRow]:
    """The finished MAGNET as the intact run, and the same with its images dealt out."""
    spec = read_spec({**finished.magnet.spec.resolved(), "content": {"dealt": ["image"]}})
    made = run(spec, tmp_path_factory.mktemp("runs") / "dealt", label="dealt")
    varied = {"content.dealt": ["image"]}
    corrupted = replace(record_row(made, "image dealt out"), varied=varied, dataset="toy")
    return [record_row(finished.magnet, "intact"), corrupted]


def test_reliance_of_every_part_before_and_after(rows: list[StudyRow]) -> None:
    table, accuracy = corruption_tables(rows)
    assert (table.name, accuracy.name) == ("corruption-toy", "corruption-accuracy-toy")
    assert [line[:4] for line in table.table.rows] == [
        ("image dealt out", "image", "1", part) for part in PARTS
    ]
    assert [line[-1] in ("yes", "no") for line in table.table.rows] == [False, True, False]
    assert table.data is not None
    stored = [row.run.routing() for row in rows if row.run is not None]
    before, after = (reliance_shares(told["reliance"]).double() for told in stored if told is not None)
    for column, line in enumerate(table.data.rows):
        assert float(line[4]) == pytest.approx(float(before[:, column].mean()), abs=1e-6)
        assert float(line[5]) == pytest.approx(float(after[:, column].mean()), abs=1e-6)
        low, high, less = (float(cell) for cell in line[6:9])
        assert low <= float(after[:, column].mean() - before[:, column].mean()) <= high
        assert less == pytest.approx(float((after[:, column] < before[:, column]).double().mean()))
    # The accuracy of both stands in one table, paired by user, though their content differs.
    assert [line[0] for line in accuracy.table.rows] == ["intact", "image dealt out"]
    assert "(" in accuracy.table.rows[1][accuracy.table.header.index("R@20 change (p)")]


def test_records_still_know_the_means(rows: list[StudyRow]) -> None:
    table, _ = corruption_tables([replace(row, run=None) for row in rows])
    whole, _ = corruption_tables(rows)
    for line, same in zip(table.table.rows, whole.table.rows, strict=True):
        assert line[:6] == same[:6]
        assert line[-2:] == ("-", "-")


def test_nothing_is_said_without_the_twin(rows: list[StudyRow]) -> None:
    intact, corrupted = rows
    assert corruption_tables([intact]) == corruption_tables([corrupted]) == []
    (told,) = corrupted_reliance([corrupted])
    assert isinstance(told, LeftOut)
    assert told.why.startswith("it needs a MAGNET on intact content")


def test_both_stand_beside_each_other_in_a_picture(rows: list[StudyRow]) -> None:
    (told,) = corrupted_reliance(rows)
    assert isinstance(told, StudyFigure)
    for text in ("intact", "image dealt out", *PARTS):
        assert f">{text}<" in told.picture.svg


def test_page_counts_the_data_once_and_makes_no_claim_of_dealt_content(
    rows: list[StudyRow], finished: Finished
) -> None:
    overall = [replace(record_row(one), run=None) for one in (finished.magnet, finished.item_knn)]
    parts = {"overall": overall, "corruption": rows}
    sections = {section.title: section for section in sections_of(parts)}
    assert len(sections["Table 2: data"].tables[0].table.rows) == 1
    assert [one.name for one in sections["Corrupted content"].tables] == [
        "corruption-toy",
        "corruption-accuracy-toy",
    ]
    assert len(sections["Corrupted content"].figures) == 1
    assert standings({"corruption": rows}) == []


def test_page_says_what_it_lacks(finished: Finished) -> None:
    sections = {one.title: one for one in sections_of({"overall": [record_row(finished.popularity)]})}
    (told,) = sections["Corrupted content"].left_out
    assert told.why == "the study has no part corruption"
