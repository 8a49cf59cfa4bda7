"""Sparse matrix times dense table, forward and backward: the cost of training a graph recommender.

Each output row is owned by one thread and summed in the order of its stored entries: same input, same bits.
A multiplication may be asked for some rows only; then its backward pass reads only those rows' gradients.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, no_type_check

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from alnico.kernels.threads import follow_torch


@dataclass(frozen=True, eq=False)
class Csr:
    """A sparse matrix by rows: row r has ``columns[starts[r]:starts[r + 1]]`` with ``values`` beside them."""

    starts: Int[Tensor, " rows_plus_one"]
    columns: Int[Tensor, " entries"]
    values: Float[Tensor, " entries"]
    n_columns: int

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.starts) - 1

    def to(self, device: torch.device) -> "Csr":
        """The same matrix on ``device``."""
        if self.values.device == device:
            return self
        moved = [part.to(device) for part in (self.starts, self.columns, self.values)]
        return Csr(moved[0], moved[1], moved[2], self.n_columns)

    @cached_property
    def as_torch(self) -> Tensor:
        """The matrix as torch knows it; used off the CPU and by the reference."""
        with warnings.catch_warnings():
            # torch announces its CSR layout as beta at first use; the product used here is stable.
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            return torch.sparse_csr_tensor(
                self.starts,
                self.columns.long(),
                self.values,
                (self.n_rows, self.n_columns),
                check_invariants=False,
            )


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _all_rows(starts, columns, values, table, out):
    for row in numba.prange(out.shape[0]):
        total = out[row]
        total[:] = 0
        for entry in range(starts[row], starts[row + 1]):
            value, source = values[entry], table[columns[entry]]
            for axis in range(total.shape[0]):
                total[axis] += value * source[axis]


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _some_rows(starts, columns, values, table, rows, out):
    for place in numba.prange(rows.shape[0]):
        total = out[place]
        total[:] = 0
        row = rows[place]
        for entry in range(starts[row], starts[row + 1]):
            value, source = values[entry], table[columns[entry]]
            for axis in range(total.shape[0]):
                total[axis] += value * source[axis]


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _some_columns(starts, columns, values, table, place_of, out):
    # The table holds only the columns with place_of >= 0: the others' rows are known to be zero.
    for row in numba.prange(out.shape[0]):
        total = out[row]
        total[:] = 0
        for entry in range(starts[row], starts[row + 1]):
            place = place_of[columns[entry]]
            if place >= 0:
                value, source = values[entry], table[place]
                for axis in range(total.shape[0]):
                    total[axis] += value * source[axis]


def _parts(matrix: Csr, dtype: torch.dtype) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return matrix.starts.numpy(), matrix.columns.numpy(), matrix.values.to(dtype).numpy()


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, matrix: Csr, transposed: Csr) -> Tensor:
        ctx.transposed = transposed
        return _product(matrix, table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _product(ctx.transposed, grads[0]), None, None


class _MultiplyRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, matrix: Csr, transposed: Csr, rows: Tensor) -> Tensor:
        ctx.transposed, ctx.rows, ctx.n_rows = transposed, rows, matrix.n_rows
        out = torch.empty((len(rows), table.shape[1]), dtype=table.dtype)
        follow_torch()
        _some_rows(
            *_parts(matrix, table.dtype), table.detach().contiguous().numpy(), rows.numpy(), out.numpy()
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        grad = grads[0].contiguous()
        place_of = torch.full((ctx.n_rows,), -1, dtype=torch.int32)
        place_of[ctx.rows] = torch.arange(len(ctx.rows), dtype=torch.int32)
        out = torch.empty((ctx.transposed.n_rows, grad.shape[1]), dtype=grad.dtype)
        parts = _parts(ctx.transposed, grad.dtype)
        follow_torch()
        _some_columns(*parts, grad.numpy(), place_of.numpy(), out.numpy())
        return out, None, None, None


def _product(matrix: Csr, table: Tensor) -> Tensor:
    if table.is_cuda:
        return matrix.as_torch @ table
    table = table.detach().contiguous()
    out = torch.empty((matrix.n_rows, table.shape[1]), dtype=table.dtype)
    follow_torch()
    _all_rows(*_parts(matrix, table.dtype), table.numpy(), out.numpy())
    return out


def multiply(
    matrix: Csr,
    table: Float[Tensor, "columns width"],
    transposed: Csr,
    rows: Int[Tensor, " chosen"] | None = None,
) -> Float[Tensor, "out width"]:
    """``matrix @ table``, or only its given distinct ``rows``; differentiable in ``table``.

    ``transposed`` is the matrix's transpose, which the backward pass multiplies by (the matrix itself when it
    is symmetric).
    """
    if rows is None:
        result: Tensor = _Multiply.apply(table, matrix, transposed)  # type: ignore[no-untyped-call]
    elif table.is_cuda:
        result = _Multiply.apply(table, matrix, transposed)[rows]  # type: ignore[no-untyped-call]
    else:
        result = _MultiplyRows.apply(table, matrix, transposed, rows)  # type: ignore[no-untyped-call]
    return result


def multiply_reference(
    matrix: Csr, table: Float[Tensor, "columns width"], rows: Int[Tensor, " chosen"] | None = None
) -> Float[Tensor, "out width"]:
    """The same through plain indexed sums and autograd."""
    row_of = torch.repeat_interleave(torch.arange(matrix.n_rows, device=table.device), matrix.starts.diff())
    out = torch.zeros((matrix.n_rows, table.shape[1]), dtype=table.dtype, device=table.device)
    out = out.index_add(0, row_of, matrix.values.to(table.dtype)[:, None] * table[matrix.columns.long()])
    return out if rows is None else out[rows]


def csr_from_edges(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float32], shape: tuple[int, int]
) -> Csr:
    """The matrix with these entries, each row's columns ascending; entries must be distinct."""
    order = np.lexsort((columns, rows))
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
    return Csr(
        torch.from_numpy(starts.astype(np.int64)),
        torch.from_numpy(columns[order].astype(np.int32)),
        torch.from_numpy(values[order].astype(np.float32)),
        shape[1],
    )
