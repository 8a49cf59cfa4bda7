"""Whether vectors still are what their content and their notes say."""

from collections.abc import Iterator
from pathlib import Path

from alnico.data.dataset import Dataset
from alnico.data.describe import Finding
from alnico.data.sources.cards import read_items
from alnico.data.sources.shop import find_table
from alnico.data.sources.vectors import encoding_of
from alnico.data.store import is_data_folder
from alnico.encoders.content import content_of, sources_digest
from alnico.errors import StorageError
from alnico.storage import read_json

_TOPIC = "vectors"


def check_vectors(place: Path, dataset: Dataset) -> list[Finding]:
    """What is stale or mixed among the vectors of a raw folder or of a data set imported from one."""
    findings = [finding for name in dataset.features for finding in _since_import(dataset, name)]
    raw = place.is_dir() and not is_data_folder(place)
    if raw and find_table(place, "items") is not None:
        findings += _against_content(place)
    return findings


def _since_import(dataset: Dataset, name: str) -> Iterator[Finding]:
    """Whether the file that a modality came from was made again since."""
    known = dataset.features[name].encoding
    if known is None:
        yield Finding("note", _TOPIC, f"nothing says which encoder made the {name!r} vectors")
        return
    yield Finding("note", _TOPIC, f"the {name!r} vectors are by {known.encoder}, {known.fingerprint[:12]}")
    now = encoding_of(Path(known.file))
    if now is None or now.vectors_sha256 == known.vectors_sha256:
        return
    how = (
        "of other content"
        if now.fingerprint == known.fingerprint
        else f"by {now.encoder}, {now.fingerprint[:12]}"
    )
    yield Finding(
        "warning",
        _TOPIC,
        f"{known.file} was made again since the import, {how}; the {name!r} vectors here are stale, import again",
    )


def _against_content(folder: Path) -> Iterator[Finding]:
    """Whether vectors under ``features/`` are of the content there is now."""
    table = find_table(folder, "items")
    assert table is not None
    content = content_of(read_items(table, {}), folder)
    sources = {"image": content.picture_sources, "text": content.text_sources}
    for name, told in sources.items():
        file = folder / "features" / f"{name}.npy"
        note = file.with_suffix(".json")
        if not (file.is_file() and note.is_file()):
            continue
        if encoding_of(file) is None:
            yield Finding(
                "warning",
                _TOPIC,
                f"{file} is not the file that {note.name} beside it describes; its vectors may be of several "
                "encoders, run `alnico encode --force`",
            )
            continue
        try:
            written = read_json(note).get("source_sha256")
        except (StorageError, AttributeError):
            continue
        if written is not None and written != sources_digest(told):
            things = "pictures" if name == "image" else "texts"
            yield Finding(
                "warning",
                _TOPIC,
                f"{things} of {table} changed since {file} was made; its vectors are stale, run `alnico encode`",
            )
