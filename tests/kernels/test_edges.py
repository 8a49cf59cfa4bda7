"""Sums, products and softmax along entries against their references, finite differences and sums by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alnico.kernels import edges
from alnico.kernels.edges import (
    Pattern,
    edge_products,
    edge_products_reference,
    pair_products,
    products_at,
    row_softmax,
    row_softmax_reference,
    row_sums,
    weighted_sums,
    weighted_sums_reference,
)
from alnico.kernels.place import plain_torch


def small():
    """Row 0 has column 1, row 1 columns 0 and 2, row 2 nothing."""
    return Pattern.of(np.array([1, 0, 1]), np.array([2, 1, 0]), (3, 3))[0]


def normal(rng, *shape, dtype=np.float32):
    """Numbers from a standard normal law."""
    return torch.from_numpy(rng.standard_normal(shape).astype(dtype))


@st.composite
def cases(draw):
    """A pattern that may have empty rows and columns, and a generator for numbers."""
    n_rows, n_columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    cells = draw(st.sets(st.integers(0, n_rows * n_columns - 1)))
    places = np.array(draw(st.permutations(sorted(cells))), dtype=np.int64)
    pattern, _ = Pattern.of(places // n_columns, places % n_columns, (n_rows, n_columns))
    return pattern, np.random.default_rng(draw(st.integers(0, 2**16)))


def agree(fast, plain, *tables):
    """Both functions have the same values and the same gradients in all tables."""
    ours = [table.clone().requires_grad_() for table in tables]
    theirs = [table.clone().requires_grad_() for table in tables]
    one, other = fast(*ours), plain(*theirs)
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    weights = torch.linspace(-1, 2, max(one.numel(), 1))[: one.numel()].reshape(one.shape)
    (one * weights).sum().backward()
    (other * weights).sum().backward()
    for left, right in zip(ours, theirs, strict=True):
        torch.testing.assert_close(left.grad, right.grad, atol=1e-5, rtol=1e-5)


def test_entries_are_stored_by_row_and_column_and_found_again_in_the_transpose():
    # Entries by row: (0, 1), (1, 0), (1, 2); by column: (1, 0), (0, 1), (1, 2).
    pattern, place = Pattern.of(np.array([1, 0, 1, 1]), np.array([2, 1, 0, 2]), (3, 4))
    assert pattern.shape == (3, 4)
    assert pattern.starts.tolist() == [0, 1, 3, 3]
    assert pattern.columns.tolist() == [1, 0, 2]
    assert pattern.rows.tolist() == [0, 1, 1]
    assert pattern.turned_starts.tolist() == [0, 1, 2, 3, 3]
    assert pattern.turned_columns.tolist() == [1, 0, 1]
    assert pattern.turned_from.tolist() == [1, 0, 2]
    # The first and the last given entry are the same.
    assert place.tolist() == [2, 0, 1, 2]


def test_sums_by_hand():
    values, table = torch.tensor([2.0, 1.0, 3.0]), torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    # Row 0: 2 * row 1. Row 1: 1 * row 0 + 3 * row 2. Row 2 is empty.
    assert weighted_sums(small(), values, table).tolist() == [[4, 40], [10, 100], [0, 0]]
    assert weighted_sums(small(), values, table, torch.tensor([2, 1])).tolist() == [[0, 0], [10, 100]]
    assert row_sums(small(), values).tolist() == [2, 4, 0]


def test_products_by_hand():
    left, right = torch.tensor([[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]), torch.tensor([[1.0, 0], [2, 1], [0, 5]])
    # Entries (0, 1), (1, 0), (1, 2).
    assert edge_products(small(), left, right).tolist() == [4, 3, 20]


def test_softmax_by_hand():
    found = row_softmax(small(), torch.tensor([7.0, math.log(3), 0.0]))
    np.testing.assert_allclose(found, [1, 0.75, 0.25], rtol=1e-6)


def test_softmax_neither_overflows_nor_vanishes():
    found = row_softmax(small(), torch.tensor([-1e6, 1e6, 1e6 - 1]))
    share = 1 / (1 + math.exp(-1))
    np.testing.assert_allclose(found, [1, share, 1 - share], rtol=1e-6)


@given(cases(), st.sampled_from([1, 3, 16, 48]))
def test_sums_agree_with_their_reference(case, width):
    pattern, rng = case
    values, table = normal(rng, len(pattern)), normal(rng, pattern.shape[1], width)
    agree(
        lambda v, t: weighted_sums(pattern, v, t),
        lambda v, t: weighted_sums_reference(pattern, v, t),
        values,
        table,
    )


@given(cases(), st.sampled_from([1, 3, 16, 48]), st.data())
def test_sums_of_chosen_rows_agree_with_their_reference(case, width, data):
    pattern, rng = case
    order = data.draw(st.permutations(range(pattern.shape[0])))
    rows = torch.tensor(order[: data.draw(st.integers(0, len(order)))], dtype=torch.int64)
    values, table = normal(rng, len(pattern)), normal(rng, pattern.shape[1], width)
    agree(
        lambda v, t: weighted_sums(pattern, v, t, rows),
        lambda v, t: weighted_sums_reference(pattern, v, t, rows),
        values,
        table,
    )


@given(cases(), st.sampled_from([1, 3, 16, 48]))
def test_products_agree_with_their_reference(case, width):
    pattern, rng = case
    agree(
        lambda a, b: edge_products(pattern, a, b),
        lambda a, b: edge_products_reference(pattern, a, b),
        normal(rng, pattern.shape[0], width),
        normal(rng, pattern.shape[1], width),
    )


@given(cases())
def test_softmax_agrees_with_its_reference(case):
    pattern, rng = case
    agree(
        lambda v: row_softmax(pattern, v),
        lambda v: row_softmax_reference(pattern, v),
        4 * normal(rng, len(pattern)),
    )


@given(cases())
def test_products_in_blocks_of_torch_agree_with_the_kernel(case):
    pattern, rng = case
    left, right = normal(rng, pattern.shape[0], 5), normal(rng, pattern.shape[1], 5)
    blocks = edges._products_by_torch(pattern.rows, pattern.columns, left, right, block=2)
    torch.testing.assert_close(blocks, products_at(pattern, left, right), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [None, [2, 1]], ids=["all rows", "some rows"])
def test_gradients_agree_with_finite_differences_in_double_precision(rows):
    pattern, rng = small(), np.random.default_rng(0)
    chosen = None if rows is None else torch.tensor(rows)
    values, left, right = (
        normal(rng, *shape, dtype=np.float64).requires_grad_() for shape in ((3,), (3, 2), (3, 2))
    )
    check = torch.autograd.gradcheck
    assert check(lambda v, t: weighted_sums(pattern, v, t, chosen), (values, right))
    assert check(lambda a, b: edge_products(pattern, a, b), (left, right))
    assert check(lambda v: row_softmax(pattern, v), (values,))


def test_a_table_may_meet_itself():
    pattern, rng = small(), np.random.default_rng(0)
    table = normal(rng, 3, 2, dtype=np.float64).requires_grad_()

    def attention(table):
        return weighted_sums(pattern, row_softmax(pattern, edge_products(pattern, table, table)), table)

    assert torch.autograd.gradcheck(attention, (table,))


@pytest.mark.parametrize("kind", ["sums", "products", "softmax"])
def test_a_second_derivative_is_refused_instead_of_wrong(kind):
    given = torch.ones(3) if kind == "softmax" else torch.ones(3, 2)
    given.requires_grad_()
    made = {
        "sums": lambda: weighted_sums(small(), torch.ones(3), given),
        "products": lambda: edge_products(small(), given, given),
        "softmax": lambda: row_softmax(small(), given),
    }[kind]()
    (gradient,) = torch.autograd.grad(made.pow(2).sum(), given, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_the_same_work_has_the_same_bits_on_one_and_on_two_threads():
    rng = np.random.default_rng(0)
    places = rng.choice(200 * 150, 6000, replace=False)
    pattern, _ = Pattern.of(places // 150, places % 150, (200, 150))
    left, right = normal(rng, 200, 32), normal(rng, 150, 32)
    before, seen = torch.get_num_threads(), set()
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            tables = [left.clone().requires_grad_(), right.clone().requires_grad_()]
            shares = row_softmax(pattern, edge_products(pattern, *tables))
            out = weighted_sums(pattern, shares, tables[1])
            out.pow(2).sum().backward()
            seen.add(b"".join(t.numpy().tobytes() for t in (out.detach(), *(t.grad for t in tables))))
    finally:
        torch.set_num_threads(before)
    assert len(seen) == 1


def test_tables_that_are_not_contiguous_are_read_correctly():
    pattern, table, other = (
        small(),
        torch.arange(6.0).reshape(2, 3).T,
        torch.arange(6.0, 12.0).reshape(2, 3).T,
    )
    values = torch.arange(6.0)[::2]
    torch.testing.assert_close(
        weighted_sums(pattern, values, table), weighted_sums_reference(pattern, values, table)
    )
    torch.testing.assert_close(
        edge_products(pattern, table, other), edge_products_reference(pattern, table, other)
    )
    torch.testing.assert_close(row_softmax(pattern, values), row_softmax_reference(pattern, values))


def test_a_pattern_without_entries_sums_to_nothing():
    nobody = np.zeros(0, np.int64)
    pattern, _ = Pattern.of(nobody, nobody, (2, 3))
    values, table = torch.zeros(0, requires_grad=True), torch.ones(3, 16, requires_grad=True)
    out = weighted_sums(pattern, row_softmax(pattern, values), table)
    out.sum().backward()
    assert out.tolist() == torch.zeros(2, 16).tolist()
    assert not table.grad.any()


@pytest.mark.parametrize("width", [1, 3, 16, 200])
def test_products_of_pairs_are_those_of_the_rows(width):
    rng = np.random.default_rng(width)
    # Small whole numbers: sums are exact in any order.
    table = rng.integers(-3, 4, (9, width)).astype(np.float32)
    lefts, rights = rng.integers(0, 9, (2, 50)).astype(np.int32)
    rows = torch.from_numpy(table)
    found = pair_products(torch.from_numpy(lefts), torch.from_numpy(rights), rows, rows)
    np.testing.assert_array_equal(found, (table[lefts] * table[rights]).sum(1))


@pytest.mark.parametrize("width", [101, 64])
def test_equal_rows_have_equal_products(width):
    table = torch.from_numpy(np.random.default_rng(0).standard_normal((6, width)).astype(np.float32))
    table[4] = table[1]
    everybody = torch.arange(6)
    found = [pair_products(everybody, torch.full((6,), row), table, table) for row in (1, 4)]
    assert torch.equal(*found)
    assert found[0][4] == found[0][1]


def test_no_pairs_have_no_products():
    nobody = torch.zeros(0, dtype=torch.int64)
    assert len(pair_products(nobody, nobody, torch.ones(2, 3), torch.ones(2, 3))) == 0


@given(cases())
def test_torch_alone_finds_the_same_values_and_gradients(case):
    pattern, rng = case
    values = normal(rng, len(pattern))
    left, right = normal(rng, pattern.shape[0], 3), normal(rng, pattern.shape[1], 3)
    rows = torch.arange(pattern.shape[0]).flip(0)[::2]
    with plain_torch():
        agree(
            lambda *t: weighted_sums(pattern, *t),
            lambda *t: weighted_sums_reference(pattern, *t),
            values,
            right,
        )
        agree(
            lambda *t: weighted_sums(pattern, *t, rows),
            lambda *t: weighted_sums_reference(pattern, *t, rows),
            values,
            right,
        )
        agree(
            lambda *t: edge_products(pattern, *t),
            lambda *t: edge_products_reference(pattern, *t),
            left,
            right,
        )
        agree(lambda t: row_softmax(pattern, t), lambda t: row_softmax_reference(pattern, t), values)
