"""`alnico verify`."""

from pathlib import Path
from typing import Annotated

import typer

from alnico.cli.output import print_json


def verify(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Evaluate the stored model again and say whether lists, per-user values and means are those that were stored.

    Exit code 0: they are the same, bit for bit, or but for rounding where threads, machine or versions differ.
    Exit code 1: they differ.
    """
    from dataclasses import asdict

    from alnico.experiment.folder import finite, open_run
    from alnico.experiment.verifying import verify as check

    told = check(open_run(run))
    if json:
        print_json(finite({"run": str(run), "verdict": told.verdict, **asdict(told)}))
    else:
        for name, (then, now) in told.changed.items():
            print(f"{name}: {then} when the run was made, {now} now")
        if told.verdict == "identical":
            print(f"the same, bit for bit: lists and values of {told.users} test users, and all means")
        else:
            word = "the same but for rounding" if told.is_same else "different"
            print(
                f"{word}: of {told.users} test users, {told.lists} have another list and {told.values} another value; "
                f"largest difference {told.largest_score:.1e} of a score (relative), {told.largest_value:.1e} of a "
                f"value, {told.largest_mean:.1e} of a mean"
            )
    if not told.is_same:
        raise typer.Exit(1)
