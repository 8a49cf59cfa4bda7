"""`alnico models`."""

from dataclasses import asdict
from typing import Annotated

import typer

from alnico.cli.output import print_json

MODELS_HEADER = ("model", "year", "reads", "reproduction", "paper")


def models(
    name: Annotated[str | None, typer.Argument(help="One model; shows its settings.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the models with year, inputs, completeness of the reproduction and paper; or the settings of one."""
    from alnico.models import MODELS, model_class

    if name is None:
        cards = {key: kind.card for key, kind in MODELS.items()}
        if json:
            print_json({key: asdict(card) for key, card in cards.items()})
            return
        rows = [
            (
                key,
                str(card.year or ""),
                " ".join(("interactions", *card.reads)),
                card.reproduction,
                card.paper,
            )
            for key, card in cards.items()
        ]
        widths = [max(len(row[column]) for row in (MODELS_HEADER, *rows)) for column in range(4)]
        for row in (MODELS_HEADER, *rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            print("  ".join([*cells, row[4]]).rstrip())
        return
    fields = model_class(name).Config.model_json_schema()["properties"]
    if json:
        print_json(fields)
    else:
        for key, field in fields.items():
            print(f"{key} = {field.get('default')}")
