"""Lists of the nearest that grow as blocks of a symmetric table of scores come in.

The table is never held whole, and of each pair of mirrored blocks only one is needed: it feeds the lists of its rows
and those of its columns.
"""

from typing import no_type_check

import numba
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from alnico.kernels.threads import follow_torch

CHUNK = 64
TILE = 256


@numba.njit(cache=True, nogil=True)
@no_type_check
def _insert(listed, best, other, score):
    # Others come in ascending order: an equal score never displaces an earlier one.
    place = listed.shape[0] - 1
    while place > 0 and score > best[place - 1]:
        best[place] = best[place - 1]
        listed[place] = listed[place - 1]
        place -= 1
    best[place] = score
    listed[place] = other


@numba.njit(cache=True, nogil=True)
@no_type_check
def _any_above(scores, floors):
    # Slices and plain counting, or the loop does not become vector instructions (thirteen times slower).
    above = False
    for place in range(scores.shape[0]):
        above |= scores[place] > floors[place]
    return above


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _feed_rows(scores, first_row, first_column, items, values):
    last = items.shape[1] - 1
    for row in numba.prange(scores.shape[0]):
        line, listed, best = scores[row], items[first_row + row], values[first_row + row]
        floors = np.full(CHUNK, best[last], np.float32)
        for start in range(0, scores.shape[1], CHUNK):
            # Hardly any score enters a list that has seen some thousand: a whole chunk is dismissed at once.
            chunk = line[start : start + CHUNK]
            if _any_above(chunk, floors):
                for place in range(chunk.shape[0]):
                    if chunk[place] > best[last]:
                        _insert(listed, best, first_column + start + place, chunk[place])
                floors[:] = best[last]


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _feed_columns(scores, first_row, first_column, items, values):
    last = items.shape[1] - 1
    for tile in numba.prange((scores.shape[1] + TILE - 1) // TILE):
        left = tile * TILE
        listed = items[first_column + left : first_column + min(left + TILE, scores.shape[1])]
        best = values[first_column + left : first_column + min(left + TILE, scores.shape[1])]
        floors = best[:, last].copy()
        for row in range(scores.shape[0]):
            line = scores[row, left : left + TILE]
            for start in range(0, line.shape[0], CHUNK):
                chunk = line[start : start + CHUNK]
                if _any_above(chunk, floors[start : start + CHUNK]):
                    for place in range(chunk.shape[0]):
                        column = start + place
                        if chunk[place] > floors[column]:
                            _insert(listed[column], best[column], first_row + row, chunk[place])
                            floors[column] = best[column, last]


def feed_lists(
    scores: Float[Tensor, "rows columns"],
    first_row: int,
    first_column: int,
    items: Int[np.ndarray, "all places"],
    values: Float[np.ndarray, "all places"],
) -> None:
    """Let one block of a symmetric table of scores, on or above its diagonal, into the lists of its rows and columns.

    The block begins at row ``first_row`` and column ``first_column``. Lists hold the best first, ties in ascending
    order of the other's number; they start as -1 with -inf. Blocks must come by ascending row, then column.
    """
    block = scores.numpy()
    follow_torch()
    _feed_rows(block, first_row, first_column, items, values)
    if first_row != first_column:
        _feed_columns(block, first_row, first_column, items, values)


def feed_row_lists(
    scores: Float[Tensor, "rows columns"],
    first_row: int,
    first_column: int,
    items: Int[np.ndarray, "all places"],
    values: Float[np.ndarray, "all places"],
) -> None:
    """Let one block of any table of scores into the lists of its rows alone.

    As ``feed_lists``, but the blocks of a row must come by ascending column only.
    """
    follow_torch()
    _feed_rows(scores.numpy(), first_row, first_column, items, values)


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _spread(classes, scores, list_of, selves, starts, members, items, values):
    k = items.shape[1]
    for row in numba.prange(items.shape[0]):
        listed, best, found = items[row], values[row], 0
        for place in range(classes.shape[1]):
            like, score = classes[list_of[row], place], scores[list_of[row], place]
            if like < 0 or (found == k and score < best[k - 1]):
                break
            for entry in range(starts[like], starts[like + 1]):
                member = members[entry]
                if member == selves[row]:
                    continue
                if found == k:
                    if score < best[k - 1] or member > listed[k - 1]:
                        break
                    found -= 1
                at = found
                while at > 0 and best[at - 1] == score and listed[at - 1] > member:
                    listed[at] = listed[at - 1]
                    at -= 1
                listed[at] = member
                best[found] = score
                found += 1


def spread_lists(
    classes: Int[np.ndarray, "lists places"],
    scores: Float[np.ndarray, "lists places"],
    list_of: NDArray[np.int64],
    selves: NDArray[np.int64],
    class_of: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Lists of members from lists of classes: of each class all its members, equal scores by ascending member.

    Row r of the answer comes from list ``list_of[r]`` and leaves out the member ``selves[r]``; member j belongs to
    class ``class_of[j]``. Lists are best first, -1 fills them. k places are right if a list has k + 1 classes (or
    all), equal scores by ascending first member. Shapes: both [rows, k]; -1 with score 0 fills short lists.
    """
    members = np.argsort(class_of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(class_of))])
    items = np.full((len(list_of), k), -1, np.int32)
    values = np.zeros((len(list_of), k), np.float32)
    follow_torch()
    _spread(classes, scores, list_of, selves, starts, members, items, values)
    return items, values
