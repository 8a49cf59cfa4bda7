"""Tables in four forms."""

from alnico.experiment.results import duels
from alnico.report.tables import Table, duel_table, outcome_table, peak_cell, short
from finished_runs import record

TABLE = Table(("run", "R@10"), (("a|b_c", "0.1"), ("long name", "12.25")))


def test_text_aligns_first_column_left_and_others_right() -> None:
    assert TABLE.text().splitlines() == [
        "run         R@10",
        "a|b_c        0.1",
        "long name  12.25",
    ]


def test_markdown_escapes_the_column_separator() -> None:
    assert TABLE.markdown().splitlines() == [
        "| run | R@10 |",
        "| --- | ---: |",
        r"| a\|b_c | 0.1 |",
        "| long name | 12.25 |",
    ]


def test_latex_escapes_what_latex_reads_as_commands() -> None:
    lines = Table(("a_b", "50 %"), ((r"x\y", "{~^}"),)).latex().splitlines()
    assert lines[0] == r"\begin{tabular}{lr}"
    assert lines[2] == r"a\_b & 50 \% \\"
    assert lines[4] == r"x\textbackslash{}y & \{\textasciitilde{}\textasciicircum{}\} \\"


def test_csv_quotes_what_needs_it() -> None:
    assert Table(("a", "b"), (("x,y", '"'),)).csv() == 'a,b\n"x,y",""""\n'


def test_measures_have_short_names() -> None:
    assert (short("recall@20"), short("ndcg@10"), short("reciprocal_rank@5")) == (
        "R@20",
        "N@10",
        "reciprocal_rank@5",
    )


def test_run_without_training_has_no_seconds() -> None:
    rows = outcome_table([record("kNN", [0.25, 0.75], model="item_knn")]).rows
    assert rows == (("kNN", "0.5000", "0.5000", "0.5000", "0.5000", "-", "-"),)


def test_duel_counts_users() -> None:
    # Two users better by .5, one equal, one worse by .25: mean difference (.5 + .5 - .25) / 4.
    own, other = record("own", [1, 1, 0.5, 0.25]), record("other", [0.5, 0.5, 0.5, 0.5])
    (row,) = duel_table(duels([(own, other)], "recall@20")).rows
    assert row[:3] == ("own - other", "recall@20", "+0.1875")
    assert row[-3:] == ("2", "1", "1")


def test_memory_of_a_gpu_stands_beside_that_of_the_process() -> None:
    plain, on_gpu = {"peak_memory_bytes": 300 * 2**20}, {"peak_memory_bytes": 320 * 2**20}
    assert peak_cell([plain, on_gpu]) == "310"
    on_gpu["gpu_peak_memory_bytes"] = 2048 * 2**20
    assert peak_cell([on_gpu]) == "320 (GPU 2,048)"
    assert peak_cell([plain, on_gpu], ".0f") == "310 (GPU 2048)"
