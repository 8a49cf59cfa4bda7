"""`alnico tune`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alnico.cli.estimate import SECONDS, duration, read_quantity
from alnico.cli.output import number, print_json, print_table
from alnico.cli.progress import watching
from alnico.cli.train import tell_run

if TYPE_CHECKING:
    from alnico.experiment.bench import SearchWatcher
    from alnico.experiment.space import Search
    from alnico.experiment.trials import Trial
    from alnico.experiment.tune import Tuned
    from alnico.training.checkpoint import Progress


def tune(
    space: Annotated[Path, typer.Argument(help="Base settings and values to try, as TOML or JSON.")],
    to: Annotated[Path, typer.Option(help="Folder of the search; the same search there is gone on with.")],
    trials: Annotated[
        int | None, typer.Option(min=1, help="Most trials to train in all; wins over the file.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Wall time that the search may take in all, e.g. 30min or 2h.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that make trials side by side.")] = 1,
    dataset: Annotated[str | None, typer.Option(help="What {dataset} in the file's base stands for.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Change a setting of the base, e.g. --set training.epochs=50. Repeatable."
        ),
    ] = None,
    then_train: Annotated[
        bool, typer.Option("--then-train", help="At the end train the best settings and test them once.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Search for settings on validation alone; the test part stays closed.

    Finished trials are kept: after Ctrl-C or a kill the same command goes on. The best settings go to best.toml,
    which `alnico train` takes.
    """
    from alnico.experiment.space import load_search
    from alnico.experiment.tune import train_winner
    from alnico.experiment.tune import tune as search_settings
    from alnico.training.trainer import Interrupted

    seconds = None if time is None else read_quantity(time, SECONDS, "--time")
    search = load_search(space, dataset, changes or [], trials)
    run = None
    try:
        with following(search, quiet=json) as watcher:
            done = search_settings(search, to, seconds=seconds, workers=workers, watcher=watcher)
        if then_train:
            with watching(done.spec.training, quiet=json) as epochs:
                run = train_winner(done, watcher=epochs)
    except Interrupted as stop:
        typer.echo(f"alnico: {stop}", err=True)
        raise typer.Exit(130) from stop
    if json:
        print_json(
            {**_plain(done), "winner": None if run is None else {"run": str(run.folder), **run.result}}
        )
        return
    _tell(done)
    if run is not None:
        tell_run(run)
    elif done.best is not None:
        print(f"next: alnico train {to / 'best.toml'}, which opens the test part once")


def _plain(done: "Tuned") -> dict[str, Any]:
    from dataclasses import asdict

    from alnico.experiment.folder import finite

    best = done.best
    told = {
        "folder": str(done.folder),
        "metric": done.search.metric,
        "finished": done.finished,
        "best": None if best is None else asdict(best),
        "best_spec": None if best is None else done.spec.resolved(),
        "base_value": done.base_value,
        "spent": done.spent,
        "trials": [asdict(trial) for trial in done.trials],
    }
    return dict(finite(told))


def _tell(done: "Tuned") -> None:
    from alnico.experiment.spec import look_up

    spent = done.spent
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in spent["outcomes"].items())
    print(
        f"{done.finished}: {spent['trials']} trials ({outcomes or 'none'}), {spent['epochs']} epochs, "
        f"{duration(spent['wall_seconds'])}"
    )
    best = done.best
    if best is None:
        print(f"nothing was measured; {done.folder / 'trials.csv'} says how each trial ended")
        return
    start = done.search.spec.resolved()
    found = done.spec.resolved()
    print_table(
        ["setting", "base", "best"],
        [
            [name, _shown(look_up(start, name)), _shown(look_up(found, name))]
            for stage in done.search.stages
            for name in stage.space
        ],
    )
    print(
        f"validation {done.search.metric}: base {number(done.base_value)}, best {number(best.value)} "
        f"(trial {best.number}, epoch {best.best_epoch})"
    )


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def summary(trial: "Trial", stage: str, metric: str, best: "Trial | None") -> str:
    """One trial in one line."""
    parts = [f"trial {trial.number:3d}", stage]
    parts += [f"{name.split('.', 1)[1]} {_shown(value)}" for name, value in trial.settings.items()]
    if trial.value is not None:
        parts.append(f"| {metric} {trial.value:.4f} (epoch {trial.best_epoch} of {trial.epochs})")
    parts.append(f"| {trial.outcome}")
    if trial.seconds:
        parts.append(f"| {duration(trial.seconds)}")
    if best is not None:
        parts.append(f"| best {best.value:.4f}, trial {best.number}")
    return "  ".join(parts)


class Lines:
    """One plain line per trial."""

    def __init__(self, search: "Search") -> None:
        self.search = search

    def found(self, trials: "Sequence[Trial]") -> None:
        """Print how many there are."""
        if trials:
            print(f"going on after {sum(trial.is_over for trial in trials)} trials", flush=True)

    def began(self, number: int, stage: str, settings: Mapping[str, Any]) -> None:
        """Nothing."""

    def epoch(self, number: int, value: float | None, progress: "Progress") -> None:
        """Nothing."""

    def ended(self, trial: "Trial", best: "Trial | None") -> None:
        """Print the trial's line."""
        stage = self.search.stages[trial.stage].name
        print(summary(trial, stage, self.search.metric, best), flush=True)


class Live:
    """A bar over the trials with time left, one line for each under way; finished ones scroll by above."""

    def __init__(self, search: "Search") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.search = search
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[doing]}"),
            TimeRemainingColumn(),
            transient=True,
        )
        self.all = self.bar.add_task("trials", total=search.size, doing="")
        self.rows: dict[int, Any] = {}

    def found(self, trials: "Sequence[Trial]") -> None:
        """Count those that are over."""
        self.bar.advance(self.all, sum(trial.is_over for trial in trials))

    def began(self, number: int, stage: str, settings: Mapping[str, Any]) -> None:
        """Show a line for it."""
        epochs = self.search.spec.training.epochs
        self.rows[number] = self.bar.add_task(f"trial {number}, {stage}", total=epochs, doing="")

    def epoch(self, number: int, value: float | None, progress: "Progress") -> None:
        """Move its bar."""
        best = "" if progress.best_value is None else f"{self.search.metric} {progress.best_value:.4f}"
        self.bar.update(self.rows[number], completed=progress.epoch, doing=best)

    def ended(self, trial: "Trial", best: "Trial | None") -> None:
        """Take its line away and print what it came to."""
        if trial.number in self.rows:
            self.bar.remove_task(self.rows.pop(trial.number))
        if trial.is_over:
            self.bar.advance(self.all)
        stage = self.search.stages[trial.stage].name
        self.bar.console.print(summary(trial, stage, self.search.metric, best), highlight=False)


@contextmanager
def following(search: "Search", quiet: bool = False) -> "Iterator[SearchWatcher]":
    """A watcher of the search that suits where the output goes."""
    import sys

    if quiet:
        from alnico.experiment.bench import Unwatched

        yield Unwatched()
    elif sys.stdout.isatty():
        live = Live(search)
        with live.bar:
            yield live
    else:
        yield Lines(search)
