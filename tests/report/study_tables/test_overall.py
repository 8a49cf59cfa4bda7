"""All models side by side, from rows made by hand."""

import pytest

from alnico.experiment.variants import fields
from alnico.report.study_tables.overall import overall_tables
from alnico.report.study_tables.sheet import place_names
from study_rows import study_row


def rows() -> list:
    """MAGNET with two seeds, three other models with one."""
    return [
        study_row("MAGNET", [0.5, 0.25, 0, 0.25], seed=1),
        study_row("MAGNET", [0.5, 0.25, 0, 1], seed=2),
        study_row("LightGCN", [0.5, 0.25, 0.25, 0.5], model="lightgcn", valid=0.6),
        study_row("VBPR", [0, 0.25, 0, 0.25], model="vbpr", valid=0.4),
        study_row("FREEDOM", [0, 0, 0, 0.25], model="freedom", valid=0.3),
    ]


def test_overall_by_hand() -> None:
    table, tests = overall_tables(rows())
    assert table.name == "table-4-toy"
    lines = {line[0]: line for line in table.table.rows}
    # Means .25 and .4375: mean .34375, deviation .1326.
    assert lines["MAGNET"][1:4] == ("2", "0.5000 ± 0.0000", "0.3438 ± 0.1326")
    assert lines["LightGCN"][3] == "0.3750"
    # .34375 / .375 - 1.
    assert lines["MAGNET against LightGCN"][3:] == ("-8.33 %",) * 4
    # LightGCN leads, MAGNET second, VBPR third, in each of four columns.
    assert table.table.marks[1, 3] == 1
    assert table.table.marks[0, 3] == 2
    assert table.table.marks[2, 3] == 3
    assert (3, 3) not in table.table.marks
    assert len(table.table.marks) == 12
    assert any(note.startswith("Strongest baseline: LightGCN") for note in table.notes)
    # What could be seen is said before what was.
    assert tests.notes[0].startswith("Before the comparison: with 4 users")
    assert [line[0] for line in tests.table.rows] == ["LightGCN", "VBPR", "FREEDOM"] * 2
    assert {line[-1] for line in tests.table.rows} == {"open"}


def test_csv_holds_every_seed_in_full_precision() -> None:
    table = overall_tables(rows())[0]
    lines = table.files()["table-4-toy.csv"].splitlines()
    assert len(lines) == 6
    assert lines[1].startswith("toy,MAGNET,magnet,1,toy-MAGNET-1,0.5000000000")


def test_published_values_stand_apart() -> None:
    made = [
        study_row("LightGCN", [1, 0], model="lightgcn", dataset="baby"),
        study_row("MAGNET", [1, 0], dataset="baby"),
    ]
    # Another split than the one that they were published for: no column at all.
    assert len(overall_tables(made)[0].table.header) == 7
    for row in made:
        row.record.record["split"]["recipe"] = {"rule": "given"}
    table = overall_tables(made)[0].table
    assert table.header[-1] == "published (the same four)"
    assert table.rows[0][-1] == "0.0479 / 0.0754 / 0.0257 / 0.0328"


def test_reservations_and_exceptions_are_said_below() -> None:
    made = rows()
    made[2].record.record["card"] = {"reproduction": "reconstructed", "remark": "Most of it is ours."}
    made[3].record.record["protocol"] = {"name": "p", "kind": "k", "exception": "patience 50: a plateau"}
    for row in (*made[:3], made[4]):
        row.record.record["protocol"] = {"name": "p", "kind": "k", "exception": None}
    table = overall_tables(made)[0]
    assert table.table.rows[1][0] == "LightGCN (reconstructed)"
    assert "LightGCN (reconstructed): Most of it is ours." in table.notes
    assert "VBPR: patience 50: a plateau" in table.notes
    assert table.notes[0].startswith("Protocol p; split: random;")


def test_protocols_of_another_kind_get_tables_of_their_own() -> None:
    made = rows()
    made[2].record.record["protocol"] = {"name": "q", "kind": "another", "exception": None}
    assert [table.name for table in overall_tables(made)] == [
        "table-4-toy-1",
        "table-4-toy-1-tests",
        "table-4-toy-2",
    ]


@pytest.mark.parametrize("masks", [["train"], ["train", "train+valid"]])
def test_data_set_with_several_protocols_has_numbered_tables(masks: list[str]) -> None:
    made = [study_row("MAGNET", [1, 0], varied={"evaluation.mask": mask}) for mask in masks]
    assert place_names(fields(made)) == (["toy"] if len(masks) == 1 else ["toy-1", "toy-2"])
    assert len(overall_tables(made)) == len(masks)
