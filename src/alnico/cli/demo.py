"""`alnico demo`."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alnico.cli.output import print_json, print_table
from alnico.cli.progress import Live, summary

if TYPE_CHECKING:
    from alnico.experiment.demo.worlds import Demo, World
    from alnico.training.checkpoint import Progress
    from alnico.training.plan import TrainPlan
    from alnico.training.trainer import Watcher

STOPPED = 130
_SECONDS_BETWEEN_LINES = 5.0


def demo(
    to: Annotated[Path, typer.Option(help="Folder for the shops, the runs and the report.")] = Path("demo"),
    small: Annotated[
        bool, typer.Option("--small", help="A tiny shop and few epochs: under a minute.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Another seed is another shop.", min=0)] = 7,
    force: Annotated[bool, typer.Option("--force", help="Start over where a demo stands already.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")] = False,
) -> None:
    """Run everything once on a made-up shop whose truth is known, and write a report to open.

    Generates product pictures, texts and choices, encodes and imports them, trains MAGNET, LightGCN and
    item-kNN, tests each once, and explains three recommendations. A control world in which pictures and texts
    are noise runs beside it. Stopped with Ctrl-C, the same command goes on.
    """
    # Importing torch is a part of what the user waits for.
    started = time.perf_counter()
    from alnico.experiment.demo.run import keep, run_demo
    from alnico.report.demo_page import write_demo_page
    from alnico.training.trainer import Interrupted

    def tell(line: str) -> None:
        typer.echo(line, err=json)

    try:
        done = run_demo(
            to, seed=seed, small=small, force=force, started=started, tell=tell, watching=_watching(json)
        )
    except Interrupted as stop:
        typer.echo(
            f"alnico: stopped, what is finished stays in {to}; the same command goes on from there", err=True
        )
        raise typer.Exit(STOPPED) from stop
    tell("writing the report")
    write_demo_page(done)
    measured = keep(done)
    if json:
        print_json({"report": str(done.report), **measured})
    else:
        _tell(done, measured)


class _Sparse:
    """One line per few seconds, and one for the last epoch."""

    def __init__(self, plan: "TrainPlan", err: bool) -> None:
        self.plan, self.err = plan, err
        self.last = time.perf_counter()

    def step(self, epoch: int, done: int, total: int) -> None:
        """Nothing."""

    def epoch(self, row: Mapping[str, float], progress: "Progress") -> None:
        """Print the epoch's line if it is time."""
        now = time.perf_counter()
        if progress.finished or now - self.last >= _SECONDS_BETWEEN_LINES:
            self.last = now
            typer.echo(f"  {summary(row, progress, self.plan)}", err=self.err)


def _watching(err: bool) -> Any:
    @contextmanager
    def watch(plan: "TrainPlan") -> "Iterator[Watcher]":
        if sys.stdout.isatty() and not err:
            live = Live(plan)
            with live.bar:
                yield live
        else:
            yield _Sparse(plan, err)

    return watch


def _tell(done: "Demo", measured: Mapping[str, Any]) -> None:
    for world in (done.shop, done.control):
        _tell_world(world)
    _tell_control(done)
    spent = measured["measured"]
    print()
    if spent is None:
        print("wall time: not measured, because this call went on with the work of an earlier one")
    else:
        print(
            f"wall time {spent['wall_seconds']:.0f} s, "
            f"peak memory {spent['peak_memory_bytes'] / 2**20:.0f} MB"
        )
    print(f"\nopen the report: {done.report.resolve()}")
    print(_NEXT)


def _tell_world(world: "World") -> None:
    from alnico.experiment.results import warning
    from alnico.report.tables import duel_table, outcome_table

    print(f"\n{world.plan.title}: test part, opened once per run")
    print(outcome_table(list(world.records.values())).text())
    print("\nMAGNET against the others, paired by user")
    print(duel_table(world.duels).text())
    for duel in world.duels:
        print(duel.sentence)
    if warned := warning(world.duels):
        print(warned)
    _tell_kinds(world)


def _tell_kinds(world: "World") -> None:
    print("\nwhat MAGNET relied on (share of the contributions to the scores of test pairs), by kind of user")
    parts = list(world.reliance)
    rows = [
        [kind, *(f"{told['reliance'][part]:.1%}" for part in parts)] for kind, told in world.kinds.items()
    ]
    rows.append(["all", *(f"{world.reliance[part]:.1%}" for part in parts)])
    print_table(["user", *parts], rows)
    groups = list(next(iter(world.kinds.values()), {"groups": {}})["groups"])
    print("where its router sent them (mass of each anchor group)")
    print_table(
        ["user", *groups],
        [[kind, *(f"{told['groups'][group]:.1%}" for group in groups)] for kind, told in world.kinds.items()],
    )


def _tell_control(done: "Demo") -> None:
    from alnico.experiment.demo.sentences import control_sentences, leaning_sentences

    print()
    for sentence in leaning_sentences(done.shop):
        print(sentence)
    for sentence in control_sentences(done):
        print(sentence)


_NEXT = """
The same with your own folder (interactions.csv, items.csv with titles, descriptions and image paths):
  alnico encode FOLDER
  alnico data import FOLDER --to data/mine
  alnico data check data/mine
  alnico train --data data/mine --set model.name=magnet --to runs/mine-magnet
  alnico train --data data/mine --set model.name=lightgcn --to runs/mine-lightgcn
  alnico report runs/mine-magnet runs/mine-lightgcn --to mine.html
With an MMRec folder (a .inter file and feature files):
  alnico data import MMREC-FOLDER --to data/mmrec
and train and report as above."""
