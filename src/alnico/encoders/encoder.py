"""What every encoder tells of itself, and what is done with it."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from alnico.data.features import EncoderNote

AUTO, LIGHT, NONE = "auto", "light", "none"
"""Choices that name no encoder: the best that is installed, the built-in one, no vectors at all."""

Progress = Callable[[int, int], None]
"""Told (done, total) from time to time."""

Watch = Callable[[str], AbstractContextManager[Progress]]
"""Opened with what is counted ("pictures", "texts"); gives the function to be told."""


@runtime_checkable
class Encoder(Protocol):
    """What identifies the vectors of an encoder.

    ``name`` is for people, ``version`` counts changes of the code that made other vectors; ``settings`` hold all else
    that the vectors depend on besides the content: digest of the weights, sizes. ``piecewise`` says that an item's
    vector depends on no other item.
    """

    name: str
    version: int
    settings: Mapping[str, Any]
    piecewise: bool


@runtime_checkable
class PictureEncoder(Encoder, Protocol):
    """Pictures to vectors in two steps: ``prepare`` one (several threads at a time), ``encode`` many.

    ``least`` is the shortest side, in pixels, below which a large picture need not be decoded; ``batch`` is
    how many prepared pictures go into one call.
    """

    least: int
    batch: int

    def prepare(self, picture: Image.Image) -> NDArray[Any]:
        """An upright RGB picture as the network takes it; the same shape for every picture."""
        ...

    def encode(self, prepared: NDArray[Any]) -> NDArray[np.float32]:
        """Vectors [pictures, width] of prepared pictures."""
        ...

    def settle(self, vectors: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The final vectors of all items; the same where the encoder is ``piecewise``."""
        ...


@runtime_checkable
class TextEncoder(Encoder, Protocol):
    """Texts to vectors; all texts at once where the encoder is not ``piecewise``."""

    def words(self, title: str, category: str, description: str) -> str:
        """The text of one item; empty where it has none."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors [texts, width]; all zero for an empty text."""
        ...


def fingerprint(encoder: Encoder) -> str:
    """A hash of the encoder and its settings: equal for vectors that may be compared."""
    told = json.dumps([encoder.name, encoder.version, dict(encoder.settings)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def note_of(encoder: Encoder) -> EncoderNote:
    """The encoder as it is told to those who get its vectors."""
    return EncoderNote(
        encoder=encoder.name,
        version=encoder.version,
        settings=dict(encoder.settings),
        fingerprint=fingerprint(encoder),
    )
