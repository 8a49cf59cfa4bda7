"""`alnico results`."""

from pathlib import Path
from typing import Annotated

import typer

from alnico.cli.output import print_json


def results(
    runs: Annotated[Path, typer.Option(help="Folder with run folders.")] = Path("runs"),
    to: Annotated[Path, typer.Option(help="Where the pages go.")] = Path("docs/results"),
    records: Annotated[Path, typer.Option(help="Where compact records of the runs are kept.")] = Path(
        "results"
    ),
    demo: Annotated[Path, typer.Option(help="Folder of a demo, taken along if it is there.")] = Path("demo"),
    note: Annotated[
        list[str] | None, typer.Option(help="DATASET=TEXT: a sentence for that data set's page. Repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write the tables of docs/results/ again, from finished runs and from the compact records of earlier
    ones.

    Each data set gets a page and a CSV file, each finished run a compact record. Where a run folder is gone,
    its record serves; notes are kept with the records.
    """
    from alnico.report.writing import write_results

    written = write_results(runs, records, to, demo, _notes(note or []))
    if json:
        print_json({"written": [str(path) for path in written.paths], "notices": written.notices})
        return
    for notice in written.notices:
        typer.echo(f"alnico: {notice}", err=True)
    for path in written.paths:
        print(path)


def _notes(given: list[str]) -> dict[str, str]:
    from alnico.errors import ConfigError

    notes = {}
    for text in given:
        dataset, equals, note = text.partition("=")
        if not (dataset and equals and note.strip()):
            raise ConfigError(f"--note takes DATASET=TEXT, found {text!r}")
        notes[dataset] = note.strip()
    return notes
