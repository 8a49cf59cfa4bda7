"""A table of a study as files."""

from alnico.report.study_tables.sheet import StudyTable
from alnico.report.tables import Table


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
