"""Sums and products along the entries of a sparse matrix whose values are computed and have a gradient of their own.

Three operations, each the other's way back: sums of a table's rows weighed by the entries' values, inner products at
the entries, and a softmax over each row's entries. On the CPU every output row, and every entry, is owned by one thread
and summed in a fixed order: same input, same bits. Nothing is as large as entries x width.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from alnico.kernels.lanes import N_LANES, fetch, fused, load, same, total
from alnico.kernels.place import by_torch
from alnico.kernels.precision import in_full_precision
from alnico.kernels.propagation import AHEAD, PARTS, Csr, product
from alnico.kernels.threads import follow_torch

BLOCK = 2**18
"""Entries whose products torch forms at a time; kernels need no blocks."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where a sparse matrix has entries, without saying which.

    The columns of row r are ``columns[starts[r]:starts[r + 1]]``, ascending; ``turned_starts`` and ``turned_columns``
    say the same of the transpose, whose entry number t is entry ``turned_from[t]`` here.
    """

    starts: Int[Tensor, " rows_plus_one"]
    columns: Int[Tensor, " entries"]
    turned_starts: Int[Tensor, " columns_plus_one"]
    turned_columns: Int[Tensor, " entries"]
    turned_from: Int[Tensor, " entries"]
    _moved: dict[torch.device, "Pattern"] = field(default_factory=dict, repr=False, kw_only=True)

    @classmethod
    def of(
        cls, rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]
    ) -> tuple[Self, Int[Tensor, " given"]]:
        """The pattern with these entries, in any order, and the place of each among the pattern's own entries.

        What is given several times is one entry.
        """
        keys, place = np.unique(rows * shape[1] + columns, return_inverse=True)
        own_rows, own_columns = keys // max(shape[1], 1), keys % max(shape[1], 1)
        turned = np.argsort(own_columns * shape[0] + own_rows)
        parts = (
            np.searchsorted(own_rows, np.arange(shape[0] + 1)),
            own_columns.astype(np.int32),
            np.searchsorted(own_columns[turned], np.arange(shape[1] + 1)),
            own_rows[turned].astype(np.int32),
            turned,
        )
        return cls(*(torch.from_numpy(part) for part in parts)), torch.from_numpy(place.reshape(-1))

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.starts) - 1, len(self.turned_starts) - 1

    @cached_property
    def rows(self) -> Int[Tensor, " entries"]:
        """The row of each entry."""
        numbers = torch.arange(self.shape[0], dtype=torch.int32, device=self.starts.device)
        return torch.repeat_interleave(numbers, self.starts.diff(), output_size=len(self))

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """Rows at which to cut so that threads' shares have about equally many entries."""
        return self.matrix(torch.empty(len(self))).bounds

    def on(self, device: torch.device) -> "Pattern":
        """The same pattern on ``device``; moved once, then remembered."""
        if self.starts.device.type == device.type:
            return self
        if device not in self._moved:
            parts = (
                self.starts,
                self.columns,
                self.turned_starts,
                self.turned_columns,
                self.turned_from,
            )
            self._moved[device] = Pattern(*(part.to(device) for part in parts))
        return self._moved[device]

    def matrix(self, values: Float[Tensor, " entries"]) -> Csr:
        """The matrix with these values; they are not copied and have no gradient there."""
        return Csr(self.starts, self.columns, values.detach().contiguous(), self.shape[1])

    def transposed(self, values: Float[Tensor, " entries"]) -> Csr:
        """The transpose of the matrix with these values."""
        turned = values.detach().index_select(0, self.turned_from)
        return Csr(self.turned_starts, self.turned_columns, turned, self.shape[0])


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _products_by_lanes(rows, columns, left, right, width, out):
    # Flat arrays. Threads take equal shares of the entries, whatever their rows.
    n_entries = columns.shape[0]
    for part in numba.prange(PARTS):
        for entry in range(part * n_entries // PARTS, (part + 1) * n_entries // PARTS):
            own, other = rows[entry] * width, columns[entry] * width
            following = columns[min(entry + AHEAD, n_entries - 1)] * width
            added = same(np.float32(0))
            for start in range(0, width, N_LANES):
                fetch(right, following + start)
                added = fused(load(left, own + start), load(right, other + start), added)
            out[entry] = total(added)


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _products(rows, columns, left, right, out):
    n_entries = columns.shape[0]
    for part in numba.prange(PARTS):
        for entry in range(part * n_entries // PARTS, (part + 1) * n_entries // PARTS):
            one, other, added = left[rows[entry]], right[columns[entry]], left.dtype.type(0)
            for axis in range(one.shape[0]):
                added += one[axis] * other[axis]
            out[entry] = added


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _softmax(bounds, starts, values, out):
    for part in numba.prange(bounds.shape[0] - 1):
        for row in range(bounds[part], bounds[part + 1]):
            first, last = starts[row], starts[row + 1]
            if first == last:
                continue
            highest = values[first]
            for entry in range(first + 1, last):
                highest = max(highest, values[entry])
            added = 0.0
            for entry in range(first, last):
                out[entry] = np.exp(values[entry] - highest)
                added += out[entry]
            for entry in range(first, last):
                out[entry] /= added


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _softmax_back(bounds, starts, shares, grads, out):
    for part in numba.prange(bounds.shape[0] - 1):
        for row in range(bounds[part], bounds[part + 1]):
            mean = 0.0
            for entry in range(starts[row], starts[row + 1]):
                mean += shares[entry] * grads[entry]
            for entry in range(starts[row], starts[row + 1]):
                out[entry] = shares[entry] * (grads[entry] - mean)


@in_full_precision
def pair_products(
    rows: Int[Tensor, " pairs"],
    columns: Int[Tensor, " pairs"],
    left: Float[Tensor, "rows width"],
    right: Float[Tensor, "columns width"],
) -> Float[Tensor, " pairs"]:
    """<left_r, right_c> for each pair (r, c); not differentiable.

    Every product is summed in the same order: equal rows have equal products.
    """
    left, right = left.detach().contiguous(), right.detach().contiguous()
    if by_torch(left):
        return _products_by_torch(rows, columns, left, right)
    width, out = left.shape[1], torch.zeros(len(rows), dtype=left.dtype)
    if not len(rows) or not width:
        return out
    where = rows.numpy(), columns.numpy()
    follow_torch()
    if width % N_LANES == 0 and left.dtype == torch.float32:
        flat = left.numpy().reshape(-1), right.numpy().reshape(-1)
        _products_by_lanes(*where, *flat, width, out.numpy())
    else:
        _products(*where, left.numpy(), right.numpy(), out.numpy())
    return out


def products_at(
    pattern: Pattern, left: Float[Tensor, "rows width"], right: Float[Tensor, "columns width"]
) -> Float[Tensor, " entries"]:
    """<left_r, right_c> at each entry (r, c); not differentiable."""
    return pair_products(pattern.rows, pattern.columns, left, right)


def _products_by_torch(
    rows: Tensor, columns: Tensor, left: Tensor, right: Tensor, block: int = BLOCK
) -> Tensor:
    where = zip(torch.split(rows, block), torch.split(columns, block), strict=True)
    parts = [(left.index_select(0, own) * right.index_select(0, other)).sum(1) for own, other in where]
    return torch.cat(parts)


class _WeightedSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, table: Tensor, pattern: Pattern, rows: Tensor | None) -> Tensor:
        ctx.pattern, ctx.rows = pattern, rows
        ctx.save_for_backward(values, table)
        return product(pattern.matrix(values), table, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (values, table), pattern, own = ctx.saved_tensors, ctx.pattern, grads[0]
        if ctx.rows is not None:
            # A batch's rows hold a good part of all entries: passing over all, in order, is the quicker way.
            own = own.new_zeros((pattern.shape[0], own.shape[1])).index_copy_(0, ctx.rows, own)
        to_values = products_at(pattern, own, table) if ctx.needs_input_grad[0] else None
        to_table = product(pattern.transposed(values), own) if ctx.needs_input_grad[1] else None
        return to_values, to_table, None, None


class _EdgeProducts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, pattern: Pattern) -> Tensor:
        ctx.pattern = pattern
        ctx.save_for_backward(left, right)
        return products_at(pattern, left, right)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        left, right = ctx.saved_tensors
        to_left = to_right = None
        if ctx.needs_input_grad[0]:
            to_left = product(ctx.pattern.matrix(grads[0]), right)
        if ctx.needs_input_grad[1]:
            to_right = product(ctx.pattern.transposed(grads[0]), left)
        return to_left, to_right, None


class _RowSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, pattern: Pattern) -> Tensor:
        ctx.pattern = pattern
        if by_torch(values):
            shares = row_softmax_reference(pattern, values)
        else:
            values, shares = values.contiguous(), torch.empty_like(values)
            follow_torch()
            _softmax(pattern.bounds, pattern.starts.numpy(), values.numpy(), shares.numpy())
        ctx.save_for_backward(shares)
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (shares,), pattern = ctx.saved_tensors, ctx.pattern
        if by_torch(shares):
            weighed = shares * grads[0]
            return weighed - shares * row_sums(pattern, weighed).index_select(0, pattern.rows), None
        out = torch.empty_like(shares)
        follow_torch()
        _softmax_back(
            pattern.bounds,
            pattern.starts.numpy(),
            shares.numpy(),
            grads[0].contiguous().numpy(),
            out.numpy(),
        )
        return out, None


@in_full_precision
def weighted_sums(
    pattern: Pattern,
    values: Float[Tensor, " entries"],
    table: Float[Tensor, "columns width"],
    rows: Int[Tensor, " chosen"] | None = None,
) -> Float[Tensor, "out width"]:
    """For each row, or only for these distinct ``rows``, the sum over its entries of value * the column's table row.

    Differentiable in values and table, once.
    """
    result: Tensor = _WeightedSums.apply(values, table, pattern, rows)  # type: ignore[no-untyped-call]
    return result


@in_full_precision
def edge_products(
    pattern: Pattern, left: Float[Tensor, "rows width"], right: Float[Tensor, "columns width"]
) -> Float[Tensor, " entries"]:
    """<left_r, right_c> at each entry (r, c); differentiable in both tables, once."""
    result: Tensor = _EdgeProducts.apply(left, right, pattern)  # type: ignore[no-untyped-call]
    return result


@in_full_precision
def row_softmax(pattern: Pattern, values: Float[Tensor, " entries"]) -> Float[Tensor, " entries"]:
    """exp(value) divided by its sum over the entry's row; differentiable once."""
    result: Tensor = _RowSoftmax.apply(values, pattern)  # type: ignore[no-untyped-call]
    return result


@in_full_precision
def row_sums(pattern: Pattern, values: Float[Tensor, " entries"]) -> Float[Tensor, " rows"]:
    """The sum of each row's values, in plain torch."""
    return values.new_zeros(pattern.shape[0]).index_add(0, pattern.rows, values)


def weighted_sums_reference(
    pattern: Pattern,
    values: Float[Tensor, " entries"],
    table: Float[Tensor, "columns width"],
    rows: Int[Tensor, " chosen"] | None = None,
) -> Float[Tensor, "out width"]:
    """The same through plain indexed sums and autograd."""
    out = table.new_zeros((pattern.shape[0], table.shape[1]))
    out = out.index_add(0, pattern.rows, values[:, None] * table[pattern.columns.long()])
    return out if rows is None else out[rows]


def edge_products_reference(
    pattern: Pattern, left: Float[Tensor, "rows width"], right: Float[Tensor, "columns width"]
) -> Float[Tensor, " entries"]:
    """The same through plain indexing and autograd."""
    return (left[pattern.rows.long()] * right[pattern.columns.long()]).sum(1)


def row_softmax_reference(pattern: Pattern, values: Float[Tensor, " entries"]) -> Float[Tensor, " entries"]:
    """The same through plain indexed maxima and sums and autograd."""
    rows = pattern.rows.long()
    highest = values.new_zeros(pattern.shape[0])
    highest = highest.scatter_reduce(0, rows, values.detach(), "amax", include_self=False)
    raised = (values - highest.index_select(0, rows)).exp()
    return raised / row_sums(pattern, raised).index_select(0, rows)
