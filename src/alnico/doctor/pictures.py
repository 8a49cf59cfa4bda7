"""What pictures look like in 64 bits: the same picture is found again after resizing and compressing."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from alnico.encoders.blocks import Unreadable
from alnico.encoders.encoder import Progress
from alnico.encoders.pictures import decode
from alnico.encoders.reading import decoders
from alnico.errors import DataError

NEAR_BITS = 4
"""Bits of 64 in which the prints of near-duplicates differ at most; unrelated ones differ in about 32."""

_SIDE, _KEPT = 32, 8
_FLAT = 2.0
_AT_ONCE = 256
_BLOCK = 2048


@dataclass(frozen=True, eq=False)
class Prints:
    """Per item the print of its picture; ``known`` says where there is one.

    ``flat`` pictures show one colour only: their prints would mean nothing. ``files`` number equal files
    alike, -1 without a readable file.
    """

    bits: NDArray[np.uint64]
    known: NDArray[np.bool_]
    flat: NDArray[np.bool_]
    files: NDArray[np.int64]
    unreadable: tuple[Unreadable, ...]


def print_pictures(paths: Sequence[Path | None], tell: Progress) -> Prints:
    """Prints of these pictures; what cannot be read is listed.

    A print says where the 8 x 8 slowest waves of the grey picture lie above their median, as in the DCT hash
    of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010.
    """
    n = len(paths)
    bits, files = np.zeros(n, np.uint64), np.full(n, -1, np.int64)
    known, flat = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    numbers: dict[bytes, int] = {}
    unreadable: list[Unreadable] = []
    named = [(row, path) for row, path in enumerate(paths) if path is not None]
    with decoders() as pool:
        for start in range(0, len(named), _AT_ONCE):
            waiting: list[tuple[int, Path, Future[tuple[NDArray[np.uint8], bytes]]]] = [
                (row, path, pool.submit(_look, path)) for row, path in named[start : start + _AT_ONCE]
            ]
            rows, greys = [], []
            for row, path, future in waiting:
                try:
                    grey, digest = future.result()
                except DataError as error:
                    unreadable.append(Unreadable(row, str(path), str(error).removeprefix(f"{path}: ")))
                    continue
                rows.append(row)
                greys.append(grey)
                files[row] = numbers.setdefault(digest, len(numbers))
            if rows:
                stack = np.stack(greys).astype(np.float32)
                flat[rows] = stack.std(axis=(1, 2)) < _FLAT
                bits[rows] = wave_bits(stack)
                known[rows] = ~flat[rows]
            tell(min(start + _AT_ONCE, len(named)), len(named))
    return Prints(bits, known, flat, files, tuple(unreadable))


def wave_bits(greys: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The prints of grey pictures [n, 32, 32]."""
    waves = dctn(greys, axes=(1, 2), norm="ortho")[:, :_KEPT, :_KEPT].reshape(len(greys), -1)
    # The first wave is the mean brightness, which says nothing of what is shown.
    above = waves > np.median(waves[:, 1:], axis=1, keepdims=True)
    above[:, 0] = False
    packed = np.packbits(above, axis=1)
    prints: NDArray[np.uint64] = np.ascontiguousarray(packed).view(np.uint64).ravel()
    return prints


def near_prints(prints: NDArray[np.uint64], bits: int = NEAR_BITS) -> NDArray[np.int64]:
    """Pairs [pairs, 2] of places in ``prints`` (all different) that differ in at most ``bits`` bits; in blocks."""
    found = [np.zeros((0, 2), np.int64)]
    for top in range(0, len(prints), _BLOCK):
        for left in range(top, len(prints), _BLOCK):
            differ = prints[top : top + _BLOCK, None] ^ prints[None, left : left + _BLOCK]
            rows, columns = np.nonzero(np.bitwise_count(differ) <= bits)
            pairs = np.stack([rows + top, columns + left], axis=1)
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found)


def _look(path: Path) -> tuple[NDArray[np.uint8], bytes]:
    grey = decode(path, _grey, _SIDE)
    with path.open("rb") as file:
        return grey, hashlib.file_digest(file, "sha256").digest()


def _grey(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.uint8)
