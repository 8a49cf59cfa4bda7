"""What made a bundle's vectors, and vectors of new pictures and words by the same encoder."""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from alnico.data.dataset import Dataset
from alnico.data.features import EncoderNote, Modality
from alnico.encoders.choosing import picture_encoder, text_encoder
from alnico.encoders.content import Parts, has_words, picture_paths, text_parts
from alnico.encoders.efficientnet import LITE
from alnico.encoders.encoder import Encoder, PictureEncoder, TextEncoder, fingerprint, note_of
from alnico.encoders.fitted import FittedImages, FittedTexts, same_directions
from alnico.encoders.images import IMAGE_ENCODER, IMAGE_WIDTH, ColourGradient
from alnico.encoders.networks import MINILM
from alnico.encoders.reading import decoders, read_block
from alnico.encoders.texts import TEXT_ENCODER, TEXT_WIDTH, WeighedWords
from alnico.errors import ConfigError, DataError
from alnico.serving.bundle import Bundle

IMAGE, TEXT = "image", "text"
FITTED = (IMAGE_ENCODER, TEXT_ENCODER)
"""Encoders whose vectors are comparable only within the catalogue that they were fitted to."""

Tensors = dict[str, torch.Tensor]
Known = TypeVar("Known", bound=Encoder)


def encoders_of(dataset: Dataset) -> tuple[dict[str, EncoderNote], Tensors]:
    """The encoders of a data set's vectors by modality, and the numbers that new items need of the light ones.

    The light encoders are fitted once more to the data set's own pictures and words, and count only if the stored
    vectors come out again. Others are what the vectors' own notes say. A modality whose vectors are from elsewhere, or
    whose catalogue was cut since it was fitted, has none.
    """
    notes, tensors = _networks_of(dataset), Tensors()
    items = pl.DataFrame({name: list(values) for name, values in dataset.cards.columns.items()})
    stored = {name: own for name, own in dataset.features.items() if name not in notes}
    fits: dict[str, FittedImages | FittedTexts] = {}
    if IMAGE in stored and "image" in items.columns and stored[IMAGE].width == IMAGE_WIDTH:
        paths = picture_paths(items)
        images = FittedImages.of(paths)
        if same_directions(stored[IMAGE], images.encode(paths)):
            notes[IMAGE], fits[IMAGE] = note_of(ColourGradient()), images
    if TEXT in stored and items.height and stored[TEXT].width <= TEXT_WIDTH:
        encoder = WeighedWords()
        words = [encoder.words(*parts) for parts in text_parts(items)]
        if any(words):
            texts = FittedTexts.of(words)
            if same_directions(stored[TEXT], texts.encode(words)):
                notes[TEXT], fits[TEXT] = note_of(encoder), texts
    for modality, fit in fits.items():
        tensors |= {
            f"{modality}/{name}": torch.from_numpy(np.array(own)) for name, own in fit.arrays().items()
        }
    return notes, tensors


def _networks_of(dataset: Dataset) -> dict[str, EncoderNote]:
    told = {name: dataset.features[name].encoding for name in (IMAGE, TEXT) if name in dataset.features}
    return {
        name: EncoderNote(**own.model_dump(include=set(EncoderNote.model_fields)))
        for name, own in told.items()
        if own is not None and own.encoder not in FITTED
    }


def encoded(
    bundle: Bundle, *, images: Sequence[Path | None] = (), texts: Sequence[Parts] = ()
) -> dict[str, Modality]:
    """Vectors of new pictures and texts in the bundle's own terms, for the modalities whose encoder is known.

    Without any picture, or any words, that encoder is not asked for. A trained network is loaded when it is first
    needed, and kept. Raises DataError if the encoder is not here, or not the one that made the bundle's vectors.
    """
    notes, told = bundle.facts.encoders, {}
    if IMAGE in notes and any(path is not None for path in images):
        told[IMAGE] = _pictures(bundle, notes[IMAGE], images)
    if TEXT in notes and any(has_words(parts) for parts in texts):
        told[TEXT] = _words(bundle, notes[TEXT], texts)
    return told


def _pictures(bundle: Bundle, note: EncoderNote, paths: Sequence[Path | None]) -> Modality:
    if note.encoder == IMAGE_ENCODER:
        _same(IMAGE, note, ColourGradient())
        return FittedImages.from_arrays(_arrays(bundle, IMAGE)).encode(paths)
    encoder = _same(IMAGE, note, _network(IMAGE, note, _picture_network))
    with decoders() as pool:
        vectors = read_block(paths, encoder, pool).vectors
    if not vectors.any():
        vectors = np.zeros((len(paths), bundle.content[IMAGE].width), np.float32)
    return Modality(vectors, np.asarray(vectors.any(axis=1)))


def _words(bundle: Bundle, note: EncoderNote, texts: Sequence[Parts]) -> Modality:
    if note.encoder == TEXT_ENCODER:
        light = _same(TEXT, note, WeighedWords())
        return FittedTexts.from_arrays(_arrays(bundle, TEXT)).encode([light.words(*own) for own in texts])
    encoder = _same(TEXT, note, _network(TEXT, note, _text_network))
    vectors = encoder.encode([encoder.words(*own) for own in texts])
    return Modality(vectors, np.asarray(vectors.any(axis=1)))


def _arrays(bundle: Bundle, modality: str) -> dict[str, NDArray[np.generic]]:
    start = f"{modality}/"
    return {
        name.removeprefix(start): own.numpy()
        for name, own in bundle.encoders.items()
        if name.startswith(start)
    }


def _network(modality: str, note: EncoderNote, load: Callable[[str], Known]) -> Known:
    """The network of that name from this machine. Raises DataError if it is not here."""
    by = f"the bundle's {modality!r} vectors are by {note.encoder}"
    if note.encoder not in (LITE, MINILM) and not _is_of_a_hub(note.encoder):
        raise DataError(f"{by}, a model's folder where they were made; give vectors by it for new items")
    try:
        return load(note.encoder)
    except ConfigError as problem:
        raise DataError(f"{by}: {problem}, or give vectors by it for new items") from problem


def _is_of_a_hub(name: str) -> bool:
    # A bundle may come from anybody: it must not say which of this machine's folders are read.
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None and not Path(name).exists()


# Loading takes seconds and memory: one of each kind is kept. A bundle makes nobody fetch anything.
@lru_cache(maxsize=1)
def _picture_network(name: str) -> PictureEncoder:
    return picture_encoder(name, fetch=False)


@lru_cache(maxsize=1)
def _text_network(name: str) -> TextEncoder:
    return text_encoder(name, fetch=False)


def _same(modality: str, note: EncoderNote, encoder: Known) -> Known:
    """The encoder, if it makes vectors like the bundle's own. Raises DataError if not."""
    if fingerprint(encoder) == note.fingerprint:
        return encoder
    raise DataError(
        f"the bundle's {modality!r} vectors are by {note.encoder} of version {note.version} with weights or settings "
        f"(fingerprint {note.fingerprint[:12]}) that are not those of {encoder.name} here "
        f"({fingerprint(encoder)[:12]}); give vectors by it for new items, or encode and export again"
    )
