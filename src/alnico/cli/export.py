"""`alnico export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alnico.cli.output import print_json

if TYPE_CHECKING:
    from alnico.serving.manifest import Manifest


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    to: Annotated[Path, typer.Option(help="New bundle folder.")],
    histories: Annotated[
        bool,
        typer.Option(
            "--histories/--without-histories",
            help="Keep who had what, so that nobody is shown what they have.",
        ),
    ] = True,
    pictures: Annotated[
        bool, typer.Option("--pictures/--without-pictures", help="Keep small pictures of the items.")
    ] = True,
    two_stages_above: Annotated[
        int | None,
        typer.Option(help="With more items than this, lists begin with candidates; they stay exact.", min=0),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an old bundle.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Make a bundle of a run: its model with all that answers need, apart from the data it was trained on."""
    from alnico.cli.counting import counting
    from alnico.experiment.folder import open_run
    from alnico.serving.export import bundle_of
    from alnico.serving.folder import check_free, save_bundle
    from alnico.serving.manifest import Stages

    check_free(to, force=force)
    stages = Stages() if two_stages_above is None else Stages(above=two_stages_above)
    with counting("pictures") as tell:
        bundle = bundle_of(
            open_run(run), histories=histories, pictures=pictures, stages=stages, progress=tell
        )
    manifest = save_bundle(bundle, to, force=force)
    if json:
        print_json(told(to, manifest))
        return
    tell_bundle(to, manifest)


def told(folder: Path, manifest: "Manifest") -> dict[str, Any]:
    """A bundle's facts as plain values."""
    kept = manifest.model_dump(mode="json", include={"users", "items", "added_items", "modalities"})
    size = sum(record.bytes for record in manifest.files.values())
    stages = manifest.facts.stages.model_dump(mode="json")
    return {
        "bundle": str(folder),
        **kept,
        "stages": stages,
        "bytes": size,
        "fingerprint": manifest.fingerprint,
    }


def tell_bundle(folder: Path, manifest: "Manifest") -> None:
    """Print what a bundle holds, and what comes next."""
    size = sum(record.bytes for record in manifest.files.values())
    added = f" ({manifest.added_items} added after training)" if manifest.added_items else ""
    print(
        f"bundle {folder}: {manifest.users} users, {manifest.items} items{added}, {size / 1e6:.1f} MB, fingerprint "
        f"{manifest.fingerprint[:12]}"
    )
    stages = manifest.facts.stages
    if stages.recall is not None:
        print(
            f"lists in two stages: recall@{stages.k} against exact {stages.recall:.4f} ({stages.users} users)"
        )
    print(f"next: alnico recommend {folder} --user ID; its model card is {folder / 'card.md'}")
