"""`alnico data`: from raw files to a stored data set, and what is in it."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alnico.cli.fetch import fetch_data

if TYPE_CHECKING:
    from alnico.data.describe import DatasetFacts
    from alnico.data.store import Manifest

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Fetch, import, describe, check and split a data set.",
)

app.command("fetch")(fetch_data)

FOUND_ERRORS = 1


class Merge(StrEnum):
    """What repeated interactions of one user and item weigh together."""

    max = "max"
    sum = "sum"


Source = Annotated[
    Path, typer.Argument(help="Raw file or folder: MMRec, RecBole, CSV, Parquet, JSON lines, MovieLens.")
]
Data = Annotated[Path, typer.Argument(help="Stored data folder, or raw files that need no options.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON record.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a data folder that stands there.")]


@app.command("import")
def import_data(
    source: Source,
    to: Annotated[Path, typer.Option(help="Data folder to write.")],
    name: Annotated[str | None, typer.Option(help="Name of the data set (default: the file's).")] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="ROLE=COLUMN, such as user=buyer. Repeat as needed.")
    ] = None,
    items: Annotated[Path | None, typer.Option(help="Item table, where it is not found by itself.")] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(help="MODALITY=FILE with vectors, in place of those found. Repeat; the order stays."),
    ] = None,
    neighbours: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE.npz with a given item graph. Repeat as needed.")
    ] = None,
    separator: Annotated[str | None, typer.Option(help="Column separator of text files, or 'tab'.")] = None,
    min_rating: Annotated[float | None, typer.Option(help="Keep interactions rated this or better.")] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(help="KIND or KIND=WEIGHT: keep only the kinds of event named. Repeat as needed."),
    ] = None,
    merge: Annotated[Merge, typer.Option(help="Weight of repeated interactions.")] = Merge.max,
    core: Annotated[
        int, typer.Option(min=0, help="Keep users and items with at least this many, to a fixed point.")
    ] = 0,
    min_user: Annotated[
        int, typer.Option(min=0, help="Keep users with at least this many interactions.")
    ] = 0,
    min_item: Annotated[
        int, typer.Option(min=0, help="Keep items with at least this many interactions.")
    ] = 0,
    allow_unknown_items: Annotated[
        bool,
        typer.Option("--allow-unknown-items", help="Take items that the item table lacks, without content."),
    ] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Read raw files into a data folder."""
    from alnico.data.importing import import_dataset

    manifest = import_dataset(
        source,
        to,
        core=core,
        min_user=min_user,
        min_item=min_item,
        force=force,
        name=name,
        columns=_pairs(column, "--column", "ROLE=COLUMN"),
        items=items,
        features=_pairs(features, "--features", "MODALITY=FILE"),
        neighbours=_pairs(neighbours, "--neighbours", "NAME=FILE"),
        separator=separator,
        min_rating=min_rating,
        events=_weights(event),
        merge=merge.value,
        allow_unknown_items=allow_unknown_items,
    )
    if json:
        _print_json({"folder": str(to), **manifest.model_dump(exclude={"files"})})
        return
    tell_import(to, manifest)


def tell_import(to: Path, manifest: "Manifest") -> None:
    """Print what an import wrote, and on stderr what it had to say of the data."""
    _print_notices(manifest.notices)
    content = ", ".join(f"{key} ({width})" for key, width in manifest.modalities.items()) or "none"
    typer.echo(
        f"{to}: {manifest.users} users, {manifest.items} items, {manifest.interactions} interactions; "
        f"features: {content}"
    )


@app.command("describe")
def describe_data(data: Data, json: Json = False) -> None:
    """Print what a data set holds, in numbers."""
    from dataclasses import asdict

    from alnico.data.describe import describe
    from alnico.data.sources import open_or_read

    dataset, _ = open_or_read(data)
    facts = describe(dataset)
    if json:
        _print_json({**asdict(facts), "fingerprint": dataset.fingerprint})
        return
    for label, value in _described(facts):
        typer.echo(f"{label:<28}{value}")


@app.command("check")
def check_data(
    data: Data,
    core: Annotated[int, typer.Option(min=1, help="The k of the k-core whose effect is foretold.")] = 5,
    content: Annotated[
        bool,
        typer.Option("--content/--no-content", help="Open pictures and texts, not only tables and vectors."),
    ] = True,
    report: Annotated[Path | None, typer.Option(help="Write the findings as one HTML page, too.")] = None,
    json: Json = False,
) -> None:
    """Look for what should worry the owner of the data; the exit code is 1 if there are errors.

    Pictures and texts are searched for copies, damage, gaps, contradictions, and for copies across the parts
    of a split.
    """
    from dataclasses import asdict

    from alnico.cli.counting import counting
    from alnico.data.describe import by_severity, check
    from alnico.data.sources import open_or_read
    from alnico.doctor.examination import examine, findings_of
    from alnico.doctor.page import write_page
    from alnico.encoders.freshness import check_vectors

    dataset, notices = open_or_read(data, allow_unknown_items=True)
    found = examine(dataset, counting) if content else None
    findings = [*check(dataset, notices=notices, core=core), *check_vectors(data, dataset)]
    if found is not None:
        findings += findings_of(found, dataset)
    findings = by_severity(findings)
    if report is not None:
        write_page(report, dataset.name, findings, found)
    if json:
        examined = None if found is None else found.model_dump()
        told = [asdict(finding) for finding in findings]
        _print_json({"data": str(data), "findings": told, "content": examined})
    else:
        for finding in findings:
            typer.echo(f"{finding.severity:<8} {finding.topic:<11} {finding.message}")
        if report is not None:
            typer.echo(f"the page to open: {report}")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(FOUND_ERRORS)


@app.command("split")
def split_data(
    data: Data,
    rule: Annotated[
        str, typer.Option(help="given, per_user, random, leave_one_out, time, time_per_user or cold_items.")
    ] = "given",
    seed: Annotated[int | None, typer.Option(help="For rules that draw by chance (default 0).")] = None,
    valid: Annotated[float | None, typer.Option(help="Share of validation interactions.")] = None,
    test: Annotated[float | None, typer.Option(help="Share of test interactions.")] = None,
    to: Annotated[
        Path | None, typer.Option(help="Write a data folder whose labels are this split (rule 'given').")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Split a data set and print how large the parts are; with --to keep the split as labels."""
    from dataclasses import replace

    from alnico.data.sources import open_or_read
    from alnico.data.splitting import assign_parts, read_recipe, split
    from alnico.data.store import check_place, save_dataset

    settings = {"seed": seed, "valid": valid, "test": test}
    recipe = read_recipe(
        {"rule": rule, **{key: value for key, value in settings.items() if value is not None}}
    )
    if to is not None:
        check_place(to, force=force)
    dataset, notices = open_or_read(data)
    result = split(dataset, recipe)
    if to is not None:
        labelled = replace(dataset, labels=assign_parts(dataset, recipe))
        save_dataset(labelled, to, force=force, notices=notices, split=result.recipe)
    if json:
        _print_json({"recipe": result.recipe, "facts": result.facts, "fingerprint": result.fingerprint})
        return
    _print_notices(notices)
    for label, count in result.facts.items():
        typer.echo(f"{label.replace('_', ' '):<36}{count:>10}")
    if to is not None:
        typer.echo(f"{to}: the split is kept as labels; use it with rule 'given'")


def _pairs(given: list[str] | None, option: str, form: str) -> dict[str, str]:
    """``A=B`` settings as a mapping. Raises ConfigError for anything else and for a name said twice."""
    from alnico.errors import ConfigError

    pairs: dict[str, str] = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise ConfigError(f"{option} takes {form}, found {text!r}")
        if key in pairs:
            raise ConfigError(f"{option} names {key!r} twice")
        pairs[key] = value
    return pairs


def _weights(given: list[str] | None) -> dict[str, float]:
    """``KIND`` or ``KIND=WEIGHT`` settings as a mapping; a kind alone weighs 1."""
    from alnico.errors import ConfigError

    named = [text if "=" in text else f"{text}=1" for text in given or []]
    weights = {}
    for kind, text in _pairs(named, "--event", "KIND or KIND=WEIGHT").items():
        try:
            weights[kind] = float(text)
        except ValueError:
            raise ConfigError(f"--event {kind}={text}: the weight must be a number") from None
    return weights


def _described(facts: "DatasetFacts") -> list[tuple[str, str]]:
    """Labels and values for people."""
    lines = [
        ("name", facts.name),
        ("users", f"{facts.users}"),
        ("items", f"{facts.items}, {facts.items_without_interactions} without interactions"),
        ("interactions", f"{facts.interactions}{', weighted' if facts.weighted else ''}"),
        ("density", f"{facts.density:.4%}"),
        ("popularity (Gini)", f"{facts.popularity_gini:.3f}"),
    ]
    for side, spread in (("user", facts.interactions_per_user), ("item", facts.interactions_per_item)):
        lines.append(
            (
                f"interactions per {side}",
                f"{spread.smallest:g} to {spread.largest:g}, quartiles {spread.quarter:g} {spread.median:g} "
                f"{spread.three_quarters:g}, mean {spread.mean:.2f}",
            )
        )
    if facts.first_time is not None:
        lines.append(("times", f"{facts.first_time:.0f} to {facts.last_time:.0f}"))
    for name, modality in facts.modalities.items():
        lines.append(
            (
                f"features {name!r}",
                f"width {modality.width}, {modality.present_items} items ({modality.present_share:.1%}), "
                f"{modality.covered_interactions_share:.1%} of the interactions",
            )
        )
    lines += [(f"item graph {name!r}", f"{k} neighbours") for name, k in facts.neighbours.items()]
    if facts.parts is not None:
        parts = facts.parts
        sizes = (
            f"train {parts.train_interactions}, validation {parts.valid_interactions}, "
            f"test {parts.test_interactions}"
        )
        lines.append(("parts", sizes))
        lines.append(
            (
                "outside training",
                f"{parts.users_without_training} users, {parts.items_without_training} items; unseen items "
                f"in {parts.cold_valid_interactions} validation and {parts.cold_test_interactions} test "
                "interactions",
            )
        )
    lines += [(f"card {name!r}", f"{share:.1%} of the items") for name, share in facts.filled_cards.items()]
    return lines


def _print_notices(notices: list[str]) -> None:
    for notice in notices:
        typer.echo(f"note: {notice}", err=True)


def _print_json(record: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(record, indent=2))
