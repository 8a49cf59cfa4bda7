"""Losses as pure functions; each returns a scalar tensor."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
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
    right: Float[Tensor, "candidates width"],
    temperature: float,
    *,
    own: Int[Tensor, " rows"] | None = None,
    both_ways: bool = False,
    cosine: bool = True,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, ""]:
    """Mean (or sum) over rows of -log softmax of cos(left_r, right_r) / temperature among all right rows.

    ``own`` says which right row belongs to each left row; without it the two tables have equal rows. With
    ``both_ways`` the mean of that and of the same with left and right exchanged. Without ``cosine`` products of the
    rows as they are. Memory is that of the two tables and of a block of products, with ``both_ways`` and a temperature
    of .05 or more one whole table of them.
    Source: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018.
    """
    if cosine:
        left, right = functional.normalize(left, dim=1), functional.normalize(right, dim=1)
    left = left / temperature
    facing = right if own is None else right.index_select(0, own)
    same = (left * facing).sum()
    if not both_ways:
        total = _sum_of_logs(left, right) - same
    elif own is not None:
        raise ValueError("both ways need rows that face each other one by one")
    elif cosine and temperature >= _LEAST_SAFE:
        # Cosines lie within 1 / temperature of 0: their exponentials below it neither vanish nor overflow.
        both: Tensor = _SumOfLogsBothWays.apply(left, right, 1 / temperature)  # type: ignore[no-untyped-call]
        total = both / 2 - same
    else:
        total = (_sum_of_logs(left, right) + _sum_of_logs(right, left)) / 2 - same
    return total if reduction == "sum" else total / len(left)


_LEAST_SAFE = 0.05
_BLOCK = 2**20
"""Numbers worked on at a time: 4 MB, which the processor's cache holds."""


def _sum_of_logs(
    left: Float[Tensor, "rows width"], right: Float[Tensor, "candidates width"]
) -> Float[Tensor, ""]:
    result: Tensor = _SumOfLogs.apply(left, right)  # type: ignore[no-untyped-call]
    return result


class _SumOfLogs(torch.autograd.Function):
    """Sum over left rows of log sum exp of their products with all right rows.

    The loss is a scalar, so the gradient is known up to a factor as soon as a block of products is there: it is formed
    then, and no product is kept or computed twice.
    """

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        wanted = ctx.needs_input_grad
        to_left = torch.empty_like(left) if wanted[0] else None
        to_right = torch.zeros_like(right) if wanted[1] else None
        total = left.new_zeros(())
        step = max(1, _BLOCK // max(1, len(right)))
        for start in range(0, len(left), step):
            some = left[start : start + step]
            table = some @ right.T
            highest = table.amax(1, keepdim=True)
            sums = table.sub_(highest).exp_().sum(1, keepdim=True)
            total += (sums.log() + highest).sum()
            if to_left is not None or to_right is not None:
                table /= sums
            if to_left is not None:
                torch.mm(table, right, out=to_left[start : start + step])
            if to_right is not None:
                to_right.addmm_(table.T, some)
        ctx.save_for_backward(to_left, to_right)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return tuple(None if table is None else gradients[0] * table for table in ctx.saved_tensors)


class _SumOfLogsBothWays(torch.autograd.Function):
    """Sum over rows and over columns of log sum exp of the products of two tables, from one table of products.

    No product is above ``highest`` nor below its negative.
    """

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, highest: float) -> Tensor:
        table = (left @ right.T).sub_(highest).exp_()
        by_row, by_column = table.sum(1), table.sum(0)
        total = by_row.log().sum() + by_column.log().sum() + highest * (len(left) + len(right))
        if any(ctx.needs_input_grad):
            table *= by_row.reciprocal()[:, None] + by_column.reciprocal()
            ctx.save_for_backward(table @ right, table.T @ left)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        to_left, to_right = ctx.saved_tensors
        return gradients[0] * to_left, gradients[0] * to_right, None


def moment_gap(left: Float[Tensor, "rows width"], right: Float[Tensor, "rows width"]) -> Float[Tensor, ""]:
    """|var(left) - var(right)| + |mean(left) - mean(right)|, each over all entries, variances unbiased.

    Source: the alignment terms of GUME (Lin et al., CIKM 2024) and MENTOR (Xu et al., AAAI 2025).
    """
    return (left.var() - right.var()).abs() + (left.mean() - right.mean()).abs()


def sum_of_squares(tables: Sequence[Tensor]) -> Float[Tensor, ""]:
    """Sum of the squares of all numbers; no table of squares is formed, forward or backward."""
    result: Tensor = _SumOfSquares.apply(*tables)  # type: ignore[no-untyped-call]
    return result


class _SumOfSquares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tables: Tensor) -> Tensor:
        ctx.save_for_backward(*tables)
        flat = [table.reshape(-1) for table in tables]
        sums = [row[at : at + _BLOCK].pow(2).sum() for row in flat for at in range(0, len(row), _BLOCK)]
        return torch.stack(sums).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        wanted = zip(ctx.saved_tensors, ctx.needs_input_grad, strict=True)
        return tuple(table * (2 * gradients[0]) if own else None for table, own in wanted)


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
