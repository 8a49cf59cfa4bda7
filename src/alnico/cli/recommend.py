"""`alnico recommend`."""

from pathlib import Path
from typing import Annotated

import typer

from alnico.cli.output import print_json, print_table


def recommend(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    user: Annotated[list[str], typer.Option("--user", help="A user's id; repeatable.")],
    k: Annotated[int, typer.Option("-k", help="Length of the list.")] = 10,
    keep_seen: Annotated[bool, typer.Option(help="Also list items of the training history.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the best items for users."""
    from alnico.experiment.answer import recommend as ask
    from alnico.experiment.folder import open_run

    frame = ask(open_run(run), user, k, keep_seen=keep_seen)
    if json:
        print_json(frame.to_dicts())
        return
    rows = [
        [row["user_id"], row["rank"], row["item_id"], f"{row['score']:.4f}", row["title"]]
        for row in frame.to_dicts()
    ]
    print_table(["user", "rank", "item", "score", "title"], rows)
