"""What every table of a study is made of: its files, the names of its places, what is said below it, its cells."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from alnico.experiment.results import listed
from alnico.experiment.variants import Field, Variant
from alnico.report.tables import MASKS, MEASURES, Table, number

TOP = (1, 2, 3)


@dataclass(frozen=True)
class StudyTable:
    """A table with its file name, title and what has to be said below it.

    ``data`` is the same in full precision, a number per cell, for a spreadsheet; None where ``table`` is that already.
    """

    name: str
    title: str
    table: Table
    notes: Sequence[str] = ()
    data: Table | None = None

    def files(self) -> dict[str, str]:
        """The table by file name, as CSV, Markdown and LaTeX (booktabs)."""
        below = "".join(f"\n{note}\n" for note in self.notes)
        return {
            f"{self.name}.csv": (self.data or self.table).csv(),
            f"{self.name}.md": f"**{self.title}**\n\n{self.table.markdown()}\n{below}",
            f"{self.name}.tex": self._latex(),
        }

    def _latex(self) -> str:
        notes = [Table((note,), ()).latex().splitlines()[2].removesuffix(r" \\") for note in self.notes]
        title = Table((self.title,), ()).latex().splitlines()[2].removesuffix(r" \\")
        lines = [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{title}}}",
            rf"\label{{tab:{self.name}}}",
            self.table.latex(),
            *(rf"\par\smallskip{{\footnotesize {note}}}" for note in notes),
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def place_names(found: Sequence[Field]) -> list[str]:
    """A short name per field for titles and files: the data set, numbered where it has several protocols."""
    times = Counter(field.dataset for field in found)
    seen: Counter[str] = Counter()
    names = []
    for field in found:
        seen[field.dataset] += 1
        names.append(f"{field.dataset}-{seen[field.dataset]}" if times[field.dataset] > 1 else field.dataset)
    return names


def protocol_sentence(field: Field) -> str:
    """Protocol, split, mask and what chose the epoch, in one sentence."""
    asked = field.conditions
    chosen = sorted(
        {
            f"validation {row.setting('training.metric')}"
            for variant in field.variants
            for row in variant.rows
            if row.record.result.get("epochs")
        }
    )
    by = f", best epoch by {listed(chosen)}" if chosen else ""
    name = f"Protocol {asked.name}; split" if asked.name else "Split"
    return f"{name}: {asked.split}; left out of lists: the user's {MASKS[asked.mask]}{by}."


def reservations(field: Field) -> list[str]:
    """What has to be said of single variants: models that were reconstructed, and exceptions from the protocol."""
    told = []
    for variant in field.variants:
        record = variant.first.record.record
        card, stamp = record.get("card") or {}, record.get("protocol") or {}
        if "reconstructed" in str(card.get("reproduction", "")):
            told.append(f"{variant.shown}: {card['remark']}")
        if stamp.get("exception"):
            told.append(f"{variant.shown}: {stamp['exception']}")
    return told


def per_seed(field: Field) -> Table:
    """One row per variant and seed, in full precision."""
    header = ("dataset", "variant", "model", "seed", "run", *(f"valid {metric}" for metric in MEASURES))
    header = (*header, *(f"test {metric}" for metric in MEASURES))
    lines = [
        (
            row.dataset,
            row.label,
            row.record.model,
            str(row.seed),
            row.record.name,
            *(number(row.record.measure("valid", metric), 10) for metric in MEASURES),
            *(number(row.record.measure("test", metric), 10) for metric in MEASURES),
        )
        for variant in field.variants
        for row in variant.rows
    ]
    return Table(header, tuple(lines))


def spread(variant: Variant, part: str, metric: str) -> str:
    """Mean ± deviation over seeds; the mean alone where there is one."""
    which = "valid" if part == "valid" else "test"
    mean, deviation = variant.mean(which, metric), variant.deviation(which, metric)  # type: ignore[arg-type]
    return number(mean) if deviation is None else f"{number(mean)} ± {deviation:.4f}"


def top_marks(columns: Sequence[Sequence[float | None]], first: int) -> dict[tuple[int, int], int]:
    """The three best of each column; columns stand from ``first`` on. Values that are equal share a mark."""
    marks = {}
    for column, values in enumerate(columns, start=first):
        best = sorted({value for value in values if value is not None}, reverse=True)
        for row, value in enumerate(values):
            if value is not None and len(values) > 1 and value in best[: len(TOP)]:
                marks[row, column] = TOP[best.index(value)]
    return marks
