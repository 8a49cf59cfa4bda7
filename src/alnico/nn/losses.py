"""Losses as pure functions; each returns a scalar tensor."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from alnico.contracts import batch_mean


def bpr(
    positive: Float[Tensor, " batch"],
    negative: Float[Tensor, " batch"],
    weights: Float[Tensor, " batch"] | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, ""]:
    """-log sigmoid(positive - negative), averaged (or summed) over the batch.

    Implements: Eq. (27). Source: Rendle et al., BPR, UAI 2009.
    """
    losses = functional.softplus(negative - positive)
    if weights is not None:
        losses = losses * weights
    return losses.sum() if reduction == "sum" else batch_mean(losses)


def info_nce(
    left: Float[Tensor, "rows width"],
    right: Float[Tensor, "rows width"],
    temperature: float,
    *,
    both_ways: bool = False,
) -> Float[Tensor, ""]:
    """Mean over rows of -log softmax of cos(left_r, right_r) / temperature among all right rows.

    With ``both_ways`` the mean of that and of the same with left and right exchanged, from one table of cosines.
    """
    left, right = functional.normalize(left, dim=1), functional.normalize(right, dim=1)
    logits = left @ right.T / temperature
    own = (left * right).sum(1) / temperature
    forth = batch_mean(logits.logsumexp(1) - own)
    return (forth + batch_mean(logits.logsumexp(0) - own)) / 2 if both_ways else forth


def unsquared_l2(*tables: Float[Tensor, "batch width"]) -> Float[Tensor, ""]:
    """Sum of the Frobenius norms, NOT squared, divided by the number of rows of the last table.

    Source: the embedding loss of the MMRec toolkit, which published BPR and LightGCN figures rest on.
    """
    total = torch.stack([table.norm() for table in tables]).sum()
    return total / len(tables[-1])


def squared_l2(*tables: Float[Tensor, "batch width"]) -> Float[Tensor, ""]:
    """Sum of squared entries divided by the number of rows of the last table."""
    total = torch.stack([table.pow(2).sum() for table in tables]).sum()
    return total / len(tables[-1])
