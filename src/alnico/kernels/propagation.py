"""Sparse matrix times dense table, forward and backward: the cost of training a graph recommender.

Each output row is owned by one thread and summed in the order of its stored entries: same input, same bits.
Threads share the entries evenly, not the rows: an item's row is often far longer than a user's.
A multiplication may be asked for some rows only; then its backward pass touches only those rows' entries.
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

from alnico.kernels.compress import compress
from alnico.kernels.lanes import N_LANES, fetch, fused, load, same, store
from alnico.kernels.place import by_torch
from alnico.kernels.precision import in_full_precision
from alnico.kernels.threads import follow_torch

PARTS = 256
"""Shares into which a product's rows are divided among threads."""
AHEAD = 16
"""How many entries before its turn an entry's row of the table is called for."""


@dataclass(frozen=True, eq=False)
class Csr:
    """By rows: the columns of row r are ``columns[starts[r]:starts[r + 1]]``, ascending; ``values`` beside."""

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
    def bounds(self) -> NDArray[np.int64]:
        """Rows at which to cut so that ``PARTS`` runs of rows have about equally many entries; [PARTS + 1]."""
        starts = self.starts.numpy()
        return _cut(starts, np.linspace(0, starts[-1], PARTS + 1))

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


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
@no_type_check
def _add_row(columns, values, table, first, last, total):
    # Four entries at a time: the sum is read and written once for all four.
    entry = first
    while entry + 4 <= last:
        source_0, source_1 = table[columns[entry]], table[columns[entry + 1]]
        source_2, source_3 = table[columns[entry + 2]], table[columns[entry + 3]]
        value_0, value_1 = values[entry], values[entry + 1]
        value_2, value_3 = values[entry + 2], values[entry + 3]
        for axis in range(total.shape[0]):
            total[axis] += (value_0 * source_0[axis] + value_1 * source_1[axis]) + (
                value_2 * source_2[axis] + value_3 * source_3[axis]
            )
        entry += 4
    while entry < last:
        value, source = values[entry], table[columns[entry]]
        for axis in range(total.shape[0]):
            total[axis] += value * source[axis]
        entry += 1


@numba.njit(cache=True, nogil=True, forceinline=True)
@no_type_check
def _sum_row(columns, values, table, width, first, last, end, out, place):
    # Sums stay in registers, and the rows of entries further on, up to ``end``, are called for before they are needed.
    # Flat arrays.
    start = 0
    while start + 4 * N_LANES <= width:
        one = two = three = four = same(np.float32(0))
        for entry in range(first, last):
            following = columns[min(entry + AHEAD, end)] * width + start
            value, source = same(values[entry]), columns[entry] * width + start
            fetch(table, following)
            one = fused(value, load(table, source), one)
            fetch(table, following + N_LANES)
            two = fused(value, load(table, source + N_LANES), two)
            fetch(table, following + 2 * N_LANES)
            three = fused(value, load(table, source + 2 * N_LANES), three)
            fetch(table, following + 3 * N_LANES)
            four = fused(value, load(table, source + 3 * N_LANES), four)
        store(out, place + start, one)
        store(out, place + start + N_LANES, two)
        store(out, place + start + 2 * N_LANES, three)
        store(out, place + start + 3 * N_LANES, four)
        start += 4 * N_LANES
    while start < width:
        one = same(np.float32(0))
        for entry in range(first, last):
            one = fused(same(values[entry]), load(table, columns[entry] * width + start), one)
        store(out, place + start, one)
        start += N_LANES


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _all_rows(order, bounds, starts, columns, values, table, out):
    for turn in numba.prange(order.shape[0]):
        part = order[turn]
        for row in range(bounds[part], bounds[part + 1]):
            out[row, :] = 0
            _add_row(columns, values, table, starts[row], starts[row + 1], out[row])


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _all_rows_by_lanes(order, bounds, starts, columns, values, table, width, out):
    end = columns.shape[0] - 1
    for turn in numba.prange(order.shape[0]):
        part = order[turn]
        for row in range(bounds[part], bounds[part + 1]):
            _sum_row(columns, values, table, width, starts[row], starts[row + 1], end, out, row * width)


@numba.njit(cache=True, nogil=True)
@no_type_check
def _even_bounds(starts, rows):
    done = np.zeros(rows.shape[0] + 1, np.int64)
    for place in range(rows.shape[0]):
        done[place + 1] = done[place] + starts[rows[place] + 1] - starts[rows[place]]
    bounds = np.searchsorted(done, np.linspace(0, done[-1], PARTS + 1))
    bounds[0], bounds[-1] = 0, rows.shape[0]
    return bounds


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _some_rows(order, starts, columns, values, table, rows, out):
    bounds = _even_bounds(starts, rows)
    for turn in numba.prange(PARTS):
        part = order[turn]
        for place in range(bounds[part], bounds[part + 1]):
            row = rows[place]
            out[place, :] = 0
            _add_row(columns, values, table, starts[row], starts[row + 1], out[place])


@numba.njit(parallel=True, cache=True, nogil=True)
@no_type_check
def _some_rows_by_lanes(order, starts, columns, values, table, width, rows, out):
    bounds = _even_bounds(starts, rows)
    for turn in numba.prange(PARTS):
        part = order[turn]
        for place in range(bounds[part], bounds[part + 1]):
            first, last = starts[rows[place]], starts[rows[place] + 1]
            if place + 1 < bounds[part + 1]:
                # What follows a row's last entry belongs to another row than the next one here.
                following = starts[rows[place + 1]]
                for entry in range(following, min(following + AHEAD, starts[rows[place + 1] + 1])):
                    for line in range(0, width, N_LANES):
                        fetch(table, columns[entry] * width + line)
            _sum_row(columns, values, table, width, first, last, last - 1, out, place * width)


@numba.njit(parallel=True, cache=True, nogil=True, fastmath={"contract"})
@no_type_check
def _spread_rows(order, bounds, starts, columns, values, grads, rows, out):
    # Each part owns a range of columns, which is one run of every row's ascending columns. Whatever the ranges,
    # a column's sum is taken in the order of the rows.
    for turn in numba.prange(order.shape[0]):
        low, high = bounds[order[turn]], bounds[order[turn] + 1]
        out[low:high, :] = 0
        for place in range(rows.shape[0]):
            first, last = starts[rows[place]], starts[rows[place] + 1]
            entry = first + np.searchsorted(columns[first:last], low)
            grad = grads[place]
            while entry < last and columns[entry] < high:
                value, total = values[entry], out[columns[entry]]
                for axis in range(total.shape[0]):
                    total[axis] += value * grad[axis]
                entry += 1


@numba.njit(cache=True, nogil=True)
@no_type_check
def _number_columns(columns, kept, place_of):
    for place in range(kept.shape[0]):
        place_of[kept[place]] = place
    for entry in range(columns.shape[0]):
        columns[entry] = place_of[columns[entry]]


@numba.njit(cache=True, nogil=True)
@no_type_check
def _copy_rows(starts, columns, values, rows, own_starts, own_columns, own_values):
    for place in range(rows.shape[0]):
        first = starts[rows[place]]
        for entry in range(own_starts[place], own_starts[place + 1]):
            own_columns[entry] = columns[first + entry - own_starts[place]]
            own_values[entry] = values[first + entry - own_starts[place]]


@numba.njit(cache=True, nogil=True)
@no_type_check
def _mark_columns(starts, columns, rows, mark):
    for row in rows:
        for entry in range(starts[row], starts[row + 1]):
            mark[columns[entry]] = True


def _cut(starts: NDArray[np.int64], at: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first row that begins at or after each of these entries; the last is the number of rows."""
    bounds = np.searchsorted(starts, at).astype(np.int64)
    bounds[0], bounds[-1] = 0, len(starts) - 1
    return bounds


def _order(parts: int) -> NDArray[np.int64]:
    """The order in which threads, each taking one run of it, share parts of every kind.

    Users' rows come first and read the small table of items, items' rows read the large one of users.
    """
    return np.argsort(np.arange(parts) % torch.get_num_threads(), kind="stable")


def _parts(matrix: Csr, dtype: torch.dtype) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return matrix.starts.numpy(), matrix.columns.numpy(), matrix.values.to(dtype).numpy()


def product(
    matrix: Csr, table: Float[Tensor, "columns width"], rows: Int[Tensor, " chosen"] | None = None
) -> Float[Tensor, "out width"]:
    """``matrix @ table``, or only its given rows; not differentiable."""
    table = table.detach().contiguous()
    if by_torch(table):
        whole: Tensor = matrix.as_torch.to(table.dtype) @ table
        return whole if rows is None else whole.index_select(0, rows)
    width = table.shape[1]
    out = torch.empty((matrix.n_rows if rows is None else len(rows), width), dtype=table.dtype)
    order, parts = _order(PARTS), _parts(matrix, table.dtype)
    follow_torch()
    if width and width % N_LANES == 0 and table.dtype == torch.float32:
        flat, result = table.numpy().reshape(-1), out.numpy().reshape(-1)
        if rows is None:
            _all_rows_by_lanes(order, matrix.bounds, *parts, flat, width, result)
        else:
            _some_rows_by_lanes(order, *parts, flat, width, rows.numpy(), result)
    elif rows is None:
        _all_rows(order, matrix.bounds, *parts, table.numpy(), out.numpy())
    else:
        _some_rows(order, *parts, table.numpy(), rows.numpy(), out.numpy())
    return out


def columns_of_rows(
    matrix: Csr, rows: Int[Tensor, " chosen"], also: Int[Tensor, " more"]
) -> Int[Tensor, " columns"] | None:
    """The distinct columns, ascending, that these rows have entries in, ``also`` among them.

    None where they may well be half of all columns or more: then nothing is gained by knowing which.
    """
    entries = int((matrix.starts[rows + 1] - matrix.starts[rows]).sum())
    if 2 * (entries + len(also)) >= matrix.n_columns:
        return None
    mark = np.zeros(matrix.n_columns, np.bool_)
    mark[also.numpy()] = True
    _mark_columns(matrix.starts.numpy(), matrix.columns.numpy(), rows.numpy(), mark)
    return torch.from_numpy(np.flatnonzero(mark))


def cut_out(matrix: Csr, rows: Int[Tensor, " chosen"], columns: Int[Tensor, " kept"]) -> Csr:
    """``matrix[rows][:, columns]``, where ``columns``, ascending, hold all columns that these rows have entries in."""
    lengths = matrix.starts[rows + 1] - matrix.starts[rows]
    starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    n_entries = int(starts[-1])
    own_columns = torch.empty(n_entries, dtype=matrix.columns.dtype)
    own_values = torch.empty(n_entries, dtype=matrix.values.dtype)
    parts = (matrix.starts.numpy(), matrix.columns.numpy(), matrix.values.numpy())
    _copy_rows(*parts, rows.numpy(), starts.numpy(), own_columns.numpy(), own_values.numpy())
    # Only places of kept columns are ever written or read.
    _number_columns(own_columns.numpy(), columns.numpy(), np.empty(matrix.n_columns, np.int32))
    return Csr(starts, own_columns, own_values, len(columns))


def product_of_rows_transposed(
    matrix: Csr, transposed: Csr | None, table: Float[Tensor, "chosen width"], rows: Int[Tensor, " chosen"]
) -> Float[Tensor, "columns width"]:
    """``matrix[rows].T @ table`` for distinct rows: what a gradient of those rows sends back; not differentiable.

    ``transposed`` tells how entries are spread over the columns, so that threads share the work well.
    """
    table = table.detach().contiguous()
    if by_torch(table):
        assert transposed is not None
        whole = table.new_zeros((matrix.n_rows, table.shape[1])).index_copy(0, rows, table)
        back: Tensor = transposed.as_torch.to(table.dtype) @ whole
        return back
    out = torch.empty((matrix.n_columns, table.shape[1]), dtype=table.dtype)
    # Each part searches every row for its columns: few parts, but enough for threads to level out.
    n_parts = 4 * torch.get_num_threads()
    if transposed is None:
        bounds = np.linspace(0, matrix.n_columns, n_parts + 1).astype(np.int64)
    else:
        per_column = transposed.starts.numpy()
        bounds = _cut(per_column, np.linspace(0, per_column[-1], n_parts + 1))
    follow_torch()
    parts = _parts(matrix, table.dtype)
    _spread_rows(_order(len(bounds) - 1), bounds, *parts, table.numpy(), rows.numpy(), out.numpy())
    return out


class _Multiply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, matrix: Csr, transposed: Csr, rows: Tensor | None) -> Tensor:
        ctx.matrix, ctx.transposed, ctx.rows = matrix, transposed, rows
        return product(matrix, table, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        if ctx.rows is None:
            return product(ctx.transposed, grads[0]), None, None, None
        back = product_of_rows_transposed(ctx.matrix, ctx.transposed, grads[0], ctx.rows)
        return back, None, None, None


@in_full_precision
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
    result: Tensor = _Multiply.apply(table, matrix, transposed, rows)  # type: ignore[no-untyped-call]
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
    starts, own, entries = compress(rows, columns, values, shape)
    return Csr(torch.from_numpy(starts), torch.from_numpy(own), torch.from_numpy(entries), shape[1])
