"""`alnico train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alnico.cli.output import number, print_json, print_table
from alnico.cli.progress import watching

if TYPE_CHECKING:
    from alnico.experiment.folder import Run


def train(
    config: Annotated[
        Path | None, typer.Argument(help="Settings as TOML, or a run's run.json to repeat it.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set folder; wins over the settings file. With --resume: where the data stand now."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where to train: cpu, cuda, ...; wins over the settings file. With --resume: from now on."
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help="New run folder; by default runs/<data>-<model>-<seed>.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting, e.g. --set model.width=48. Repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; wins over the settings file.")] = None,
    label: Annotated[str | None, typer.Option(help="Name of the run in tables.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this stopped run.")] = None,
    warm_start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            "--warm-start",
            help="Start from this run's weights, yesterday's for today's data; users and items are matched by id.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train one model as the settings say and test it once at the end.

    Ctrl-C and SIGTERM stop after the current step; `--resume RUN` goes on to the same result.
    """
    from alnico.errors import ConfigError
    from alnico.experiment import run as experiment
    from alnico.experiment.folder import open_run
    from alnico.experiment.spec import load_spec
    from alnico.training.trainer import Interrupted

    try:
        if resume is not None:
            if changes or any(other is not None for other in (config, to, seed, label, warm_start)):
                raise ConfigError(
                    "--resume goes on with the run's own settings; give nothing beside it but --data and --device, "
                    "which say where the data stand now and where to train"
                )
            plan = open_run(resume).spec.training
            with watching(plan, quiet=json) as watcher:
                done = experiment.resume(resume, dataset=data, device=device, watcher=watcher)
        else:
            spec = load_spec(config, changes or [], dataset=data, seed=seed, device=device)
            folder = to or Path("runs") / f"{Path(spec.dataset).name}-{spec.model_name}-{spec.seed}"
            old = None if warm_start is None else open_run(warm_start)
            with watching(spec.training, quiet=json) as watcher:
                done = experiment.run(spec, folder, label=label, warm_start=old, watcher=watcher)
    except Interrupted as stop:
        typer.echo(f"alnico: {stop}", err=True)
        raise typer.Exit(130) from stop
    if json:
        print_json({"run": str(done.folder), **done.result})
        return
    tell_run(done)


def tell_run(done: "Run") -> None:
    """Print what a finished run measured, and what comes next."""
    result = done.result
    names = [name for name in ("recall@10", "recall@20", "ndcg@10", "ndcg@20") if name in result["test"]]
    print_table(
        [done.label, *names],
        [[part, *(number(result[part][name]) for name in names)] for part in ("valid", "test")],
    )
    print(f"run folder {done.folder}; next: alnico evaluate {done.folder}")
