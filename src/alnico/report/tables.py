"""Tables of finished runs, as text, markdown, LaTeX or CSV."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, Literal

from alnico.experiment.results import Duel, RunRecord

MEASURES = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
SHORT = {"recall": "R", "ndcg": "N", "hit_rate": "HR", "precision": "P"}
ABSENT = "-"
MASKS = {"train": "training items", "train+valid": "training and validation items"}
"""What a test list leaves out, in words, by the setting ``evaluation.mask``."""

Form = Literal["text", "markdown", "latex", "csv"]


@dataclass(frozen=True)
class Table:
    """A header and rows of cells that are ready to be shown; all rows are as long as the header.

    ``marks`` sets cells off by row and column: 1, 2 and 3 are the best, second and third of their column.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def _shown(self, marked: Mapping[int, str]) -> list[tuple[str, ...]]:
        """The rows with the form of its mark, which holds ``{}``, around each marked cell."""
        return [
            tuple(
                marked[self.marks[row, column]].format(cell) if (row, column) in self.marks else cell
                for column, cell in enumerate(cells)
            )
            for row, cells in enumerate(self.rows)
        ]

    def text(self) -> str:
        """For a terminal: first column left, the others right."""
        lines = [self.header, *self._shown(RAISED)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def markdown(self) -> str:
        """For a page of the docs."""
        ruler = ["---", *("---:" for _ in self.header[1:])]
        shown = self._shown({1: "**{}** ¹", 2: RAISED[2], 3: RAISED[3]})
        lines = [[_markdown(cell) for cell in line] for line in (self.header, *shown)]
        return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], ruler, *lines[1:]))

    def latex(self) -> str:
        """A tabular with booktabs rules."""
        escaped = Table(
            tuple(map(_latex, self.header)), tuple(tuple(map(_latex, row)) for row in self.rows), self.marks
        )
        shown = escaped._shown({1: r"\textbf{{{}}}", 2: r"\underline{{{}}}", 3: r"\textit{{{}}}"})
        body = [" & ".join(line) + r" \\" for line in (escaped.header, *shown)]
        columns = "l" + "r" * (len(self.header) - 1)
        return "\n".join(
            [
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                body[0],
                r"\midrule",
                *body[1:],
                r"\bottomrule",
                r"\end{tabular}",
            ]
        )

    def csv(self) -> str:
        """For a spreadsheet."""
        buffer = StringIO()
        csv.writer(buffer, lineterminator="\n").writerows((self.header, *self.rows))
        return buffer.getvalue()


RAISED = {1: "{} ¹", 2: "{} ²", 3: "{} ³"}
"""How the three best of a column are set off where there is no type to do it."""


def _markdown(cell: str) -> str:
    return cell.replace("|", r"\|")


def _latex(cell: str) -> str:
    return cell.translate(_LATEX)


_SIGNS = {
    "±": r"\pm",
    "−": "-",
    "×": r"\times",
    "λ": r"\lambda",
    "α": r"\alpha",
    "β": r"\beta",
    "δ": r"\delta",
    "τ": r"\tau",
}
"""Signs that stand outside what plain LaTeX reads."""

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        **{sign: f"${command}$" for sign, command in _SIGNS.items()},
    }
)


def outcome_table(records: Sequence[RunRecord]) -> Table:
    """Test measures and training time of the runs: what fits a narrow screen."""
    header = ("model", *(short(metric) for metric in MEASURES), "epochs", "s/epoch")
    rows = [
        (
            record.label,
            *(number(record.measure("test", metric)) for metric in MEASURES),
            _count(record.result.get("epochs")),
            _seconds(record),
        )
        for record in records
    ]
    return Table(header, tuple(rows))


def duel_table(fought: Sequence[Duel]) -> Table:
    """Paired comparisons, one per row."""
    header = (
        "against",
        "measure",
        "difference",
        "95 % interval",
        "p",
        "p (Holm)",
        "detectable",
        "wins",
        "ties",
        "losses",
    )
    rows = []
    for duel in fought:
        told = duel.comparison
        low, high = told.interval
        rows.append(
            (
                f"{duel.first} - {duel.second}",
                told.metric,
                f"{told.difference:+.4f}",
                f"{low:+.4f} .. {high:+.4f}",
                p_cell(told.p_value),
                p_cell(duel.p_holm),
                f"{told.smallest_detectable_effect:.4f}",
                str(told.wins),
                str(told.ties),
                str(told.losses),
            )
        )
    return Table(header, tuple(rows))


def short(metric: str) -> str:
    """``recall@20`` as R@20."""
    kind, _, cutoff = metric.partition("@")
    return f"{SHORT.get(kind, kind)}@{cutoff}"


def number(value: float | None, digits: int = 4) -> str:
    """A measure for a cell."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def peak_cell(results: Sequence[Mapping[str, Any]], form: str = ",.0f") -> str:
    """The runs' mean peak memory in MB, and in brackets that of the GPU where they ran on one: 310 (GPU 2,048)."""
    told = format(sum(result["peak_memory_bytes"] for result in results) / len(results) / 2**20, form)
    on_gpu = [result["gpu_peak_memory_bytes"] for result in results if "gpu_peak_memory_bytes" in result]
    return f"{told} (GPU {sum(on_gpu) / len(on_gpu) / 2**20:{form}})" if on_gpu else told


def p_cell(value: float) -> str:
    """A p value for a cell."""
    return "<.0001" if value < 0.0001 else f"{value:.4f}"


def _seconds(record: RunRecord) -> str:
    return number(record.result.get("train_seconds_per_epoch"), 2) if record.result.get("epochs") else ABSENT


def _count(value: object) -> str:
    return str(value) if value else ABSENT
