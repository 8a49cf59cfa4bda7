"""``alnico encode``: pictures and texts of an item table as feature files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from alnico.encoders.encode import ModalityReport


_IMAGE = "auto, light, none, colour-gradient, efficientnet-lite0, ORGANISATION/MODEL, or a model's folder."
_TEXT = "auto, light, none, tfidf-svd, all-MiniLM-L6-v2, ORGANISATION/MODEL, or a model's folder."


def encode(
    folder: Annotated[
        Path, typer.Argument(help="Folder with items.csv, .tsv or .parquet.", show_default=False)
    ],
    image: Annotated[str, typer.Option(help=_IMAGE)] = "auto",
    text: Annotated[str, typer.Option(help=_TEXT)] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Encode again even if nothing changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Turn the pictures and texts of a folder's item table into vectors under features/.

    "light" needs nothing else: colours, edges and layout for pictures, weighed words for texts. With
    alnico[encode] there are two trained networks whose weights come with it, and "auto" takes these. Of the
    table's columns title, description, category and image (paths) are read. Called again after it was cut
    off, it goes on where it was.
    """
    from alnico.cli.counting import counting
    from alnico.encoders.encode import encode_folder

    report = encode_folder(folder, image, text, force=force, watch=counting)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
        return
    for notice in report.notices:
        typer.echo(f"left out: {notice}")
    for made in report.modalities:
        _tell(made)
    typer.echo(f"Next: alnico data import {folder} --to data/{folder.name}")


def _tell(made: "ModalityReport") -> None:
    state = "written" if made.renewed else "up to date"
    typer.echo(
        f"{made.file}: {made.present} of {made.items} items, {made.width} numbers each, "
        f"by {made.encoder} ({state})"
    )
    if made.encoded and made.seconds:
        resumed = f", {made.resumed} were there from before" if made.resumed else ""
        typer.echo(
            f"  {made.encoded} encoded in {made.seconds:.1f} s, {made.encoded / made.seconds:.0f} per second{resumed}"
        )
    for bad in made.unreadable_images:
        typer.echo(f"  cannot read {bad.path} (item {bad.item}): {bad.reason}")
    if made.unreadable > len(made.unreadable_images):
        typer.echo(f"  and {made.unreadable - len(made.unreadable_images)} more that cannot be read")
