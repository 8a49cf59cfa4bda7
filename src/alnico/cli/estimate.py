"""`alnico estimate`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alnico.cli.output import print_json, print_table, size

if TYPE_CHECKING:
    from alnico.experiment.estimate import Estimate, Forecast

BYTES = {"": 1, "B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
SECONDS = {"": 1, "S": 1, "MS": 0.001, "M": 60, "MIN": 60, "H": 3600}


def estimate(
    config: Annotated[
        Path | None, typer.Argument(help="Settings as TOML, or a run's run.json to repeat it.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data set folder; wins over the settings file.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting, e.g. --set model.width=48. Repeatable."),
    ] = None,
    budget_memory: Annotated[
        str | None, typer.Option(help="Memory that the run may take, e.g. 4GB; by default what is free.")
    ] = None,
    budget_time: Annotated[
        str | None, typer.Option(help="Time that an epoch with its validation may take, e.g. 30s or 2min.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds that finding out may take, about; more is more exact.")
    ] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="Print the estimate as JSON.")] = False,
) -> None:
    """Say what a run will cost before it is made: memory, time of building, epochs and validations.

    Tries the run out on part of the data, or all where that is quick, and writes nothing. If the run would not
    fit into the budget, settings that do are proposed, each with its own estimate.
    """
    from dataclasses import asdict

    from alnico.experiment.estimate import Budget
    from alnico.experiment.estimate import estimate as find_out
    from alnico.experiment.spec import load_spec
    from alnico.training.trainer import Interrupted

    memory = None if budget_memory is None else read_quantity(budget_memory, BYTES, "--budget-memory")
    seconds = None if budget_time is None else read_quantity(budget_time, SECONDS, "--budget-time")
    spec = load_spec(config, changes or [], dataset=data)
    try:
        told = find_out(spec, Budget(None if memory is None else int(memory), seconds), patience)
    except Interrupted as stop:
        raise typer.Abort from stop
    if json:
        print_json(asdict(told))
        return
    _print_cost(told)
    print(*verdict(told), sep="\n")


def read_quantity(text: str, units: Mapping[str, float], option: str) -> float:
    """A number with one of ``units`` behind it, as bytes or seconds; a bare number is that already.

    Raises ConfigError if it is none, or not above 0.
    """
    from alnico.errors import ConfigError

    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if found is None or found[2].upper() not in units or not float(found[1]):
        examples = {
            "--budget-memory": "500MB or 4GB",
            "--budget-time": "30s or 2min",
            "--time": "30min or 2h",
        }
        raise ConfigError(
            f"{option} expects a number above 0 with a unit, for example {examples[option]}; found {text!r}"
        )
    return float(found[1]) * units[found[2].upper()]


def _print_cost(told: "Estimate") -> None:
    cost = told.forecast
    print(
        f"{told.model} on {told.users} users, {told.items} items, {told.interactions} training interactions"
    )
    phase_seconds = {
        "building": duration(cost.build_seconds),
        "training": f"{duration(cost.train_seconds)} per epoch",
        "validating": f"{duration(cost.validation_seconds)} each time",
    }
    rows: list[list[str]] = [["libraries, data", size(cost.process_bytes), ""]]
    rows += [
        [name, f"+ {size(held)}", phase_seconds.get(name, "")] for name, held in cost.phases.items() if held
    ]
    rows.append(["at the height", size(cost.peak_bytes), f"{duration(cost.epoch_seconds)} per epoch"])
    print_table(["", "memory", "time"], rows)
    if cost.steps:
        print(
            f"{cost.steps} steps of {duration(cost.step_seconds)} per epoch, at most {told.max_epochs} epochs"
        )
    whole = (cost.tried_users, cost.tried_items) == (told.users, told.items)
    tried = (
        "all the data"
        if whole
        else f"{cost.tried_users} users and {cost.tried_items} items, carried on to all"
    )
    print(f"measured on {tried}; graphs that are kept in the data's cache are built only once")


def verdict(told: "Estimate") -> list[str]:
    """Whether it fits, and if not, what was found that does, line by line."""
    limits = [f"{size(told.free_bytes)} are free"]
    if told.budget.memory_bytes is not None:
        limits.append(f"the budget is {size(told.budget.memory_bytes)}")
    if told.budget.epoch_seconds is not None:
        limits.append(f"an epoch may take {duration(told.budget.epoch_seconds)}")
    if not told.excess:
        return [f"it fits: {', '.join(limits)}"]
    lines = [f"it does not fit ({' and '.join(told.excess)}): {', '.join(limits)}"]
    for proposal in told.proposals:
        settings = " ".join(f"--set {key}={value}" for key, value in proposal.changes.items())
        lines.append(f"fits with {settings}: {_in_short(proposal.forecast)}")
    if not told.proposals:
        lines.append("no change of settings that was tried makes it fit")
    if not told.tried_all:
        lines.append(f"stopped looking after {duration(told.seconds)}; a longer --patience tries more")
    return lines


def _in_short(cost: "Forecast") -> str:
    return f"{size(cost.peak_bytes)}, {duration(cost.epoch_seconds)} per epoch, built in {duration(cost.build_seconds)}"


def duration(seconds: float) -> str:
    """A time for a person, to two figures or so."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
