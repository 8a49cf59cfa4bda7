"""`alnico explain`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from alnico.cli.output import print_json, print_table


def explain(
    run: Annotated[Path, typer.Argument(help="Folder of a MAGNET run or bundle.")],
    item: Annotated[str, typer.Option("--item", help="The item's id.")],
    user: Annotated[str | None, typer.Option("--user", help="The user's id.")] = None,
    history: Annotated[
        list[str] | None,
        typer.Option(help="An item that somebody unknown has; repeatable. Needs a bundle."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say why a model gives an item to a user, in its own arithmetic."""
    from alnico.errors import ConfigError
    from alnico.experiment.answer import explain_pair, named
    from alnico.experiment.folder import open_run
    from alnico.serving.folder import load_bundle
    from alnico.serving.manifest import is_bundle

    if (user is None) == (not history):
        raise ConfigError(
            "an item is explained to somebody: give --user ID, or --history ITEM once or more with a bundle"
        )
    if is_bundle(run):
        bundle = load_bundle(run)
        told = bundle.explain_for(history or [], item) if user is None else bundle.explain(user, item)
    elif user is None:
        raise ConfigError(f"--history needs a bundle; make one with `alnico export {run} --to FOLDER`")
    else:
        opened = open_run(run)
        told = named(opened, explain_pair(opened, user, item))
    if json:
        print_json(told)
    else:
        _tell(told)


def _tell(told: dict[str, Any]) -> None:
    item = told["item"]
    print(
        f"user {'-' if told['user'] is None else told['user']}, item {item['item_id']} {item['title']}".rstrip()
    )
    place = (
        f"place {told['rank']} of the items the user has not got"
        if told["rank"]
        else "the user has it already"
    )
    print(f"score {told['score']:.4f}, {place}; an average item would score {told['baseline']:.4f}")
    print("\nrouting over the pool")
    families = list(told["families"])
    rows = [
        [group, *(f"{row.get(family, 0):.3f}" for family in families), f"{told['groups'][group]:.3f}"]
        for group, row in told["routing"].items()
    ]
    rows.append(["all", *(f"{told['families'][family]:.3f}" for family in families), ""])
    print_table(["anchor", *families, "group"], rows)
    print("\nwhat decided, and the score without it")
    print_table(
        ["part", "contribution", "share", "score without"],
        [
            [
                part,
                f"{told['contributions'][part]:+.4f}",
                f"{told['reliance'][part]:.1%}",
                f"{told['without'][part]:.4f}",
            ]
            for part in told["contributions"]
        ],
    )
    print("\nactive experts")
    print_table(
        ["expert", "weight", "own score", "contribution"],
        [
            [e["label"], f"{e['weight']:.3f}", f"{e['score']:.4f}", f"{e['contribution']:+.4f}"]
            for e in told["experts"]
        ],
    )
    print("\nhistory that speaks for it")
    names = list(told["witnesses"][0]["similarity"]) if told["witnesses"] else []
    print_table(
        ["item", *names, "shared users", "effect", "induced edge through", "title"],
        [
            [
                witness["item"]["item_id"],
                *("-" if value is None else f"{value:.2f}" for value in witness["similarity"].values()),
                witness["shared_users"],
                f"{witness['effect']:+.4f}",
                ", ".join(witness["listed_in"]) or "-",
                witness["item"]["title"],
            ]
            for witness in told["witnesses"]
        ],
    )
