"""Losses as pure functions; each returns a scalar tensor."""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

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
    right: Float[Tensor, "candidates width"],
    temperature: float,
    *,
    own: Int[Tensor, " rows"] | None = None,
    both_ways: bool = False,
    cosine: bool = True,
    reduction: Literal["mean", "sum"] = "mean",
    block: int | None = None,
) -> Float[Tensor, ""]:
    """Mean (or sum) over rows of -log softmax of cos(left_r, right_r) / temperature among all right rows.

    ``own`` says which right row belongs to each left row; without it the two tables have equal rows. With
    ``both_ways`` the mean of that and of the same with left and right exchanged, from one table of cosines. Without
    ``cosine`` products of the rows as they are. With ``block`` that many left rows at a time, computed once more on the
    way back, so that memory is block x candidates; the value is the same.
    Source: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018.
    """
    if both_ways and (block is not None or own is not None):
        raise ValueError("both ways need one whole square table of cosines")
    if cosine:
        left, right = functional.normalize(left, dim=1), functional.normalize(right, dim=1)
    facing = right if own is None else right.index_select(0, own)
    if block is not None and len(left) > block:
        parts = [
            checkpoint(_surprise, some, right, same, temperature, use_reentrant=False)
            for some, same in zip(torch.split(left, block), torch.split(facing, block), strict=True)
        ]
        return _reduced(torch.cat(parts), reduction)
    logits = left @ right.T / temperature
    same = (left * facing).sum(1) / temperature
    forth = _reduced(logits.logsumexp(1) - same, reduction)
    return (forth + _reduced(logits.logsumexp(0) - same, reduction)) / 2 if both_ways else forth


def _surprise(
    left: Float[Tensor, "rows width"],
    right: Float[Tensor, "candidates width"],
    facing: Float[Tensor, "rows width"],
    temperature: float,
) -> Float[Tensor, " rows"]:
    return (left @ right.T / temperature).logsumexp(1) - (left * facing).sum(1) / temperature


def _reduced(values: Float[Tensor, " rows"], reduction: Literal["mean", "sum"]) -> Float[Tensor, ""]:
    return values.sum() if reduction == "sum" else batch_mean(values)


def moment_gap(left: Float[Tensor, "rows width"], right: Float[Tensor, "rows width"]) -> Float[Tensor, ""]:
    """|var(left) - var(right)| + |mean(left) - mean(right)|, each over all entries, variances unbiased.

    Source: the alignment terms of GUME (Lin et al., CIKM 2024) and MENTOR (Xu et al., AAAI 2025).
    """
    return (left.var() - right.var()).abs() + (left.mean() - right.mean()).abs()


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


def half_squared_l2(*tables: Float[Tensor, "batch width"], full_size: int) -> Float[Tensor, ""]:
    """Half the sum of squared entries divided by the configured batch size, for a short last batch too.

    Source: the regulariser of LATTICE, MGCN, SMORE and GUME, which they put on the final embeddings.
    """
    return torch.stack([table.pow(2).sum() for table in tables]).sum() / (2 * full_size)
