"""Picture files to vectors: threads decode ahead while the encoder works."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alnico.encoders.blocks import Block, Unreadable
from alnico.encoders.encoder import PictureEncoder
from alnico.encoders.pictures import decode, strict_about_size
from alnico.errors import DataError

_AHEAD = 2
"""Batches decoded ahead; more would only take memory."""

_Rows = list[tuple[int, Path, "Future[NDArray[Any]]"]]


@contextmanager
def decoders() -> Iterator[ThreadPoolExecutor]:
    """Threads to decode pictures, one per core. Pillow lets go of the interpreter while it works."""
    with strict_about_size(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        yield pool


def read_block(
    paths: Sequence[Path | None],
    encoder: PictureEncoder,
    pool: ThreadPoolExecutor,
    tell: Callable[[int], None] = lambda done: None,
) -> Block:
    """Vectors of these pictures, one row per path; zero where there is none or it cannot be read.

    ``pool`` comes from ``decoders``; ``tell`` is told how many named pictures are done. At most three batches
    of decoded pictures are in memory.
    """
    named = [(row, path) for row, path in enumerate(paths) if path is not None]
    waiting: deque[_Rows] = deque()
    found: list[tuple[list[int], NDArray[np.float32]]] = []
    unreadable: list[Unreadable] = []
    done = 0
    # The last rounds start nothing new; they take what is waiting.
    for start in range(0, len(named) + _AHEAD * encoder.batch, encoder.batch):
        waiting.append(
            [
                (row, path, pool.submit(decode, path, encoder.prepare, encoder.least))
                for row, path in named[start : start + encoder.batch]
            ]
        )
        if len(waiting) > _AHEAD:
            batch = waiting.popleft()
            rows, prepared = _decoded(batch, unreadable)
            if rows:
                found.append((rows, encoder.encode(np.stack(prepared))))
            done += len(batch)
            if batch:
                tell(done)
    return Block(_table(len(paths), found), tuple(unreadable))


def _decoded(batch: _Rows, unreadable: list[Unreadable]) -> tuple[list[int], list[NDArray[Any]]]:
    """Rows and pixels of the pictures of a batch that can be read; the others join ``unreadable``."""
    rows, prepared = [], []
    for row, path, future in batch:
        try:
            prepared.append(future.result())
            rows.append(row)
        except DataError as error:
            unreadable.append(Unreadable(row, str(path), str(error).removeprefix(f"{path}: ")))
    return rows, prepared


def _table(n: int, found: Sequence[tuple[list[int], NDArray[np.float32]]]) -> NDArray[np.float32]:
    """Vectors in their rows; of width 0 where there is none at all."""
    vectors = np.zeros((n, found[0][1].shape[1] if found else 0), np.float32)
    for rows, part in found:
        vectors[rows] = part
    return vectors
