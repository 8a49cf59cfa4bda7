"""New items from somebody's files: an item table, and vectors, or pictures and words to make them of."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from alnico.data.dataset import Dataset
from alnico.data.features import ItemFeatures, Modality
from alnico.data.sources.cards import read_items
from alnico.data.sources.shop import find_table
from alnico.data.sources.vectors import VECTOR_SUFFIXES, VectorTable, check_freshness, read_vectors
from alnico.encoders.encode import TEXT_FIELDS, fingerprint_of, picture_paths, words_of
from alnico.encoders.fitted import FittedImages, FittedTexts, same_directions
from alnico.encoders.images import IMAGE_ENCODER, IMAGE_SETTINGS, IMAGE_VERSION, IMAGE_WIDTH
from alnico.encoders.texts import TEXT_ENCODER, TEXT_SETTINGS, TEXT_VERSION, TEXT_WIDTH
from alnico.errors import DataError
from alnico.report.pictures import small_jpeg
from alnico.serving.bundle import Bundle
from alnico.serving.manifest import EncoderNote
from alnico.serving.newcomers import Newcomers

IMAGE, TEXT = "image", "text"
ENCODERS: Mapping[str, tuple[str, int, Mapping[str, Any]]] = {
    IMAGE: (IMAGE_ENCODER, IMAGE_VERSION, IMAGE_SETTINGS),
    TEXT: (TEXT_ENCODER, TEXT_VERSION, {**TEXT_SETTINGS, "fields": list(TEXT_FIELDS)}),
}
"""Name, version and settings of the encoders that can be fitted, as ``encode_folder`` notes them."""
Tensors = dict[str, torch.Tensor]


def fitted_encoders(dataset: Dataset) -> tuple[dict[str, EncoderNote], Tensors]:
    """The light encoders that made a data set's vectors: what they are, and the numbers that new items need.

    They are fitted once more to the data set's own pictures and words, and count only if the stored vectors come out
    again; a modality whose vectors are from elsewhere, or whose catalogue was cut since, has none.
    """
    notes: dict[str, EncoderNote] = {}
    tensors: Tensors = {}
    items = pl.DataFrame({name: list(values) for name, values in dataset.cards.columns.items()})
    stored = dataset.features.modalities
    if IMAGE in stored and "image" in items.columns and stored[IMAGE].width == IMAGE_WIDTH:
        paths = picture_paths(items)
        images = FittedImages.of(paths)
        if same_directions(stored[IMAGE], images.encode(paths)):
            notes[IMAGE] = _note(IMAGE)
            tensors |= _tensors(IMAGE, images)
    if TEXT in stored and items.height and stored[TEXT].width <= TEXT_WIDTH:
        words = words_of(items)
        if any(words):
            texts = FittedTexts.of(words)
            if same_directions(stored[TEXT], texts.encode(words)):
                notes[TEXT] = _note(TEXT)
                tensors |= _tensors(TEXT, texts)
    return notes, tensors


def _note(modality: str) -> EncoderNote:
    encoder, version, settings = ENCODERS[modality]
    return EncoderNote(
        encoder=encoder,
        version=version,
        settings=dict(settings),
        fingerprint=fingerprint_of(encoder, version, settings),
    )


def _tensors(modality: str, fitted: FittedImages | FittedTexts) -> Tensors:
    return {f"{modality}/{name}": torch.from_numpy(np.array(own)) for name, own in fitted.arrays().items()}


def encoded(
    bundle: Bundle, *, images: Sequence[Path | None] = (), texts: Sequence[str] = ()
) -> dict[str, Modality]:
    """Vectors of new pictures and texts in the bundle's own terms, for the modalities whose encoder it holds.

    Raises DataError if this version's encoder is not the one that made the bundle's vectors.
    """
    told = {}
    for modality, note in bundle.facts.encoders.items():
        if modality not in ENCODERS or note.fingerprint != fingerprint_of(*ENCODERS[modality]):
            raise DataError(
                f"the bundle's {modality!r} vectors are from {note.encoder} version {note.version} with settings of "
                "their own, which this alnico has not got; give vectors, or export the run again"
            )
    if any(path is not None for path in images) and IMAGE in bundle.facts.encoders:
        told[IMAGE] = FittedImages.from_arrays(_arrays(bundle, IMAGE)).encode(images)
    if any(texts) and TEXT in bundle.facts.encoders:
        told[TEXT] = FittedTexts.from_arrays(_arrays(bundle, TEXT)).encode(texts)
    return told


def _arrays(bundle: Bundle, modality: str) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    start = f"{modality}/"
    return {
        name.removeprefix(start): own.numpy()
        for name, own in bundle.encoders.items()
        if name.startswith(start)
    }


def read_newcomers(bundle: Bundle, place: Path, features: Mapping[str, Path] | None = None) -> Newcomers:
    """The new items of an item table, or of a folder with one (``items.csv``, and vectors under ``features/``).

    ``features`` are files of vectors by modality, rows in the table's order or with ids; other modalities are encoded
    from the table's pictures and words where the bundle holds the encoder. Raises DataError if there is no table, or a
    vector file does not belong to it.
    """
    table = find_table(place, "items") if place.is_dir() else place
    if table is None or not table.is_file():
        raise DataError(
            f"there is no item table {place}; expected a CSV, TSV or Parquet file, or a folder with items.csv"
        )
    items = read_items(table, {})
    names = items["item"].to_list()
    vectors = dict(features or {})
    if place.is_dir() and features is None:
        for file in sorted((place / "features").glob("*")):
            # A light encoder's fit to these items alone is not the bundle's: its vectors are made again.
            own = file.stem in bundle.content and file.stem not in bundle.facts.encoders
            if own and file.suffix in VECTOR_SUFFIXES:
                check_freshness(file, names)
                vectors[file.stem] = file
    content = {name: _rows(read_vectors(file, name), names) for name, file in vectors.items()}
    paths = picture_paths(items)
    made = encoded(bundle, images=paths, texts=words_of(items))
    content |= {name: own for name, own in made.items() if name not in content}
    ordered = {name: content[name] for name in (*bundle.content, *content) if name in content}
    return Newcomers(
        names,
        ItemFeatures(len(names), ordered),
        {name: items[name].to_list() for name in items.columns if name != "item"},
        [None if path is None else small_jpeg(str(path), table.parent) for path in paths],
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
