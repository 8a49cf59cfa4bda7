"""`alnico study`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alnico.cli.estimate import duration
from alnico.cli.output import print_json, print_table
from alnico.cli.progress import studying

if TYPE_CHECKING:
    from alnico.experiment.ledger import Ledger
    from alnico.experiment.study import Study


def study(
    plan: Annotated[Path, typer.Argument(help="The plan, as TOML.")],
    to: Annotated[Path | None, typer.Option(help="The study's folder; by default runs/<name>.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Runs to make at a time, each in its process.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each run; by default the cores, shared out.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Only this part, and what it depends on.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH: where a data set stands instead. Repeatable.")
    ] = None,
    available: Annotated[
        bool, typer.Option("--available", help="Leave out data sets that are missing.")
    ] = False,
    records: Annotated[
        Path | None, typer.Option(help="Where compact records are kept; by default in the study's folder.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where to train: cpu, cuda, cuda:1, ...")] = None,
    oracle: Annotated[
        bool, typer.Option("--oracle", help="Also say what choosing on the test part would have claimed.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the runs, with their times.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Make all runs of a study, each once, and write down which table or figure each of them serves.

    The same command goes on where it was stopped or killed: finished runs are kept, others resume. Runs that are on
    record already, with the same settings, data and split, are not made again. Exit code 1 says that runs failed.
    """
    from alnico.experiment.conducting import conduct
    from alnico.experiment.course import lay_out
    from alnico.experiment.executor import Workers
    from alnico.experiment.ledger import Ledger, lacking_data, require_data
    from alnico.experiment.plan import load_plan
    from alnico.experiment.protocol import read_protocol
    from alnico.lock import locked
    from alnico.training.trainer import Interrupted

    asked = load_plan(plan, _places(data or []))
    course = lay_out(asked, read_protocol(asked.protocol))
    lacking = lacking_data(course, only)
    folder = to or Path("runs") / asked.name
    if dry_run:
        for sentence in lacking.values():
            typer.echo(f"alnico: {sentence}", err=True)
        _foretell(
            Ledger(course, folder, records or folder / "records", part=only, device=device), workers, json
        )
        return
    require_data(course, only, available)
    for sentence in lacking.values():
        typer.echo(f"alnico: left out: {sentence}", err=True)
    count = threads or max(1, (os.cpu_count() or 1) // workers)
    with locked(folder, "study") as held:
        ledger = Ledger(course, folder, records or folder / "records", part=only, device=device)
        executor = Workers(workers, count, folder / "logs", held)
        try:
            with studying(quiet=json) as watcher:
                made = conduct(ledger, executor, watcher, oracle=oracle)
        except Interrupted as stop:
            typer.echo(f"alnico: {stop}", err=True)
            raise typer.Exit(130) from stop
    _conclude(made, ledger, json)


def _places(given: list[str]) -> dict[str, str]:
    from alnico.errors import ConfigError

    places = {}
    for text in given:
        name, equals, place = text.partition("=")
        if not (name and equals and place):
            raise ConfigError(f"--data takes NAME=PATH, found {text!r}")
        places[name] = place
    return places


def _foretell(ledger: "Ledger", workers: int, json: bool) -> None:
    """List the runs in order, with their states and what they will take."""
    from alnico.cli.counting import counting
    from alnico.experiment.forecast import forecast

    with counting("models tried out") as tell:
        durations = forecast(ledger, tell)
    rows: list[dict[str, Any]] = []
    for run in ledger.wanted:
        told = durations.get(run.name)
        rows.append(
            {
                "run": ledger.names[run.name],
                "state": ledger.states[run.name],
                "waits_for": sorted(ledger.names[name] for name in run.needs),
                "parts": [
                    part
                    for part, placed in ledger.course.placed.items()
                    if run.name in {one.run for one in placed}
                ],
                "exception": run.exception,
                "seconds": None if told is None else told.seconds,
                "at_most": None if told is None else told.is_bound,
            }
        )
    seconds = sum(told.seconds for told in durations.values())
    if json:
        print_json({"runs": rows, "seconds": seconds, "seconds_with_workers": seconds / workers})
        return
    print_table(
        ["run", "state", "time", "for"],
        [[row["run"], row["state"], _time(row), ", ".join(row["parts"])] for row in rows],
    )
    shared = f", about {duration(seconds / workers)} with {workers} workers" if workers > 1 else ""
    bound = "at most " if any(told.is_bound for told in durations.values()) else "about "
    to_make = sum(row["state"] in ("waiting", "started") for row in rows)
    said = f"{len(rows)} runs, {to_make} of them to be made"
    if durations or not to_make:
        said += f": {bound}{duration(seconds)}{shared}"
    if len(durations) < to_make:
        said += f"; {to_make - len(durations)} without a time, which trying out tells of the CPU only"
    print(said)


def _time(row: dict[str, Any]) -> str:
    if row["seconds"] is None:
        return "-"
    return f"{'at most ' if row['at_most'] else ''}{duration(row['seconds'])}"


def _conclude(made: "Study", ledger: "Ledger", json: bool) -> None:
    """Say what was found; leaves with exit code 1 where runs failed that were wanted."""
    runs = {run.name: made.content.runs[run.name] for run in ledger.wanted}
    failed = {name: run.sentence for name, run in runs.items() if run.state in ("failed", "blocked")}
    found = {
        part.name: {
            dataset: told.model_dump(mode="json") for dataset, told in made.findings_of(part.name).items()
        }
        for part in made.parts
    }
    if json:
        print_json(
            {
                "study": str(made.folder),
                "finished": ledger.counted("finished"),
                "wanted": len(ledger.wanted) - ledger.counted("missing"),
                "failed": failed,
                "findings": found,
            }
        )
    else:
        for part in made.parts:
            for dataset, told in made.findings_of(part.name).items():
                for sentence in told.sentences(part.name, dataset):
                    print(sentence)
        for name, sentence in failed.items():
            typer.echo(f"alnico: {name}: {sentence}", err=True)
        wanted = len(ledger.wanted) - ledger.counted("missing")
        print(f"{ledger.counted('finished')} of {wanted} runs are finished; the study is in {made.folder}")
    if failed:
        raise typer.Exit(1)
