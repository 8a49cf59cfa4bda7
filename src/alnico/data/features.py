"""What items look, read and sound like: one table of vectors per modality."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from alnico.data.interactions import frozen
from alnico.errors import DataError


class EncoderNote(BaseModel, frozen=True, extra="forbid"):
    """What made a modality's vectors; ``settings`` hold all they depend on besides the content, weights as a digest.

    Vectors may be compared where fingerprints, hashes of everything else here, are equal.
    """

    encoder: str
    version: int
    settings: dict[str, Any]
    fingerprint: str


class Encoding(EncoderNote, frozen=True, extra="forbid"):
    """How the vectors of a file were made, with their hash; ``file`` is where they lay when they were imported."""

    vectors_sha256: str
    file: str


@dataclass(frozen=True, eq=False)
class Modality:
    """Vectors of one kind: ``vectors[i]`` belongs to item i where ``present[i]`` holds.

    Absence is the mask; the vectors of absent items are zero and are never read as data. ``encoding`` says
    how they were made, None where nobody said so.
    """

    vectors: NDArray[np.float32]
    present: NDArray[np.bool_]
    encoding: Encoding | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.present.shape != (len(self.vectors),):
            raise DataError(
                f"features must be a table [items, width] with one presence flag per row; "
                f"found {self.vectors.shape} and {self.present.shape}"
            )
        # A memory-mapped table stays where it is; only one that others could change is copied.
        vectors = self.vectors
        if vectors.dtype != np.float32 or vectors.flags.writeable:
            vectors = frozen(vectors, np.float32)
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "present", frozen(self.present, np.bool_))

    @property
    def width(self) -> int:
        """Numbers per item."""
        return int(self.vectors.shape[1])


@dataclass(frozen=True, eq=False)
class ItemFeatures(Mapping[str, Modality]):
    """Modalities by name, in a fixed order; rows aligned with item numbers.

    The order matters to models that have a first content modality (MAGNET's complementary templates).
    Values are taken as they are: readers of raw files refuse what is not finite.
    Raises DataError if a table's rows do not match ``n_items``.
    """

    n_items: int
    modalities: Mapping[str, Modality] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, modality in self.modalities.items():
            if len(modality.vectors) != self.n_items:
                raise DataError(
                    f"features {name!r} have {len(modality.vectors)} rows but there are {self.n_items} items; "
                    "rows must match items one to one"
                )
        object.__setattr__(self, "modalities", dict(self.modalities))

    def __getitem__(self, name: str) -> Modality:
        return self.modalities[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.modalities)

    def __len__(self) -> int:
        return len(self.modalities)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities in order."""
        return tuple(self.modalities)

    def only(self, *names: str) -> "ItemFeatures":
        """These modalities, in this order. Raises DataError for an unknown name."""
        for name in names:
            if name not in self.modalities:
                raise DataError(
                    f"there is no modality {name!r}; found {', '.join(self.modalities) or 'none'}"
                )
        return ItemFeatures(self.n_items, {name: self.modalities[name] for name in names})

    def rows(self, items: NDArray[np.int64]) -> "ItemFeatures":
        """The features of these items, renumbered in the order given."""
        chosen = {
            name: Modality(modality.vectors[items], modality.present[items], modality.encoding)
            for name, modality in self.modalities.items()
        }
        return ItemFeatures(len(items), chosen)
