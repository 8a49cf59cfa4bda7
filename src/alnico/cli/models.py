"""`alnico models`."""

from typing import Annotated

import typer

from alnico.cli.output import print_json


def models(
    name: Annotated[str | None, typer.Argument(help="One model; shows its settings.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the models, or the settings of one."""
    from alnico.models import MODELS, model_class

    if name is None:
        lines = {key: (kind.__doc__ or "").strip().splitlines()[0] for key, kind in MODELS.items()}
        if json:
            print_json(lines)
        else:
            for key, line in lines.items():
                print(f"{key:12s} {line}")
        return
    fields = model_class(name).Config.model_json_schema()["properties"]
    if json:
        print_json(fields)
    else:
        for key, field in fields.items():
            print(f"{key} = {field.get('default')}")
