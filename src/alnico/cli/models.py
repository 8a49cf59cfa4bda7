"""`alnico models`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from alnico.cli.output import print_json

HEADER = ("model", "title", "year", "reads", "reproduction", "source")


def models(
    name: Annotated[str | None, typer.Argument(help="One model; shows its settings.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the list as a page of the docs.")
    ] = False,
) -> None:
    """List the models with year, inputs, completeness of the reproduction and source; or the settings of one."""
    from alnico.models import MODELS, model_class
    from alnico.report.tables import Table

    if name is None:
        cards = {key: kind.card for key, kind in MODELS.items()}
        rows = tuple(
            (
                key,
                card.title,
                str(card.year or ""),
                " ".join(("interactions", *card.reads)),
                card.reproduction,
                card.paper,
            )
            for key, card in cards.items()
        )
        if json:
            print_json({key: asdict(card) for key, card in cards.items()})
        elif markdown:
            remarks = [f"* {card.title}: {card.remark}" for card in cards.values() if card.remark]
            print("\n".join([PAGE, Table(HEADER, rows).markdown(), "", *remarks]))
        else:
            left = [
                [cell.ljust(width) for cell, width in zip(row, _widths(rows), strict=True)]
                for row in (HEADER, *rows)
            ]
            print("\n".join("  ".join(row).rstrip() for row in left))
        return
    fields = model_class(name).Config.model_json_schema()["properties"]
    if json:
        print_json(fields)
    else:
        for key, field in fields.items():
            print(f"{key} = {field.get('default')}")


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[column]) for row in (HEADER, *rows)) for column in range(len(HEADER))]


PAGE = """# The models

Written by `alnico models --markdown`. `alnico models NAME` shows the settings of one; each setting's source stands in
its docstring under `src/alnico/models/`, the best-known settings per data set under `experiments/`. "Full" follows a
published description and the behaviour of the official code; "partly reconstructed" and "reconstructed" fill gaps as
said below, and every table of results repeats it; "own" is this project's, or its reading of a source.
"""
