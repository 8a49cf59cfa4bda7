"""`alnico stress`."""

from pathlib import Path
from typing import Annotated

import typer

from alnico.cli.output import print_json


def stress(
    configs: Annotated[list[Path], typer.Argument(help="Settings of runs on one data set, as TOML.")],
    section: Annotated[
        list[str] | None, typer.Option(help="cold, users, warm or content; all by default. Repeatable.")
    ] = None,
    to: Annotated[Path, typer.Option(help="Where the page and its numbers go.")] = Path("docs/results"),
    data: Annotated[str | None, typer.Option(help="Data set folder; wins over the settings files.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting of all runs. Repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Measure what becomes of new items, new users, a day more of data, and content that fails.

    Writes stress-DATA.md and stress-DATA.json; a section that is measured again takes the place of its old numbers.
    """
    from alnico.errors import ConfigError, nearest
    from alnico.experiment.spec import load_spec
    from alnico.experiment.stress import SECTIONS
    from alnico.report.stress_page import write_section

    for name in section or ():
        if name not in SECTIONS:
            raise ConfigError(f"there is no section {name!r}{nearest(name, SECTIONS)}")
    specs = [load_spec(config, changes or [], dataset=data) for config in configs]
    if len({spec.dataset for spec in specs}) > 1:
        raise ConfigError(
            "the settings name several data sets, and rows of one table must share one; give one with --data"
        )
    told = {}
    for name in section or SECTIONS:
        told[name] = SECTIONS[name][1](specs)
        page = write_section(to, Path(specs[0].dataset).name, name, told[name], specs)
    if json:
        print_json(told)
    else:
        print(page)
