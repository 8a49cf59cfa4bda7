"""Scores of a sparse mixture of experts for blocks of users over all items.

The routing depends on the pair: each pair keeps its k experts of largest logit and mixes their scores by a softmax
over those k. Expert scores come from matrix products; what is left per pair is choosing and mixing.
"""

from typing import no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from alnico.kernels.threads import follow_torch

USER_BLOCK = 32


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "nsz"})
@no_type_check
def _mix(expert_scores, user_logits, item_logits, k, out):
    n_experts, n_users, n_items = expert_scores.shape
    for user in numba.prange(n_users):
        logits = np.empty(n_experts, np.float32)
        for item in range(n_items):
            for expert in range(n_experts):
                logits[expert] = user_logits[user, expert] + item_logits[item, expert]
            highest = np.float32(0)
            weight_sum = np.float32(0)
            total = np.float32(0)
            for turn in range(k):
                best = 0
                for expert in range(1, n_experts):
                    # Strictly greater: ties go to the lower expert.
                    if logits[expert] > logits[best]:
                        best = expert
                if turn == 0:
                    highest = logits[best]
                weight = np.exp(logits[best] - highest)
                weight_sum += weight
                total += weight * expert_scores[best, user, item]
                logits[best] = -np.inf
            out[user, item] = total / weight_sum


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"contract", "nsz", "reassoc"})
@no_type_check
def _mix_concat(users, items, readout, user_logits, item_logits, k, out):
    n_experts, n_users, width = users.shape
    for user in numba.prange(n_users):
        logits = np.empty(n_experts, np.float32)
        for item in range(items.shape[1]):
            for expert in range(n_experts):
                logits[expert] = user_logits[user, expert] + item_logits[item, expert]
            highest = np.float32(0)
            weight_sum = np.float32(0)
            total = np.float32(0)
            for turn in range(k):
                best = 0
                for expert in range(1, n_experts):
                    if logits[expert] > logits[best]:
                        best = expert
                if turn == 0:
                    highest = logits[best]
                weight = np.exp(logits[best] - highest)
                score = np.float32(0)
                for axis in range(width):
                    score += readout[axis] * max(
                        users[best, user, axis] + items[best, item, axis], np.float32(0)
                    )
                weight_sum += weight
                total += weight * score
                logits[best] = -np.inf
            out[user, item] = total / weight_sum


def routed_scores(
    users: Float[Tensor, "experts batch width"],
    items: Float[Tensor, "experts items width"],
    user_logits: Float[Tensor, "batch experts"],
    item_logits: Float[Tensor, "items experts"],
    k: int,
) -> Float[Tensor, "batch items"]:
    """Mixed scores where expert e scores a pair by <users_e, items_e> and logits are a user plus an item part."""
    if users.is_cuda:
        return _blocks(users, items, user_logits, item_logits, k, None)
    out = torch.empty((users.shape[1], items.shape[1]))
    transposed = items.transpose(1, 2)
    follow_torch()
    for start in range(0, users.shape[1], USER_BLOCK):
        block = slice(start, start + USER_BLOCK)
        expert_scores = torch.bmm(users[:, block], transposed)
        _mix(
            expert_scores.numpy(),
            user_logits[block].contiguous().numpy(),
            item_logits.contiguous().numpy(),
            k,
            out[block].numpy(),
        )
    return out


def routed_concat_scores(
    users: Float[Tensor, "experts batch width"],
    items: Float[Tensor, "experts items width"],
    readout: Float[Tensor, " width"],
    user_logits: Float[Tensor, "batch experts"],
    item_logits: Float[Tensor, "items experts"],
    k: int,
) -> Float[Tensor, "batch items"]:
    """Mixed scores where expert e scores a pair by <readout, relu(users_e + items_e)>."""
    if users.is_cuda:
        return _blocks(users, items, user_logits, item_logits, k, readout)
    out = torch.empty((users.shape[1], items.shape[1]))
    follow_torch()
    _mix_concat(
        users.contiguous().numpy(),
        items.contiguous().numpy(),
        readout.numpy(),
        user_logits.contiguous().numpy(),
        item_logits.contiguous().numpy(),
        k,
        out.numpy(),
    )
    return out


def routed_scores_reference(
    users: Float[Tensor, "experts batch width"],
    items: Float[Tensor, "experts items width"],
    logits: Float[Tensor, "batch items experts"],
    k: int,
    readout: Float[Tensor, " width"] | None = None,
) -> Float[Tensor, "batch items"]:
    """The same from whole logits, in plain torch: one value per user, item and expert is formed."""
    if readout is None:
        expert_scores = torch.bmm(users, items.transpose(1, 2)).permute(1, 2, 0)
    else:
        summed = functional.relu(users[:, :, None, :] + items[:, None, :, :])
        expert_scores = (summed @ readout).permute(1, 2, 0)
    order = logits.sort(dim=2, descending=True, stable=True).indices[:, :, :k]
    gate = logits.gather(2, order).softmax(2)
    return (gate * expert_scores.gather(2, order)).sum(2)


def _blocks(
    users: Tensor, items: Tensor, user_logits: Tensor, item_logits: Tensor, k: int, readout: Tensor | None
) -> Tensor:
    per_user = items.shape[0] * items.shape[1] * (1 if readout is None else items.shape[2])
    step = max(1, 2**27 // per_user)
    parts = []
    for start in range(0, users.shape[1], step):
        block = slice(start, start + step)
        logits = user_logits[block][:, None, :] + item_logits
        parts.append(routed_scores_reference(users[:, block], items, logits, k, readout))
    return torch.cat(parts)
