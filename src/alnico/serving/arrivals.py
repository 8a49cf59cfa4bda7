"""New items from somebody's files: an item table, and vectors, or pictures and words to make them of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from alnico.data.features import ItemFeatures, Modality
from alnico.data.sources.cards import read_items
from alnico.data.sources.shop import find_table
from alnico.data.sources.vectors import VECTOR_SUFFIXES, VectorTable, check_freshness, read_vectors
from alnico.encoders.content import picture_paths, text_parts
from alnico.errors import DataError
from alnico.report.pictures import small_jpeg
from alnico.serving.bundle import Bundle
from alnico.serving.encoding import FITTED, IMAGE, TEXT, encoded
from alnico.serving.newcomers import Newcomers


def read_newcomers(bundle: Bundle, place: Path, features: Mapping[str, Path] | None = None) -> Newcomers:
    """The new items of an item table, or of a folder with one (``items.csv``, and vectors under ``features/``).

    ``features`` are files of vectors by modality, rows in the table's order or with ids; other modalities are encoded
    from the table's pictures and words where the bundle names the encoder. Raises DataError if there is no table, a
    vector file does not belong to it or is by another encoder than the bundle's, or an encoder is not here.
    """
    table = find_table(place, "items") if place.is_dir() else place
    if table is None or not table.is_file():
        raise DataError(
            f"there is no item table {place}; expected a CSV, TSV or Parquet file, or a folder with items.csv"
        )
    items = read_items(table, {})
    names = items["item"].to_list()
    if place.is_dir() and features is None:
        tables = _lying_there(bundle, place / "features", names)
    else:
        tables = {name: read_vectors(file, name) for name, file in (features or {}).items()}
    for name, own in tables.items():
        _check_encoder(bundle, name, own)
    content = {name: _rows(own, names) for name, own in tables.items()}
    paths = picture_paths(items)
    content |= encoded(
        bundle,
        images=() if IMAGE in content else paths,
        texts=() if TEXT in content else text_parts(items),
    )
    ordered = {name: content[name] for name in (*bundle.content, *content) if name in content}
    return Newcomers(
        names,
        ItemFeatures(len(names), ordered),
        {name: items[name].to_list() for name in items.columns if name != "item"},
        [None if path is None else small_jpeg(str(path), table.parent) for path in paths],
    )


def _lying_there(bundle: Bundle, folder: Path, names: Sequence[int | str]) -> dict[str, VectorTable]:
    """The vector files of a folder that may be compared with the bundle's; the others are made again."""
    found = {}
    for file in sorted(folder.glob("*")):
        if file.stem not in bundle.content or file.suffix not in VECTOR_SUFFIXES:
            continue
        note = bundle.facts.encoders.get(file.stem)
        # A light encoder's fit to these items alone is not the bundle's.
        if note is not None and note.encoder in FITTED:
            continue
        check_freshness(file, names)
        table = read_vectors(file, file.stem)
        own = table.encoding
        if note is None or (own is not None and own.fingerprint == note.fingerprint):
            found[file.stem] = table
    return found


def _check_encoder(bundle: Bundle, name: str, table: VectorTable) -> None:
    note, own = bundle.facts.encoders.get(name), table.encoding
    if note is not None and own is not None and own.fingerprint != note.fingerprint:
        raise DataError(
            f"{table.origin} is by {own.encoder} ({own.fingerprint[:12]}), the bundle's {name!r} vectors are by "
            f"{note.encoder} ({note.fingerprint[:12]}); encode the new items with that"
        )


def _rows(table: VectorTable, names: Sequence[int | str]) -> Modality:
    """The vectors of these items; what is all zero, or not there, is absent."""
    values = np.array(table.values)
    if table.ids is None:
        if len(values) != len(names):
            raise DataError(
                f"{table.origin} has {len(values)} rows but the item table has {len(names)}; rows must match, or "
                "carry ids"
            )
        rows = np.arange(len(names))
    else:
        place = {str(name): row for row, name in enumerate(table.ids.to_list())}
        rows = np.array([place.get(str(name), -1) for name in names], np.int64)
    given = rows >= 0
    if table.present is not None:
        given &= table.present[rows]
    vectors = np.where(given[:, None], values[rows], np.float32(0)).astype(np.float32)
    return Modality(vectors, given & np.asarray(vectors.any(axis=1)))
