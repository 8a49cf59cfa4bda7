"""A study's folder: its plan, which runs serve which part, and what they found, for every later table and figure."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alnico.errors import StorageError
from alnico.experiment.course import Course
from alnico.experiment.findings import Findings, Tried, findings
from alnico.experiment.folder import Run, open_run
from alnico.experiment.ledger import Ledger, State
from alnico.experiment.plan import Part, Reference, StudyPlan
from alnico.experiment.protocol import Protocol
from alnico.experiment.results import SUFFIX, RunRecord, read_record, record_of
from alnico.experiment.spec import validated
from alnico.experiment.variants import StudyRow
from alnico.storage import read_json, write_json

STUDY, FORMAT = "study.json", 2


class StudiedRun(BaseModel, frozen=True, extra="forbid"):
    """A run of a study: where it stands."""

    dataset: str
    seed: int
    model: str
    state: State
    folder: str | None = None
    """Its folder in ``runs``, where it has one."""
    record: str | None = None
    """Its record, as DATASET/NAME, where it has one."""
    sentence: str = ""
    """Why it is not finished, where there is a reason."""
    exception: str | None = None
    """Where it departs from the protocol, and why."""


class PartEntry(BaseModel, frozen=True, extra="forbid"):
    """A run in a part: what the part calls it and which of its settings vary there, by dotted key."""

    run: str
    """Its name in the plan."""
    variant: str
    varied: Mapping[str, Any]
    dataset: str
    seed: int


class StudyFile(BaseModel, frozen=True, extra="forbid"):
    """What study.json holds; ``runs`` by their name in the plan, ``parts`` and ``findings`` by part."""

    format: int
    plan: StudyPlan
    protocol: Protocol
    protocol_fingerprint: str
    records: str
    """Where records stand, from the study's folder."""
    runs: Mapping[str, StudiedRun]
    parts: Mapping[str, tuple[PartEntry, ...]]
    findings: Mapping[str, Mapping[str, Findings]]
    """By part and data set."""


@dataclass(frozen=True)
class Study:
    """A study that was run, wholly or in part."""

    folder: Path
    content: StudyFile = field(repr=False)

    @property
    def name(self) -> str:
        """Its name."""
        return self.content.plan.name

    @property
    def protocol(self) -> Protocol:
        """What all its runs share."""
        return self.content.protocol

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its parts, in the plan's order."""
        return self.content.plan.parts

    def runs_of(self, part: str) -> list[StudyRow]:
        """The finished runs of a part, in the plan's order. Raises ConfigError for an unknown part.

        Their records carry the study's protocol, under whichever name they were made: what it decides, they did.
        """
        return [
            StudyRow(entry.variant, entry.varied, entry.dataset, entry.seed, *self._opened(entry.run))
            for entry in self.content.parts[self.content.plan.part(part).name]
            if self.content.runs[entry.run].state == "finished"
        ]

    def lacking(self, part: str) -> list[tuple[PartEntry, StudiedRun]]:
        """The runs of a part that are not finished, and where they stand."""
        return [
            (entry, self.content.runs[entry.run])
            for entry in self.content.parts[self.content.plan.part(part).name]
            if self.content.runs[entry.run].state != "finished"
        ]

    def findings_of(self, part: str) -> Mapping[str, Findings]:
        """By data set, what the part's runs say together."""
        return self.content.findings.get(self.content.plan.part(part).name, {})

    def _opened(self, name: str) -> tuple[RunRecord, Run | None]:
        told = self.content.runs[name]
        folder = None if told.folder is None else self.folder / "runs" / told.folder
        run = None if folder is None or not folder.is_dir() else open_run(folder)
        stored = (
            None if told.record is None else self.folder / self.content.records / f"{told.record}{SUFFIX}"
        )
        if run is not None and run.is_tested:
            record = record_of(run)
        elif stored is not None and stored.exists():
            record, run = read_record(stored), None
        else:
            raise StorageError(
                f"the run {name} of the study {self.folder} is gone, folder and record; run the study again"
            )
        stamp = self.protocol.stamp(told.exception)
        return replace(record, record={**record.record, "protocol": stamp}), run


def open_study(folder: str | Path) -> Study:
    """The study in this folder. Raises StorageError when there is none, or another version of alnico wrote it."""
    folder = Path(folder)
    if not (folder / STUDY).exists():
        raise StorageError(
            f"{folder} is not the folder of a study: it has no {STUDY}; `alnico study` makes one"
        )
    content = read_json(folder / STUDY)
    if content["format"] > FORMAT:
        raise StorageError(
            f"{folder / STUDY} has format {content['format']}, newer than this alnico reads ({FORMAT}); upgrade alnico"
        )
    if content["format"] < FORMAT:
        raise StorageError(
            f"{folder / STUDY} has format {content['format']}, which does not say where its runs stand; run the study "
            "again, what is finished is kept"
        )
    return Study(folder, validated(StudyFile, content, STUDY))


def write_study(ledger: Ledger, *, oracle: bool = False) -> None:
    """Write study.json as the ledger stands; with ``oracle``, for grids whose runs have all ended, also the trial that
    the test part would have chosen."""
    course = ledger.course
    content = StudyFile(
        format=FORMAT,
        plan=course.plan,
        protocol=course.protocol,
        protocol_fingerprint=course.protocol.fingerprint,
        records=os.path.relpath(ledger.records, ledger.folder),
        runs={
            run.name: StudiedRun(
                dataset=run.dataset,
                seed=run.seed,
                model=run.model,
                state=ledger.states[run.name],
                folder=ledger.folder_of(run.name),
                record=ledger.record_of(run.name),
                sentence=ledger.sentences.get(run.name, ""),
                exception=run.exception,
            )
            for run in course.runs
        },
        parts={
            part: tuple(
                PartEntry(
                    run=placed.run,
                    variant=placed.variant,
                    varied=_told(placed.varied, placed.run, ledger),
                    dataset=placed.dataset,
                    seed=placed.seed,
                )
                for placed in entries
            )
            for part, entries in course.placed.items()
        },
        findings={part.name: _findings(part, ledger, oracle) for part in course.plan.parts},
    )
    write_json(ledger.folder / STUDY, content.model_dump(mode="json", by_alias=True))


def _told(varied: Mapping[str, Any], name: str, ledger: Ledger) -> Mapping[str, Any]:
    """What varies, with settings that came from other runs as they were in this one."""
    told = dict(varied)
    run = ledger.course.run(name)
    for key, value in varied.items():
        if isinstance(value, Reference):
            is_told = ledger.states[name] in ("started", "running", "finished")
            source = run.references[key][1]
            told[key] = value.of(ledger.known[source].result) if is_told else value.model_dump(by_alias=True)
    return told


def _findings(part: Part, ledger: Ledger, oracle: bool) -> dict[str, Findings]:
    course: Course = ledger.course
    entries: Sequence[Any] = course.placed[part.name]
    tried = [
        Tried(placed.variant, course.run(placed.run).model, placed.dataset, ledger.known[placed.run].result)
        for placed in entries
        if placed.run in ledger.known
    ]
    is_closed = all(
        ledger.states[placed.run] in ("finished", "failed", "blocked", "missing") for placed in entries
    )
    return findings(
        tried, course.protocol.training.metric, is_grid=bool(part.grids), oracle=oracle and is_closed
    )
