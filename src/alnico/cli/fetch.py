"""``alnico data fetch``: data sets by name, ready for training."""

from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from alnico.data.fetching.cache import Fetched
    from alnico.data.fetching.sources import DataSource
    from alnico.data.fetching.transfer import Tell
    from alnico.data.store import Manifest


class Text(StrEnum):
    """What becomes of words that come without vectors: the light text encoder's vectors, or nothing."""

    auto = "auto"
    none = "none"


def fetch_data(
    name: Annotated[
        str | None,
        typer.Argument(help="Name of the data set; without one all are listed.", show_default=False),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Data folder to write (default: data/NAME).")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Where fetched files stay (default: the user's cache folder).")
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option("--from", help="Folder with files fetched by hand, or address of a mirror."),
    ] = None,
    sources: Annotated[
        Path | None, typer.Option(help="Another list of data sets, in place of alnico's own.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that a server may be silent.")] = 30.0,
    text: Annotated[
        Text, typer.Option(help="Vectors of items that come with words but without vectors, or none.")
    ] = Text.auto,
    force: Annotated[bool, typer.Option("--force", help="Replace a data folder that stands there.")] = False,
    everything: Annotated[bool, typer.Option("--list", help="List the data sets.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON record.")] = False,
) -> None:
    """Fetch a data set by its name, verify its files and import them.

    A fetch that was broken off goes on where it was. Files that no server hands out are fetched by hand and named with
    --from.
    """
    from alnico.data.fetching.cache import default_cache, fetch_files
    from alnico.data.fetching.sources import OWN_LIST, named, read_sources
    from alnico.data.fetching.transfer import Patience
    from alnico.data.store import check_place

    known = read_sources(sources or OWN_LIST)
    cache = default_cache() if cache is None else cache
    if name is None or everything:
        _list(known, cache, as_json)
        return
    source = named(known, name)
    to = Path("data") / name if to is None else to
    check_place(to, force=force)
    typer.echo(f"{source.title}. Terms: {source.terms}", err=True)
    patience = Patience(silent_seconds=timeout)
    files = fetch_files(source, cache, origin, patience, _watch)
    if not as_json:
        _tell_files(files)
    manifest = _imported(source, cache, to, text, force)
    unlike = _unlike(source, manifest)
    if as_json:
        _print_record(source, to, files, manifest, as_published=not unlike)
        return
    from alnico.cli.data import tell_import

    tell_import(to, manifest)
    if unlike:
        typer.echo(f"note: {unlike}", err=True)


def _imported(source: "DataSource", cache: Path, to: Path, text: Text, force: bool) -> "Manifest":
    from alnico.data.importing import import_dataset
    from alnico.encoders.wording import with_text_vectors

    folder, plan = cache / source.name, source.plan
    return import_dataset(
        folder / plan.read,
        to,
        name=source.name,
        items=None if plan.items is None else folder / plan.items,
        min_item=plan.min_item,
        allow_unknown_items=plan.allow_unknown_items,
        force=force,
        enrich=with_text_vectors if text is Text.auto else None,
    )


def _print_record(
    source: "DataSource", to: Path, files: "list[Fetched]", manifest: "Manifest", as_published: bool
) -> None:
    from alnico.cli.output import print_json

    print_json(
        {
            "name": source.name,
            "folder": to,
            "terms": source.terms,
            "files": [vars(file) for file in files],
            "as_published": None if source.counts is None else as_published,
            **manifest.model_dump(exclude={"name", "files"}),
        }
    )


def _watch(name: str) -> "AbstractContextManager[Tell]":
    from alnico.cli.counting import counting
    from alnico.cli.output import size

    return counting(name, size)


def _tell_files(files: "list[Fetched]") -> None:
    from alnico.cli.output import size

    said = {
        "published": "is as published",
        "recorded": "is as when it was first fetched",
        "first fetch": "has no published checksum: taken on trust, recorded, and held to from now on",
    }
    for file in files:
        typer.echo(
            f"{file.path}: {size(file.size)} from {file.origin}; sha256 {file.sha256[:12]}.. {said[file.trust]}"
        )


def _unlike(source: "DataSource", manifest: "Manifest") -> str:
    """What differs from the published counts, in one sentence; empty if nothing does or none are known."""
    if source.counts is None:
        return ""
    expected = source.counts.model_dump()
    if all(getattr(manifest, what) == count for what, count in expected.items()):
        return ""
    counts = ", ".join(f"{count} {what}" for what, count in expected.items())
    return f"{source.name} as published has {counts}: these files are of another version"


def _list(known: "dict[str, DataSource]", cache: Path, as_json: bool) -> None:
    from alnico.cli.output import print_json, print_table, size
    from alnico.data.fetching.cache import state

    if as_json:
        rows: list[dict[str, Any]] = [
            {**source.model_dump(exclude={"plan"}), "size": source.size, "state": state(source, cache)}
            for source in known.values()
        ]
        print_json({"cache": cache, "sources": rows})
        return
    sizes = {name: "unknown" if source.size is None else size(source.size) for name, source in known.items()}
    print_table(
        ("name", "to fetch", "state", "how"),
        [
            (name, sizes[name], state(source, cache), "by hand" if source.by_hand else "over HTTP")
            for name, source in known.items()
        ],
    )
    typer.echo("")
    for name, source in known.items():
        typer.echo(f"{name}: {source.title}")
    typer.echo("\nTerms, said again before a fetch:")
    for terms in dict.fromkeys(source.terms for source in known.values()):
        typer.echo(f"{', '.join(name for name, source in known.items() if source.terms == terms)}: {terms}")
    typer.echo(f"\nFetched files stay in {cache}")
