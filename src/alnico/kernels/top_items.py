"""The best items of each row of scores, seen items left out, ties to the smaller item number."""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from alnico.errors import ConfigError
from alnico.kernels.place import by_torch
from alnico.kernels.threads import follow_torch


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _top_items(scores, offsets, seen, k, items, values):
    for row in numba.prange(scores.shape[0]):
        found = 0
        cursor, end = offsets[row], offsets[row + 1]
        for item in range(scores.shape[1]):
            if cursor < end and seen[cursor] == item:
                cursor += 1
                continue
            score = scores[row, item]
            # Items come in ascending order: an equal score never displaces an earlier item.
            if found == k and not score > values[row, k - 1]:
                continue
            place = found if found < k else k - 1
            while place > 0 and score > values[row, place - 1]:
                values[row, place] = values[row, place - 1]
                items[row, place] = items[row, place - 1]
                place -= 1
            values[row, place] = score
            items[row, place] = item
            if found < k:
                found += 1


def top_items(
    scores: Float[Tensor, "rows items"],
    seen_offsets: NDArray[np.int64],
    seen_items: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Item numbers and scores of the k best of each row, best first; -1 and -inf fill short lists.

    Row r must not list ``seen_items[seen_offsets[r]:seen_offsets[r + 1]]`` (ascending).
    Raises ConfigError if k is below 1.
    """
    if k < 1:
        raise ConfigError(f"a list needs at least one place; found k = {k}")
    if by_torch(scores):
        return top_items_reference(scores, seen_offsets, seen_items, k)
    table = np.ascontiguousarray(scores.detach().numpy().astype(np.float32, copy=False))
    items = np.full((len(table), k), -1, np.int64)
    values = np.full((len(table), k), -np.inf, np.float32)
    follow_torch()
    _top_items(table, seen_offsets, seen_items, k, items, values)
    return items, values


def top_items_reference(
    scores: Float[Tensor, "rows items"],
    seen_offsets: NDArray[np.int64],
    seen_items: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The same through a stable sort; runs on any device."""
    rows = np.repeat(np.arange(len(seen_offsets) - 1), np.diff(seen_offsets))
    masked = scores.detach().float().clone()
    masked[torch.from_numpy(rows), torch.from_numpy(np.array(seen_items))] = -torch.inf
    values, items = torch.sort(masked, dim=1, descending=True, stable=True)
    width = min(k, scores.shape[1])
    best, listed = values[:, :width].cpu().numpy(), items[:, :width].cpu().numpy()
    full_items = np.full((len(best), k), -1, np.int64)
    full_values = np.full((len(best), k), -np.inf, np.float32)
    full_items[:, :width] = np.where(np.isneginf(best), -1, listed)
    full_values[:, :width] = best
    return full_items, full_values
