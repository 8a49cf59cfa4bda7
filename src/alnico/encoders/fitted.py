"""The light encoders as they were fitted to a catalogue, for what comes later.

Both make vectors comparable within one catalogue: pictures are centred and balanced, words weighed and reduced, by what
the catalogue holds. New items need the same numbers, not a fit of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfTransformer

from alnico.data.features import Modality
from alnico.encoders.images import BLOCKS, IMAGE_WIDTH, LEAST_SIZE, ColourGradient, root_mean_square
from alnico.encoders.reading import decoders, read_block
from alnico.encoders.scaling import Floats, centred_rows, unit_rows
from alnico.encoders.texts import TEXT_WIDTH, reduced, word_counts
from alnico.errors import DataError

Arrays = Mapping[str, NDArray[np.generic]]
ALIKE = 0.999
"""Least cosine between a stored vector and the one made again, for a fit to count as the one that made them."""


@dataclass(frozen=True, eq=False)
class FittedImages:
    """``images.ColourGradient`` with a catalogue's means and sizes. Shapes: centre [IMAGE_WIDTH], sizes [blocks]."""

    centre: NDArray[np.float64]
    sizes: NDArray[np.float64]

    @classmethod
    def of(cls, paths: Sequence[Path | None]) -> Self:
        """The fit to the pictures of a catalogue; those that cannot be read are left out."""
        descriptions = _descriptions(paths)[0]
        if not len(descriptions):
            return cls(np.zeros(IMAGE_WIDTH), np.zeros(len(BLOCKS)))
        centred = centred_rows(descriptions)
        return cls(
            (descriptions - centred).mean(axis=0, dtype=np.float64),
            np.array([root_mean_square(centred[:, block]) for block in _blocks()]),
        )

    def encode(self, paths: Sequence[Path | None]) -> Modality:
        """Vectors of these pictures in the catalogue's terms; absent where there is none that can be read."""
        descriptions, rows = _descriptions(paths)
        balanced = np.zeros(descriptions.shape)
        for block, size, (_, weight) in zip(_blocks(), self.sizes, BLOCKS, strict=True):
            if size > LEAST_SIZE:
                balanced[:, block] = weight * (descriptions[:, block] - self.centre[block]) / size
        vectors = np.zeros((len(paths), IMAGE_WIDTH), np.float32)
        vectors[rows] = unit_rows(balanced)
        return _where_there_are_numbers(vectors)

    def arrays(self) -> Arrays:
        """By name, for storing."""
        return {"centre": self.centre, "sizes": self.sizes}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """What ``arrays`` described."""
        return cls(np.asarray(arrays["centre"], np.float64), np.asarray(arrays["sizes"], np.float64))


@dataclass(frozen=True, eq=False)
class FittedTexts:
    """``texts.encode_texts`` with a catalogue's words, weights and axes.

    Shapes: buckets, weights [words]; axes [words, width]; centre [width].
    """

    buckets: NDArray[np.int64]
    weights: NDArray[np.float64]
    axes: NDArray[np.float64]
    centre: NDArray[np.float64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """The fit to the texts of a catalogue. Raises DataError if none has a word."""
        counts = word_counts(texts)
        present = np.diff(counts.indptr) > 0
        if not present.any():
            raise DataError("the texts of the catalogue hold no words")
        buckets = np.unique(counts.indices)
        used = counts[present][:, buckets]
        transformer = TfidfTransformer(sublinear_tf=True).fit(used)
        weighed = transformer.transform(used)
        table_width = min(TEXT_WIDTH, int(present.sum()))
        width = min(table_width, weighed.shape[1])
        rows = reduced(weighed, width)
        # Rows are left vectors times strengths; the axes are what leads a row of words there.
        strengths = (rows**2).sum(axis=0)
        whole = weighed.shape[1] <= width
        axes = np.eye(width) if whole else (weighed.T @ rows) / np.maximum(strengths, 1e-12)
        centre = (rows - centred_rows(rows)).mean(axis=0)
        # Few words fill the first columns of a table that is as wide as there are texts.
        short = table_width - width
        axes, centre = np.pad(axes, ((0, 0), (0, short))), np.pad(centre, (0, short))
        return cls(buckets.astype(np.int64), transformer.idf_, axes, centre)

    def encode(self, texts: Sequence[str]) -> Modality:
        """Vectors of these texts in the catalogue's terms; absent where no word is known."""
        counts: csr_matrix = word_counts(texts)[:, self.buckets]
        counts = counts.astype(np.float64)
        counts.data = 1 + np.log(counts.data)
        weighed = unit_rows(counts.multiply(self.weights).toarray())
        present = weighed.any(axis=1)
        vectors = np.zeros((len(texts), self.axes.shape[1]), np.float32)
        vectors[present] = unit_rows(weighed[present] @ self.axes - self.centre)
        return _where_there_are_numbers(vectors)

    def arrays(self) -> Arrays:
        """By name, for storing."""
        return {
            "buckets": self.buckets,
            "weights": self.weights,
            "axes": self.axes.astype(np.float32),
            "centre": self.centre,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """What ``arrays`` described."""
        return cls(
            np.asarray(arrays["buckets"], np.int64),
            np.asarray(arrays["weights"], np.float64),
            np.asarray(arrays["axes"], np.float64),
            np.asarray(arrays["centre"], np.float64),
        )


def _where_there_are_numbers(vectors: NDArray[np.float32]) -> Modality:
    return Modality(vectors, np.asarray(vectors.any(axis=1)))


def same_directions(stored: Modality, again: Modality) -> bool:
    """Whether two tables describe the same items, each by a vector of the same direction but for rounding."""
    if stored.width != again.width or not np.array_equal(stored.present, again.present):
        return False
    known = stored.present
    cosines = (unit_rows(stored.vectors[known]) * again.vectors[known]).sum(axis=1)
    return bool((cosines >= ALIKE).all())


def _blocks() -> list[slice]:
    ends = np.cumsum([width for width, _ in BLOCKS]).tolist()
    return [slice(end - width, end) for end, (width, _) in zip(ends, BLOCKS, strict=True)]


def _descriptions(paths: Sequence[Path | None]) -> tuple[Floats, NDArray[np.int64]]:
    """Raw descriptions of the pictures that can be read, and their rows."""
    with decoders() as pool:
        described = read_block(paths, ColourGradient(), pool).vectors
    rows = np.flatnonzero(described.any(axis=1))
    return described[rows] if len(rows) else np.zeros((0, IMAGE_WIDTH), np.float32), rows
