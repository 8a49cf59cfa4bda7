"""Encoding in blocks of rows, each on disk as soon as it is done: a run that was cut off goes on."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from alnico.encoders.encoder import Progress
from alnico.errors import StorageError
from alnico.storage import read_tensors, write_tensors

ROWS = 512
"""Items per block: what a killed run loses at most."""


@dataclass(frozen=True)
class Unreadable:
    """A picture that was named but could not be read."""

    row: int
    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class Block:
    """Vectors of ROWS items or fewer, all zero where there is no content; and what could not be read."""

    vectors: NDArray[np.float32]
    unreadable: tuple[Unreadable, ...] = ()


@dataclass(frozen=True, eq=False)
class Blocks:
    """The finished blocks of one modality under one folder.

    A block is named by the encoder and by the content it was made from, so that only what would come out the
    same is taken up again.
    """

    folder: Path
    fingerprint: str

    def find(self, source: Sequence[str]) -> Block | None:
        """The block made of this content, or None if there is none or it is damaged."""
        try:
            tensors, notes = read_tensors(self._file(source))
        except StorageError:
            return None
        return Block(tensors["vectors"].numpy(), tuple(Unreadable(**bad) for bad in notes["unreadable"]))

    def keep(self, source: Sequence[str], block: Block) -> None:
        """Put a block on disk. Raises StorageError if that fails."""
        write_tensors(
            self._file(source),
            {"vectors": torch.from_numpy(block.vectors)},
            {"unreadable": [vars(bad) for bad in block.unreadable]},
        )

    def drop(self) -> None:
        """Remove all blocks."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, source: Sequence[str]) -> Path:
        told = json.dumps([self.fingerprint, list(source)])
        return self.folder / f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.safetensors"


Make = Callable[[slice, Callable[[int], None]], Block]


@dataclass(eq=False)
class Tally:
    """Rows with content: how many there are, were taken from blocks, and were encoded now."""

    total: int
    resumed: int = 0
    encoded: int = 0

    @property
    def done(self) -> int:
        """Rows that are finished."""
        return self.resumed + self.encoded


def encode_in_blocks(
    sources: Sequence[str], make: Make, kept: Blocks, tally: Tally, tell: Progress
) -> Iterator[Block]:
    """The blocks in order, made or taken up.

    ``sources`` say per row what its vector is made from, empty where there is nothing; ``make`` encodes a
    range of rows and tells how many of them with content are done.
    """
    for start in range(0, len(sources), ROWS):
        rows = slice(start, min(start + ROWS, len(sources)))
        told = [f"{start}", *sources[rows]]
        filled = sum(map(bool, sources[rows]))
        block = kept.find(told)
        if block is None:
            block = make(rows, partial(_tell_all, tell, tally))
            kept.keep(told, block)
            tally.encoded += filled
        else:
            tally.resumed += filled
            tell(tally.done, tally.total)
        yield block


def _tell_all(tell: Progress, tally: Tally, done: int) -> None:
    tell(tally.done + done, tally.total)
