"""What a page is about: runs in groups that may be compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from alnico.data.describe import check
from alnico.data.store import is_data_folder, read_manifest
from alnico.errors import DataError, StorageError
from alnico.experiment.folder import Question, Run
from alnico.experiment.results import Duel, RunRecord, duels, main_run, record_of


@dataclass(frozen=True)
class Chapter:
    """Runs that answered one question, and what is known beside them.

    ``kinds`` gives the true kind of users by inside number, where somebody knows it. ``explained`` are
    explanations as plain values (see ``experiment.answer.named``) with a line ``why``; None lets the page
    choose. ``remarks`` are sentences for the beginning, ``kind_remarks`` for the part on kinds of users,
    ``findings`` those of the data checks.
    """

    title: str
    runs: Sequence[Run]
    kinds: Mapping[int, str] | None = None
    explained: Sequence[Mapping[str, Any]] | None = None
    remarks: Sequence[str] = ()
    kind_remarks: Sequence[str] = ()
    findings: Sequence[str] = ()

    @cached_property
    def records(self) -> list[RunRecord]:
        """The runs as records, in order."""
        return [record_of(run) for run in self.runs]

    @property
    def own(self) -> RunRecord:
        """The record that the others are held against: the first MAGNET run, or else the first."""
        return main_run(self.records)

    @cached_property
    def main(self) -> Run:
        """The run of ``own``."""
        return self.runs[self.records.index(self.own)]

    def duels(self, metric: str) -> list[Duel]:
        """``own`` against each of the others."""
        return duels([(self.own, record) for record in self.records if record is not self.own], metric)


def chapters_of(runs: Sequence[Run]) -> list[Chapter]:
    """Runs in chapters by the question that they answered, with what the data checks find where the data are
    there.

    Raises StorageError if a run is not finished.
    """
    groups: dict[Question, list[Run]] = {}
    for run in runs:
        groups.setdefault(record_of(run).question, []).append(run)
    return [
        Chapter(str(group[0].record["dataset"]["name"]), group, findings=_findings(group[0]))
        for group in groups.values()
    ]


def _findings(run: Run) -> list[str]:
    """What the data checks say, or why they cannot be made: a report does without the data."""
    try:
        dataset = run.dataset
        source = Path(run.spec.dataset)
        notices = read_manifest(source).notices if is_data_folder(source) else []
    except (DataError, StorageError) as problem:
        return [f"not checked: {problem}"]
    return [f"{found.severity} ({found.topic}): {found.message}" for found in check(dataset, notices=notices)]
