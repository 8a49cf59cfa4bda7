"""`alnico add-items`."""

from pathlib import Path
from typing import Annotated

import typer

from alnico.cli.output import print_json


def add_items(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle.")],
    items: Annotated[
        Path,
        typer.Argument(help="Item table, or a folder with items.csv (and vectors under features/)."),
    ],
    to: Annotated[Path | None, typer.Option(help="New bundle folder; by default BUNDLE is replaced.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILE: vectors of a modality, rows in the table's order. Repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an old bundle at --to.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Take new items into a bundle by what they look and read like; nothing is trained.

    Where the bundle names the encoder of its vectors, and it is here, pictures and words of the table are enough.
    """
    from alnico.cli.export import tell_bundle, told
    from alnico.errors import ConfigError
    from alnico.serving.arrivals import read_newcomers
    from alnico.serving.folder import check_free, load_bundle, save_bundle
    from alnico.serving.newcomers import add_items as taken_in

    given = {}
    for text in features or []:
        name, equals, file = text.partition("=")
        if not (name and equals and file):
            raise ConfigError(f"--features takes NAME=FILE, found {text!r}")
        given[name] = Path(file)
    if to is not None:
        check_free(to, force=force)
    old = load_bundle(bundle)
    new = taken_in(old, read_newcomers(old, items, given or None))
    manifest = save_bundle(new, to or bundle, force=force or to is None)
    bases = {new.items.name(item): new.basis_of(item) for item in range(old.n_items, new.n_items)}
    if json:
        print_json({**told(to or bundle, manifest), "added": bases})
        return
    for item, basis in bases.items():
        print(f"{item}: {MEANING[basis]}")
    tell_bundle(to or bundle, manifest)


MEANING = {
    "content": "ranked by its content",
    "like": "ranked as the known items are that it resembles; the model reads no content",
    "untaken": "ranked as an item that nobody took; the model reads no content",
    "nothing": "has no content and is listed nowhere",
}
