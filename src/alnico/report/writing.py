"""The measured pages of the docs, written again from runs and records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alnico.errors import ConfigError, StorageError, nearest
from alnico.experiment.demo.run import MARK
from alnico.experiment.results import gather, write_record
from alnico.report.documents import dataset_document, dataset_table, demo_document
from alnico.storage import read_json, write_json, write_text

NOTES = "notes.json"


@dataclass(frozen=True)
class Written:
    """Files that were written, and what a person should know about the others."""

    paths: Sequence[Path]
    notices: Sequence[str]


def write_results(runs: Path, records: Path, to: Path, demo: Path, notes: Mapping[str, str]) -> Written:
    """Write a page and a CSV file per data set, a compact record per finished run, and the demo's page.

    ``runs`` holds run folders and may be missing; ``records`` holds what was kept of earlier ones, notes
    included. Raises StorageError if neither knows a finished run and there is no demo; ConfigError for a note
    on an unknown data set.
    """
    by_dataset, notices = gather(runs, records)
    kept_demo = records / MARK
    if (demo / MARK).is_file() and "worlds" in (content := read_json(demo / MARK)):
        write_json(kept_demo, content)
    if not by_dataset and not kept_demo.is_file():
        raise StorageError(
            f"there is no finished run in {runs}, no record in {records} and no demo in {demo}; train one "
            "first, or name the folder with --runs"
        )
    for dataset in notes:
        if dataset not in by_dataset:
            raise ConfigError(
                f"--note names a data set without runs, {dataset!r}{nearest(dataset, by_dataset)}"
            )
    all_notes = {**(read_json(records / NOTES) if (records / NOTES).is_file() else {}), **notes}
    if notes:
        write_json(records / NOTES, all_notes)
    paths = []
    for dataset, found in by_dataset.items():
        for record in found:
            paths.append(write_record(record, records))
        write_text(to / f"{dataset}.md", dataset_document(dataset, found, all_notes.get(dataset)))
        write_text(to / f"{dataset}.csv", dataset_table(dataset, found).csv())
        paths += [to / f"{dataset}.md", to / f"{dataset}.csv"]
    if kept_demo.is_file():
        write_text(to / "demo.md", demo_document(read_json(kept_demo)))
        paths += [kept_demo, to / "demo.md"]
    return Written(paths, notices)
