"""`alnico recommend`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alnico.cli.output import print_json, print_table

if TYPE_CHECKING:
    from alnico.serving.answers import Answer
    from alnico.serving.bundle import Bundle


def recommend(
    run: Annotated[Path, typer.Argument(help="Folder of a run or bundle.")],
    user: Annotated[list[str] | None, typer.Option("--user", help="A user's id; repeatable.")] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(help="An item that somebody unknown has; repeatable. Needs a bundle."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Length of the list.")] = 10,
    keep_seen: Annotated[bool, typer.Option(help="Also list items of the history.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List the best items for users, or for somebody who is known by some items alone."""
    from alnico.errors import ConfigError
    from alnico.experiment.answer import recommend as ask
    from alnico.experiment.folder import open_run
    from alnico.serving.folder import load_bundle
    from alnico.serving.manifest import is_bundle

    if bool(user) == bool(history):
        raise ConfigError(
            "a list is for somebody: give --user ID, or --history ITEM once or more with a bundle"
        )
    if is_bundle(run):
        rows = _of_bundle(load_bundle(run), user or [], history or [], k, keep_seen)
    elif history:
        raise ConfigError(f"--history needs a bundle; make one with `alnico export {run} --to FOLDER`")
    else:
        rows = ask(open_run(run), user or [], k, keep_seen=keep_seen).to_dicts()
    if json:
        print_json(rows)
        return
    print_table(
        ["user", "rank", "item", "score", "title"],
        [
            [
                "-" if row["user_id"] is None else row["user_id"],
                row["rank"],
                row["item_id"],
                f"{row['score']:.4f}",
                row["title"],
            ]
            for row in rows
        ],
    )


def _of_bundle(
    bundle: "Bundle", users: list[str], history: list[str], k: int, keep_seen: bool
) -> list[dict[str, Any]]:
    """The same rows as of a run, with what each list and each item rests on."""
    answers: list[tuple[int | str | None, Answer]] = [
        (bundle.users.name(bundle.users.number(user)), bundle.recommend(user, k, keep_seen=keep_seen))
        for user in users
    ]
    if history:
        answers.append((None, bundle.recommend_for(history, k, keep_seen=keep_seen)))
    for _, answer in answers:
        for note in answer.notes:
            typer.echo(f"alnico: {note}", err=True)
    return [
        {
            "user_id": name,
            "rank": listed.rank,
            "item_id": listed.item,
            "score": listed.score,
            "title": bundle.card(listed.item).get("title", ""),
            "basis": answer.basis,
            "item_basis": listed.basis,
        }
        for name, answer in answers
        for listed in answer.items
    ]
