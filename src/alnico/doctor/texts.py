"""Texts that say nearly the same, found without comparing all with all."""

import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from alnico.randomness import rng

NEAR_SHARE = 0.8
"""Share of words and pairs of words that near-duplicates have in common at least (Jaccard)."""

_BANDS, _ROWS = 20, 5
_AT_ONCE = 1024
_CROWD = 50

_WORD = re.compile(r"\w+")


def plain_text(text: str) -> str:
    """Words only, in lower case: texts that are equal so are duplicates."""
    return " ".join(_WORD.findall(text.casefold()))


def pieces(text: str) -> NDArray[np.uint32]:
    """Words and neighbouring pairs of words of a plain text, hashed, ascending, each once."""
    words = text.split(" ")
    told = [*words, *(f"{first} {second}" for first, second in pairwise(words))]
    return np.unique(np.fromiter((zlib.crc32(part.encode()) for part in told), np.uint32, len(told)))


def near_texts(texts: Sequence[str], share: float = NEAR_SHARE) -> NDArray[np.int64]:
    """Pairs [pairs, 2] of places in ``texts`` (plain, all different, none empty) that have ``share`` in common.

    Candidates are texts that agree in one of 20 bands of 5 minimal hashes, which misses fewer than one pair
    in a thousand at 0.8; each candidate is then compared truly. Source: Broder, On the Resemblance and
    Containment of Documents, 1997. In a crowd of texts with one band, each is compared with 50 others at most.
    """
    if not texts:
        return np.zeros((0, 2), np.int64)
    sets = [pieces(text) for text in texts]
    signatures = np.concatenate(list(_signatures(sets)))
    candidates: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        for crowd in _alike(signatures[:, band * _ROWS : (band + 1) * _ROWS]):
            candidates.update(_pairs(crowd))
    near = [pair for pair in sorted(candidates) if _in_common(sets[pair[0]], sets[pair[1]]) >= share]
    return np.array(near, np.int64).reshape(-1, 2)


def _alike(rows: NDArray[np.uint64]) -> Iterator[list[int]]:
    """The places of rows that are equal to another, crowd by crowd."""
    _, number, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(number, kind="stable")
    order = order[counts[number[order]] > 1]
    cuts = np.flatnonzero(np.diff(number[order])) + 1
    yield from (crowd.tolist() for crowd in np.split(order, cuts) if len(crowd))


def _pairs(crowd: Sequence[int]) -> Iterator[tuple[int, int]]:
    for start in range(0, len(crowd), _CROWD):
        yield from combinations(crowd[start : start + _CROWD], 2)


def _signatures(sets: Sequence[NDArray[np.uint32]]) -> Iterator[NDArray[np.uint64]]:
    """Of each set the smallest value under each of the hash functions, [sets, functions] at a time."""
    random = rng(0, "minimal hashes")
    # Products wrap around 2**64; their upper halves are in another order for every odd factor.
    factors = random.integers(0, 2**63, _BANDS * _ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    shifts = random.integers(0, 2**63, _BANDS * _ROWS, dtype=np.uint64)
    for start in range(0, len(sets), _AT_ONCE):
        group = sets[start : start + _AT_ONCE]
        starts = np.cumsum([0, *(len(one) for one in group[:-1])])
        values = np.concatenate(group).astype(np.uint64)
        lowest = [
            np.minimum.reduceat((values * factor + shift) >> np.uint64(32), starts)
            for factor, shift in zip(factors, shifts, strict=True)
        ]
        yield np.stack(lowest, axis=1)


def _in_common(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (len(one) + len(other) - both)
