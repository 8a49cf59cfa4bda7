"""Losses as pure functions; each returns a scalar tensor."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from alnico.contracts import batch_mean
from alnico.kernels.place import by_torch
from alnico.kernels.precision import in_full_precision


@in_full_precision
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


@in_full_precision
def info_nce(
    left: Float[Tensor, "rows width"],
    right: Float[Tensor, "candidates width"],
    temperature: float,
    *,
    own: Int[Tensor, " rows"] | None = None,
    both_ways: bool = False,
    cosine: bool = True,
    reduction: Literal["mean", "sum"] = "mean",
    pairs: tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]] | None = None,
    weights: Float[Tensor, " pairs"] | None = None,
) -> Float[Tensor, ""]:
    """Mean (or sum) over rows of -log softmax of cos(left_r, right_r) / temperature among all right rows.

    ``own`` says which right row belongs to each left row; without it the two tables have equal rows. With
    ``both_ways`` the mean of that and of the same with left and right exchanged. Without ``cosine`` products of the
    rows as they are. With ``pairs`` of places the same as for left.index_select(0, pairs[0]) and
    right.index_select(0, pairs[1]), where rows may stand several times, but each product is computed once; ``weights``
    multiply the pairs' losses.
    Memory is that of the two tables and of a block of products, with ``both_ways`` and a temperature of .05 or more
    one whole table of them.
    Source: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018.
    """
    if cosine:
        left, right = functional.normalize(left, dim=1), functional.normalize(right, dim=1)
    left = left / temperature
    # Cosines lie within 1 / temperature of 0: their exponentials below it neither vanish nor overflow.
    highest = 1 / temperature if cosine and temperature >= _LEAST_SAFE else None
    if pairs is not None:
        if own is not None or both_ways:
            raise ValueError("pairs say themselves what belongs to what, and go one way")
        return _info_nce_of_pairs(left, right, pairs, weights, highest, reduction)
    if weights is not None:
        raise ValueError("weights are those of pairs")
    facing = right if own is None else right.index_select(0, own)
    same = (left * facing).sum()
    if not both_ways:
        total = _sum_of_logs(left, right, highest) - same
    elif own is not None:
        raise ValueError("both ways need rows that face each other one by one")
    elif highest is not None:
        both: Tensor = _SumOfLogsBothWays.apply(left, right, highest)  # type: ignore[no-untyped-call]
        total = both / 2 - same
    else:
        total = (_sum_of_logs(left, right, None) + _sum_of_logs(right, left, None)) / 2 - same
    return total if reduction == "sum" else total / len(left)


_LEAST_SAFE = 0.05
_BLOCK = 2**20
"""Numbers worked on at a time, at most: 4 MB, which the processor's cache holds."""
_NEAR_BLOCK = 2**18
"""As many as the nearest cache holds; better, as long as there are more than a few rows in it."""
_FEW_ROWS = 128


def _rows_at_once(candidates: int, *, on_cpu: bool) -> int:
    """How many rows' products are computed at a time."""
    most = _BLOCK // max(1, candidates)
    return max(1, _NEAR_BLOCK // max(1, candidates), min(_FEW_ROWS, most)) if on_cpu else max(1, most)


def _info_nce_of_pairs(
    left: Float[Tensor, "rows width"],
    right: Float[Tensor, "candidates width"],
    pairs: tuple[Int[Tensor, " pairs"], Int[Tensor, " pairs"]],
    weights: Float[Tensor, " pairs"] | None,
    highest: float | None,
    reduction: Literal["mean", "sum"],
) -> Float[Tensor, ""]:
    lefts, rights = pairs
    facing = left.index_select(0, lefts) * right.index_select(0, rights)
    same = facing.sum() if weights is None else (facing.sum(1) * weights).sum()
    # A row that never stands in a pair weighs nothing, on either side.
    often = torch.bincount(lefts, weights, len(left)).to(left.dtype)
    logs = torch.bincount(rights, minlength=len(right)).to(right.dtype).log()
    total = _sum_of_logs(left, right, highest, often, logs) - same
    return total if reduction == "sum" else total / len(lefts)


def _sum_of_logs(
    left: Float[Tensor, "rows width"],
    right: Float[Tensor, "candidates width"],
    highest: float | None,
    weights: Float[Tensor, " rows"] | None = None,
    logs: Float[Tensor, " candidates"] | None = None,
) -> Float[Tensor, ""]:
    result: Tensor = _SumOfLogs.apply(left, right, highest, weights, logs)  # type: ignore[no-untyped-call]
    return result


class _SumOfLogs(torch.autograd.Function):
    """Sum over left rows of log sum exp of their products with all right rows.

    Each left row counts as ``weights`` say, and ``logs`` is added to its right row's products: the logarithm of how
    often that row stands among the candidates. Products lie not far below ``highest`` and never above it; None where
    that is not known. The loss is a scalar, so the gradient is known up to a factor as soon as a block of products is
    there: it is formed then, and no product is kept or computed twice.
    """

    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        highest: float | None,
        weights: Tensor | None,
        logs: Tensor | None,
    ) -> Tensor:
        wanted = ctx.needs_input_grad
        to_left = torch.empty_like(left) if wanted[0] else None
        to_right = torch.zeros_like(right) if wanted[1] else None
        total = left.new_zeros(())
        added = right.new_zeros(len(right)) if logs is None else logs
        if highest is not None:
            added = added - highest
        step = _rows_at_once(len(right), on_cpu=not by_torch(left))
        for start in range(0, len(left), step):
            some = left[start : start + step]
            table = torch.addmm(added, some, right.T)
            if highest is None:
                top = table.amax(1, keepdim=True)
                sums = table.sub_(top).exp_().sum(1, keepdim=True)
                each = sums.log() + top
            else:
                sums = table.exp_().sum(1, keepdim=True)
                each = sums.log() + highest
            scale = sums.reciprocal()
            if weights is not None:
                own = weights[start : start + step, None]
                each, scale = own * each, own * scale
            total += each.sum()
            if to_left is not None or to_right is not None:
                table *= scale
            if to_left is not None:
                torch.mm(table, right, out=to_left[start : start + step])
            if to_right is not None:
                to_right.addmm_(table.T, some)
        ctx.save_for_backward(to_left, to_right)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tables = [None if table is None else gradients[0] * table for table in ctx.saved_tensors]
        return *tables, None, None, None


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


@in_full_precision
def cosine_gap(
    left: Float[Tensor, "rows width"],
    right: Float[Tensor, "rows width"],
    weights: Float[Tensor, " rows"] | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, ""]:
    """1 - cos(left_r, right_r), averaged (or summed) over rows.

    Source: the losses of BM3 (Zhou et al., WWW 2023).
    """
    losses = 1 - functional.cosine_similarity(left, right)
    if weights is not None:
        losses = losses * weights
    return losses.sum() if reduction == "sum" else batch_mean(losses)


@in_full_precision
def moment_gaps(
    tables: Sequence[Float[Tensor, "rows _width"]], copies: Sequence[int] | None = None
) -> Float[Tensor, ""]:
    """The sum over pairs of tables of |difference of variances| + |difference of means|.

    Moments are those of all entries of a table, variances unbiased. With ``copies`` each table's columns stand there so
    many times over, of which none is made: copies leave the mean as it is, and the variance but for what it divides by.
    Source: the alignment terms of GUME (Lin et al., CIKM 2024) and MENTOR (Xu et al., AAAI 2025).
    """
    means = [table.mean() for table in tables]
    variances = [
        table.var() * (times * (table.numel() - 1) / (times * table.numel() - 1))
        for table, times in zip(tables, copies or [1] * len(tables), strict=True)
    ]
    gaps = [(one - other).abs() for moments in (means, variances) for one, other in combinations(moments, 2)]
    return torch.stack(gaps).sum()


@in_full_precision
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


@in_full_precision
def unsquared_l2(*tables: Float[Tensor, "_ width"]) -> Float[Tensor, ""]:
    """Sum of the Frobenius norms, NOT squared, divided by the number of rows of the last table.

    Source: the embedding loss of the MMRec toolkit, which published BPR and LightGCN figures rest on.
    """
    total = torch.stack([table.norm() for table in tables]).sum()
    return total / len(tables[-1])


@in_full_precision
def squared_l2(*tables: Float[Tensor, "batch width"]) -> Float[Tensor, ""]:
    """Sum of squared entries divided by the number of rows of the last table."""
    total = torch.stack([table.pow(2).sum() for table in tables]).sum()
    return total / len(tables[-1])


@in_full_precision
def half_squared_l2(*tables: Float[Tensor, "batch width"], full_size: int) -> Float[Tensor, ""]:
    """Half the sum of squared entries divided by the configured batch size, for a short last batch too.

    Source: the regulariser of LATTICE, MGCN, SMORE and GUME, which they put on the final embeddings.
    """
    return torch.stack([table.pow(2).sum() for table in tables]).sum() / (2 * full_size)
