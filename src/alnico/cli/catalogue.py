"""``alnico catalogue``: a shop whose truth is known, as ordinary files."""

from pathlib import Path
from typing import Annotated

import typer


def catalogue(
    folder: Annotated[
        Path, typer.Argument(help="Where to write the shop; must not exist.", show_default=False)
    ],
    users: Annotated[int | None, typer.Option(help="Number of users.", min=2)] = None,
    items: Annotated[int | None, typer.Option(help="Number of items.", min=40)] = None,
    interactions: Annotated[int | None, typer.Option(help="Number of (user, item) pairs.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed is another shop.", min=0)] = None,
    noise: Annotated[
        bool, typer.Option("--noise", help="Pictures and texts that say nothing of choices.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a shop written before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Generate a small shop whose truth is known: interactions, items, drawn pictures, written texts.

    The files are ordinary ones; truth/ says what users like and what items are, and is read by nobody else.
    """
    import json

    from alnico.catalogue.shop import ShopPlan
    from alnico.catalogue.writing import make_shop
    from alnico.cli.counting import counting

    asked = {"n_users": users, "n_items": items, "n_interactions": interactions, "seed": seed}
    plan = ShopPlan(noise=noise, **{name: value for name, value in asked.items() if value is not None})
    with counting("pictures") as tell:
        shop = make_shop(plan, folder, force=force, progress=tell)
    if as_json:
        counts = {name: value for name, value in vars(shop).items() if name.startswith("n_")}
        typer.echo(json.dumps({"folder": str(folder), **counts, "plan": plan.model_dump()}, indent=2))
        return
    typer.echo(f"{folder}: a shop with {shop.n_users} users and {shop.n_items} items")
    typer.echo(f"  interactions.csv  {shop.n_interactions} rows: user_id, item_id, timestamp")
    typer.echo(
        f"  items.csv         {shop.n_items} rows, {shop.n_texts} with a text; {shop.n_new} items are new"
    )
    typer.echo(f"  images/           {shop.n_images} pictures")
    typer.echo("  truth/            what users like and items are; no importer reads it")
    typer.echo(f"Next: alnico encode {folder}")
