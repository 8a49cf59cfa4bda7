"""Tables of a study from rows made by hand."""

import pytest

from alnico.experiment.variants import fields
from alnico.report.study_tables import (
    StudyTable,
    efficiency_tables,
    faithfulness_tables,
    overall_tables,
    place_names,
    statistics_table,
    variant_tables,
)
from alnico.report.tables import Table
from finished_runs import Finished, record_row
from study_rows import study_row


def test_statistics_by_hand() -> None:
    told = statistics_table([study_row("MAGNET", [1, 0]), study_row("VBPR", [1, 0], model="vbpr")])
    # 30 + 4 + 5 = 39 interactions of 9 users on 7 items: 39 / 63.
    assert told.table.rows == (("toy", "9", "7", "39", "4.33", "5.57", "61.9048%", "image", "30", "4", "5"),)


def test_statistics_measure_the_vectors_where_the_data_are(finished: Finished) -> None:
    told = statistics_table([record_row(finished.magnet)])
    features = finished.magnet.dataset.features
    assert told.table.rows[0][7] == ", ".join(f"{name} {features[name].width}" for name in features)


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


def test_variants_stand_against_the_unchanged_model() -> None:
    made = [
        study_row("without contrast", [0.5, 0], varied={"model.contrast": 0}, result={"switch_step": -1}),
        study_row("whole", [0.5, 0.5], result={"switch_step": 40, "routing": {"effective_experts": 2.5}}),
    ]
    (told,) = variant_tables(made, "table-5", "Table 5: ablations")
    assert told.name == "table-5-toy"
    first, second = told.table.rows
    assert first[5:7] == ("-0.2500 (1.0000)", "-0.2500 (1.0000)")
    assert first[-2:] == ("never", "-")
    assert second[5:7] == ("-", "-")
    assert second[-2:] == ("40", "2.50")
    assert "No variant is significantly above whole." in told.notes


def test_variant_that_is_significantly_better_is_named() -> None:
    made = [
        study_row("whole", [n / 100 for n in range(40)]),
        study_row("less", [n / 100 + 0.1 for n in range(40)], varied={"model.contrast": 0}),
    ]
    (told,) = variant_tables(made, "table-5", "Table 5")
    assert "Significantly above whole: less (R@20) and less (N@20)." in told.notes


def test_some_seeds_that_switched_are_counted() -> None:
    made = [
        study_row("whole", [1, 0], seed=1, result={"switch_step": 10}),
        study_row("whole", [1, 0], seed=2, result={"switch_step": -1}),
    ]
    (told,) = variant_tables(made, "table-6", "Table 6")
    assert told.table.rows[0][-2] == "10 (1 of 2)"


def history(values: list[float], seconds: float) -> list[dict[str, float]]:
    """Epochs of equal length."""
    return [
        {"epoch": n, "train_seconds": seconds / 2, "epoch_seconds": seconds, "valid/ndcg@20": value}
        for n, value in enumerate(values, start=1)
    ]


def test_cost_by_hand() -> None:
    made = [
        study_row("MAGNET", [1, 0], seed=1, history=history([0.1, 0.4, 0.3], 2.0)),
        study_row("MAGNET", [1, 0], seed=2, history=history([0.39, 0.4, 0.3], 4.0)),
        study_row("popularity", [1, 0], model="popularity"),
    ]
    (told,) = efficiency_tables(made)
    # t95: the second epoch after 4 s, and the first after 4 s. Best at epoch 2 after 4 s and 8 s.
    assert told.table.rows == (("MAGNET", "2", "300", "1.50", "4.0 (2)", "2 @ 6", "3 @ 9"),)
    assert efficiency_tables(made[2:]) == []


def test_faithfulness_of_a_real_run(finished: Finished) -> None:
    (told,) = faithfulness_tables([record_row(finished.magnet), record_row(finished.popularity)])
    assert told.name == "faithfulness-toy"
    assert {line[0] for line in told.table.rows} == {"score", "lead"}
    pairs = sum(int(line[2]) for line in told.table.rows if line[0] == "score")
    assert pairs == finished.magnet.result["test_pairs"]
    assert {line[-1] for line in told.table.rows} <= {"yes", "no"}
    assert faithfulness_tables([record_row(finished.popularity)]) == []


def test_every_table_comes_in_three_forms() -> None:
    table = Table(("a", "b_c"), (("x", "1 ± 2"), ("y", "3"), ("z", "4")), {(0, 1): 1, (1, 1): 2, (2, 1): 3})
    files = StudyTable("t", "A & B", table, ("50 % of it",)).files()
    assert sorted(files) == ["t.csv", "t.md", "t.tex"]
    assert files["t.csv"] == "a,b_c\nx,1 ± 2\ny,3\nz,4\n"
    assert "| x | **1 ± 2** ¹ |" in files["t.md"]
    assert "| y | 3 ² |" in files["t.md"]
    assert files["t.md"].startswith("**A & B**\n")
    assert files["t.md"].endswith("\n50 % of it\n")
    assert r"\caption{A \& B}" in files["t.tex"]
    assert r"x & \textbf{1 $\pm$ 2} \\" in files["t.tex"]
    assert r"y & \underline{3} \\" in files["t.tex"]
    assert r"z & \textit{4} \\" in files["t.tex"]
    assert r"\footnotesize 50 \% of it" in files["t.tex"]
    assert "x  1 ± 2 ¹" in table.text()


@pytest.mark.parametrize("masks", [["train"], ["train", "train+valid"]])
def test_data_set_with_several_protocols_has_numbered_tables(masks: list[str]) -> None:
    made = [study_row("MAGNET", [1, 0], varied={"evaluation.mask": mask}) for mask in masks]
    assert place_names(fields(made)) == (["toy"] if len(masks) == 1 else ["toy-1", "toy-2"])
    assert len(overall_tables(made)) == len(masks)
