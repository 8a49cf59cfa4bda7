"""One page about a study: every table and figure that its runs can give, and why the others are missing."""

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from alnico.errors import ConfigError
from alnico.experiment.study import Study
from alnico.experiment.variants import Standing, StudyRow, fields, standing
from alnico.report.exhibits.cases import case_sheets
from alnico.report.exhibits.clock import quality_against_time
from alnico.report.exhibits.corruption import corrupted_reliance
from alnico.report.exhibits.groups import group_tables, view_groups
from alnico.report.exhibits.maps import embedding_maps
from alnico.report.exhibits.routing import routing_dynamics, routing_overview, stage_mechanism
from alnico.report.exhibits.shown import Figures, LeftOut, StudyFigure
from alnico.report.exhibits.sweeps import (
    pool_maps,
    routing_sweeps,
    setting_sweeps,
    template_sweeps,
    trigger_maps,
)
from alnico.report.study_tables.corruption import corruption_tables
from alnico.report.study_tables.data_sets import statistics_table
from alnico.report.study_tables.efficiency import efficiency_tables
from alnico.report.study_tables.faithfulness import faithfulness_tables
from alnico.report.study_tables.overall import overall_tables
from alnico.report.study_tables.sheet import StudyTable
from alnico.report.study_tables.variants import variant_tables
from alnico.storage import write_atomically, write_text
from alnico.template import filled

Parts = Mapping[str, Sequence[StudyRow]]
Serves = Mapping[str, str]
Tell = Callable[[str], object]

PAGE = "study.html"


@dataclass(frozen=True)
class Exhibit:
    """Something that a study can show: what makes it, and of which parts.

    It reads the parts that serve the first of ``reads`` that the study has, each for itself, and ``beside`` it those
    that serve these, as far as they are there.
    """

    title: str
    reads: tuple[str, ...]
    beside: tuple[str, ...] = ()
    tables: Callable[[Sequence[StudyRow]], Sequence[StudyTable]] | None = None
    figures: Callable[[Sequence[StudyRow]], Figures] | None = None


OVERALL = "overall"
EXHIBITS: Sequence[Exhibit] = (
    Exhibit("Table 4: all models", (OVERALL,), tables=overall_tables),
    Exhibit(
        "Table 5: ablations",
        ("ablations",),
        tables=lambda rows: variant_tables(rows, "table-5", "Table 5: ablations"),
    ),
    Exhibit(
        "Table 6: stage weights",
        ("schedules",),
        tables=lambda rows: variant_tables(rows, "table-6", "Table 6: strategies for the stage weights"),
    ),
    Exhibit("Table 7: cost", ("efficiency", OVERALL), tables=efficiency_tables),
    Exhibit("Figure 3: templates", ("templates",), figures=template_sweeps),
    Exhibit("Figure 4: pool of experts", ("pool",), ("replicas",), figures=pool_maps),
    Exhibit("Figure 5: routing", ("routing", OVERALL), figures=routing_overview),
    Exhibit("Figure 6: for whom", ("difficulty",), tables=group_tables, figures=view_groups),
    Exhibit("Figure 7: two stages", ("mechanism", "ablations", OVERALL), figures=stage_mechanism),
    Exhibit("Figure 8: dynamics", ("dynamics", OVERALL), figures=routing_dynamics),
    Exhibit("Figure 9: trigger", ("trigger",), figures=trigger_maps),
    Exhibit("Figure 10: routing terms", ("regularisation",), figures=routing_sweeps),
    Exhibit("Figure 11: settings", ("sensitivity",), figures=setting_sweeps),
    Exhibit("Figure 12: time", ("cost", "efficiency", OVERALL), figures=quality_against_time),
    Exhibit("Figure 13: maps", ("embedding", OVERALL), figures=embedding_maps),
    Exhibit("Figure 14: cases", ("cases", OVERALL), ("ablations",), figures=case_sheets),
    Exhibit("Faithfulness", ("faithfulness", "routing", OVERALL), tables=faithfulness_tables),
    Exhibit("Corrupted content", ("corruption",), tables=corruption_tables, figures=corrupted_reliance),
)
"""What a study's parts are shown as; a part that serves something else is shown as a plain table of its variants."""


@dataclass(frozen=True)
class Section:
    """One exhibit as it stands on the page."""

    title: str
    tables: Sequence[StudyTable] = ()
    figures: Sequence[StudyFigure] = ()
    left_out: Sequence[LeftOut] = ()

    @property
    def anchor(self) -> str:
        """Its place on the page."""
        return file_name(self.title)

    def of_part(self, part: str) -> "Section":
        """The same with the part's name in its title and in the names of all files."""
        ending = file_name(part)
        return Section(
            f"{self.title} ({part})",
            [replace(one, name=f"{one.name}-{ending}") for one in self.tables],
            [replace(one, name=f"{one.name}-{ending}") for one in self.figures],
            [replace(one, title=f"{one.title} ({part})") for one in self.left_out],
        )


@dataclass(frozen=True)
class WrittenStudy:
    """A written page: who is ahead, what was made (file names without their endings), and what is missing."""

    page: Path
    standing: Sequence[Standing]
    tables: Sequence[str]
    figures: Sequence[str]
    left_out: Sequence[LeftOut] = field(repr=False)


def page_of_study(study: Study, to: Path, title: str | None = None, tell: Tell | None = None) -> WrittenStudy:
    """Write the page of a study that was run, wholly or in part; see ``write_study_page``.

    Its beginning says under which protocol it stands, what of it is not finished, and what each part's runs chose.
    """
    lacking: dict[str, str] = {}
    remarks = []
    for part in study.parts:
        lacking.update({entry.run: run.state for entry, run in study.lacking(part.name)})
        for dataset, found in study.findings_of(part.name).items():
            remarks += [f"{sentence}." for sentence in found.sentences(part.name, dataset)]
    protocol = f"All runs stand under the protocol {study.protocol.name}."
    if lacking:
        states = ", ".join(f"{count} {state}" for state, count in sorted(Counter(lacking.values()).items()))
        protocol += f" {len(lacking)} runs of the plan are not here ({states})."
    return write_study_page(
        to,
        title or study.name,
        {part.name: study.runs_of(part.name) for part in study.parts},
        serves={part.name: part.serves for part in study.parts},
        remarks=[protocol, *remarks],
        tell=tell,
    )


def write_study_page(
    to: Path,
    title: str,
    parts: Parts,
    *,
    serves: Serves | None = None,
    remarks: Sequence[str] = (),
    tell: Tell | None = None,
) -> WrittenStudy:
    """Write ``study.html`` with every picture inside, ``figures/`` as SVG and PNG, ``tables/`` as CSV, Markdown, LaTeX.

    ``parts`` are the study's rows by part; ``serves`` says what each part serves (by default what its name says), and
    ``EXHIBITS`` what is read for what. ``remarks`` are sentences for the beginning. ``tell`` hears the title of each
    exhibit before it is made. The first line says where another model is ahead of MAGNET.
    Raises ConfigError if there is no row at all, StorageError if a file cannot be written.
    """
    rows = distinct(parts)
    if not rows:
        raise ConfigError("the study has no finished run to report on; run it first")
    sections = sections_of(parts, serves, tell)
    for section in sections:
        for one in section.tables:
            for name, content in one.files().items():
                write_text(to / "tables" / name, content)
        for figure in section.figures:
            write_text(to / "figures" / f"{figure.name}.svg", figure.picture.svg)
            write_atomically(to / "figures" / f"{figure.name}.png", _writing(figure.picture.png))
    told = standings(parts, serves)
    write_text(to / PAGE, study_page(title, sections, told, len(rows), remarks))
    return WrittenStudy(
        to / PAGE,
        told,
        [one.name for section in sections for one in section.tables],
        [one.name for section in sections for one in section.figures],
        [one for section in sections for one in section.left_out],
    )


def _writing(content: bytes) -> Callable[[BinaryIO], object]:
    return lambda file: file.write(content)


def distinct(parts: Parts, *, by_variant: bool = False) -> list[StudyRow]:
    """Every run once, whichever parts it stands in; with ``by_variant`` once under each name that it has."""
    found: dict[tuple[str, ...], StudyRow] = {}
    for rows in parts.values():
        for row in rows:
            key = (row.dataset, row.record.name, *([row.label] if by_variant else []))
            found.setdefault(key, row)
    return list(found.values())


def standings(parts: Parts, serves: Serves | None = None) -> list[Standing]:
    """Who is ahead on each data set and measure, other models that are ahead of MAGNET first."""
    rows = distinct(_serving(parts, serves, OVERALL)) or [row for row in distinct(parts) if not row.dealt]
    told = [one for field in fields(rows) for one in standing(field)]
    return sorted(told, key=lambda one: not one.is_behind)


def _serving(parts: Parts, serves: Serves | None, what: str) -> dict[str, Sequence[StudyRow]]:
    """The parts with rows that serve this; what a part serves is by default its name."""
    told = serves or {}
    return {name: rows for name, rows in parts.items() if rows and told.get(name, name) == what}


def sections_of(parts: Parts, serves: Serves | None = None, tell: Tell | None = None) -> list[Section]:
    """Everything that these parts can show, in the paper's order, and what they cannot."""
    sections = []
    if rows := distinct(parts):
        sections.append(Section("Table 2: data", [statistics_table(rows)]))
    for exhibit in EXHIBITS:
        if tell is not None:
            tell(exhibit.title)
        sections += _sections(exhibit, parts, serves)
    known = {what for exhibit in EXHIBITS for what in (*exhibit.reads, *exhibit.beside)}
    for name, own in parts.items():
        if own and (serves or {}).get(name, name) not in known:
            sections.append(Section(name, variant_tables(own, file_name(name), name)))
    return sections


def _sections(exhibit: Exhibit, parts: Parts, serves: Serves | None) -> list[Section]:
    """What an exhibit makes of each part that it reads: parts may have variants of one name of different models."""
    found = (_serving(parts, serves, what) for what in exhibit.reads)
    mains = next((told for told in found if told), {})
    beside = {name: rows for what in exhibit.beside for name, rows in _serving(parts, serves, what).items()}
    if not mains:
        why = f"the study has no part {' or '.join(exhibit.reads)}"
        return [Section(exhibit.title, left_out=[LeftOut(exhibit.reads[0], exhibit.title, why)])]
    made = {
        name: _section(exhibit, distinct({name: rows, **beside}, by_variant=True))
        for name, rows in mains.items()
    }
    return [section if len(made) == 1 else section.of_part(name) for name, section in made.items()]


def _section(exhibit: Exhibit, rows: Sequence[StudyRow]) -> Section:
    tables = exhibit.tables(rows) if exhibit.tables is not None else []
    figures = exhibit.figures(rows) if exhibit.figures is not None else []
    left_out = [one for one in figures if isinstance(one, LeftOut)]
    if not tables and not figures:
        left_out.append(LeftOut(exhibit.reads[0], exhibit.title, "no run of this part holds what it needs"))
    return Section(exhibit.title, tables, [one for one in figures if isinstance(one, StudyFigure)], left_out)


def file_name(title: str) -> str:
    """A title as a name for files and anchors: ``Table 4: all`` is ``table-4-all``."""
    kept = "".join(letter if letter.isalnum() else " " for letter in title.lower())
    return "-".join(kept.split())


def study_page(
    title: str,
    sections: Sequence[Section],
    told: Sequence[Standing],
    n_runs: int,
    remarks: Sequence[str] = (),
) -> str:
    """The page as HTML; nothing is fetched, every picture stands inside."""
    shown = [
        {
            "title": section.title,
            "anchor": section.anchor,
            "tables": section.tables,
            "figures": [
                {"title": one.title, "caption": one.caption, "source": _source(one)}
                for one in section.figures
            ],
            "left_out": section.left_out,
        }
        for section in sections
    ]
    return filled(
        "alnico.report",
        "study.html",
        title=title,
        standing=[one.sentence for one in told],
        is_behind=any(one.is_behind for one in told),
        n_runs=n_runs,
        remarks=remarks,
        sections=shown,
    )


def _source(figure: StudyFigure) -> str:
    """The picture as an address that needs no network."""
    return f"data:image/svg+xml;base64,{base64.b64encode(figure.picture.svg.encode()).decode()}"
