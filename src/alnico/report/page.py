"""One self-contained page about finished runs: nothing is fetched, every picture stands inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from alnico.contracts import ExplainingScorer
from alnico.diagnostics.routing import RoutedPairs, by_user_kind
from alnico.errors import AlnicoError
from alnico.experiment.answer import explain_pair, named
from alnico.experiment.examples import pairs_to_show
from alnico.experiment.folder import Run
from alnico.experiment.results import Duel, RunRecord, by_question, duels, main_run, record_of, warning
from alnico.report import figures
from alnico.report.pictures import inlined
from alnico.report.tables import MEASURES, Table, duel_table, number, short
from alnico.storage import write_text

Kinds = Mapping[str, Mapping[str, Mapping[str, float]]]
Plain = dict[str, Any]

_MOST_POINTS = 400
"""Points of a curve over steps; more cannot be told apart at the size of a page."""
_SLICE_METRIC = "ndcg@20"


@dataclass(frozen=True)
class Chapter:
    """Runs that answered one question, and what is known beside them.

    ``kinds`` gives the true kind of users by inside number, where somebody knows it. ``explained`` are explanations
    as plain values (see ``answer.named``) with a line ``why``; None lets the page choose. ``remarks`` are sentences
    for the beginning, ``findings`` those of the data checks.
    """

    title: str
    runs: Sequence[Run]
    kinds: Mapping[int, str] | None = None
    explained: Sequence[Mapping[str, Any]] | None = None
    remarks: Sequence[str] = ()
    findings: Sequence[str] = ()

    @cached_property
    def records(self) -> list[RunRecord]:
        """The runs as records, in order."""
        return [record_of(run) for run in self.runs]

    @cached_property
    def main(self) -> Run:
        """The run that the others are held against."""
        return self.runs[self.records.index(main_run(self.records))]


@dataclass(frozen=True)
class _Shown:
    """One figure: what it shows and its picture."""

    title: str
    picture: Markup
    caption: str = ""


@dataclass(frozen=True)
class _Bar:
    """A labelled share for a bar drawn by the page itself; ``series`` picks the colour."""

    label: str
    share: float
    text: str
    series: int


@dataclass
class _View:
    """A chapter in the words of the template."""

    title: str
    facts: list[tuple[str, str]]
    remarks: Sequence[str]
    findings: Sequence[str]
    sentences: list[str]
    warning: str | None
    runs: Plain
    duels: Table | None
    figures: list[_Shown]
    slices: Table
    exposure: Table
    routing: Plain | None
    kinds: Plain | None
    explained: list[Plain] = field(default_factory=list)
    left_out: str | None = None
    settings: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)


def chapters_of(runs: Sequence[Run], kinds: Mapping[int, str] | None = None) -> list[Chapter]:
    """Runs in chapters by the question that they answered; ``kinds`` belong to the first."""
    records = {id(record): run for run in runs for record in [record_of(run)]}
    del records
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault(record_of(run).question, []).append(run)
    return [
        Chapter(str(group[0].record["dataset"]["name"]), group, kinds if number == 0 else None)
        for number, group in enumerate(groups.values())
    ]


def write_page(path: Path, title: str, chapters: Sequence[Chapter], metric: str, introduction: Sequence[str] = ()) -> None:
    """Write the page. Raises StorageError if a run is not finished or the file cannot be written."""
    write_text(path, page(title, chapters, metric, introduction))


def page(title: str, chapters: Sequence[Chapter], metric: str, introduction: Sequence[str] = ()) -> str:
    """The page as text; runs are compared by ``metric``."""
    world = Environment(
        loader=PackageLoader("alnico.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    views = [_view(chapter, metric) for chapter in chapters]
    style = Markup(world.get_template("style.css").render())
    return world.get_template("page.html").render(title=title, style=style, introduction=introduction, chapters=views)
