"""A few rows of a table for each row of another: products and sums, without a copy of the rows picked."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from alnico.kernels.precision import in_full_precision
from alnico.kernels.propagation import Csr, product

_BLOCK = 2**18
"""Numbers gathered at a time: 1 MB, which the processor's cache holds."""


@dataclass(frozen=True, eq=False)
class Picks:
    """For each row r the rows ``places[r]`` of a table with ``n`` rows; a row may be picked several times."""

    places: Int[Tensor, "rows picks"]
    n: int

    @in_full_precision
    def products(
        self, left: Float[Tensor, "rows width"], table: Float[Tensor, "n width"]
    ) -> Float[Tensor, "rows picks"]:
        """<left_r, table_p> for each pick p of each row r."""
        result: Tensor = _Products.apply(left, table, self)  # type: ignore[no-untyped-call]
        return result

    @in_full_precision
    def sums(
        self, weights: Float[Tensor, "rows picks"], table: Float[Tensor, "n width"]
    ) -> Float[Tensor, "rows width"]:
        """The weighted sum of each row's picks."""
        result: Tensor = _Sums.apply(weights, table, self)  # type: ignore[no-untyped-call]
        return result

    @cached_property
    def _starts(self) -> Tensor:
        rows, picks = self.places.shape
        return torch.arange(0, rows * picks + 1, picks, device=self.places.device)

    @cached_property
    def _turned(self) -> tuple[Tensor, Tensor, Tensor]:
        """By row of the table: where its runs of picks start, who picked, and which pick it is."""
        flat = self.places.flatten()
        order = torch.argsort(flat, stable=True)
        counts = torch.bincount(flat, minlength=self.n)
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return starts, torch.div(order, self.places.shape[1], rounding_mode="floor").int(), order

    def _matrix(self, weights: Tensor) -> Csr:
        """The matrix that has these weights where a row picked."""
        return Csr(self._starts, self.places.flatten().int(), weights.flatten(), self.n)

    def _transposed(self, weights: Tensor) -> Csr:
        starts, rows, order = self._turned
        return Csr(starts, rows, weights.flatten().index_select(0, order), len(self.places))


def _products(picks: Picks, left: Tensor, table: Tensor) -> Tensor:
    out = left.new_empty(picks.places.shape)
    step = max(1, _BLOCK // (picks.places.shape[1] * table.shape[1]))
    for start in range(0, len(left), step):
        some = slice(start, start + step)
        places = picks.places[some]
        picked = table.index_select(0, places.flatten()).view(*places.shape, table.shape[1])
        torch.sum(picked.mul_(left[some, None]), dim=2, out=out[some])
    return out


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, table: Tensor, picks: Picks) -> Tensor:
        ctx.picks = picks
        ctx.save_for_backward(left, table)
        return _products(picks, left, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        left, table = ctx.saved_tensors
        to_left = product(ctx.picks._matrix(grads[0]), table)
        return to_left, product(ctx.picks._transposed(grads[0]), left), None


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, table: Tensor, picks: Picks) -> Tensor:
        ctx.picks = picks
        ctx.save_for_backward(weights, table)
        return product(picks._matrix(weights), table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, table = ctx.saved_tensors
        to_table = product(ctx.picks._transposed(weights), grads[0])
        return _products(ctx.picks, grads[0].contiguous(), table), to_table, None
