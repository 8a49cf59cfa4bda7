"""The fast sparse product against its reference, scipy and finite differences."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from alnico.kernels.place import plain_torch
from alnico.kernels.propagation import (
    columns_of_rows,
    csr_from_edges,
    cut_out,
    multiply,
    multiply_reference,
    product,
    product_of_rows_transposed,
)


@st.composite
def matrices(draw):
    """A sparse matrix that may have empty rows, its transpose, a table, and the matrix as scipy knows it."""
    n_rows, n_columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    cells = draw(st.sets(st.integers(0, n_rows * n_columns - 1)))
    places = np.array(sorted(cells), dtype=np.int64)
    # The order of the entries given must not matter.
    places = places[np.array(draw(st.permutations(range(len(places)))), dtype=np.int64)]
    rows, columns = places // n_columns, places % n_columns
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    values = rng.standard_normal(len(places)).astype(np.float32)
    shape = (n_rows, n_columns)
    matrix = csr_from_edges(rows, columns, values, shape)
    transposed = csr_from_edges(columns, rows, values, (n_columns, n_rows))
    table = torch.from_numpy(rng.standard_normal((n_columns, 3)).astype(np.float32))
    return matrix, transposed, table, sparse.csr_matrix((values, (rows, columns)), shape=shape)


def small_pair():
    """[[0, 2, 0], [1, 0, 3], [0, 0, 0]] and its transpose."""
    rows, columns = np.array([1, 0, 1]), np.array([2, 1, 0])
    values = np.array([3, 2, 1], dtype=np.float32)
    return (
        csr_from_edges(rows, columns, values, (3, 3)),
        csr_from_edges(columns, rows, values, (3, 3)),
    )


def test_product_by_hand():
    matrix, transposed = small_pair()
    table = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    # Row 0: 2 * row 1. Row 1: 1 * row 0 + 3 * row 2. Row 2 is empty.
    assert multiply(matrix, table, transposed).tolist() == [[4, 40], [10, 100], [0, 0]]


def test_chosen_rows_come_in_the_order_asked():
    matrix, transposed = small_pair()
    table = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    assert multiply(matrix, table, transposed, torch.tensor([2, 1])).tolist() == [[0, 0], [10, 100]]


def test_entries_of_a_row_are_stored_by_column():
    matrix, _ = small_pair()
    assert matrix.starts.tolist() == [0, 1, 3, 3]
    assert matrix.columns.tolist() == [1, 0, 2]
    assert matrix.values.tolist() == [2, 1, 3]


@given(matrices())
def test_product_agrees_with_reference_and_scipy(case):
    matrix, transposed, table, oracle = case
    product = multiply(matrix, table, transposed)
    torch.testing.assert_close(product, multiply_reference(matrix, table), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(product.numpy(), oracle @ table.numpy(), atol=1e-5)
    np.testing.assert_allclose((matrix.as_torch @ table).numpy(), product.numpy(), atol=1e-5)


@given(matrices(), st.data())
def test_chosen_rows_and_their_gradient_agree_with_the_whole_product(case, data):
    matrix, transposed, table, _ = case
    order = data.draw(st.permutations(range(matrix.n_rows)))
    rows = torch.tensor(order[: data.draw(st.integers(0, matrix.n_rows))], dtype=torch.int64)
    weights = torch.linspace(-1, 1, max(len(rows) * 3, 1))[: len(rows) * 3].reshape(len(rows), 3)
    fast, plain = table.clone().requires_grad_(), table.clone().requires_grad_()
    product = multiply(matrix, fast, transposed, rows)
    expected = multiply_reference(matrix, plain, rows)
    torch.testing.assert_close(product, expected, atol=1e-5, rtol=1e-5)
    (product * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(fast.grad, plain.grad, atol=1e-5, rtol=1e-5)


@given(matrices())
def test_gradient_agrees_with_reference(case):
    matrix, transposed, table, _ = case
    fast, plain = table.clone().requires_grad_(), table.clone().requires_grad_()
    weights = torch.linspace(-1, 1, matrix.n_rows * 3).reshape(matrix.n_rows, 3)
    (multiply(matrix, fast, transposed) * weights).sum().backward()
    (multiply_reference(matrix, plain) * weights).sum().backward()
    torch.testing.assert_close(fast.grad, plain.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rows", [None, [2, 0]], ids=["all rows", "some rows"])
def test_gradient_agrees_with_finite_differences_in_double_precision(rows):
    matrix, transposed = small_pair()
    table = torch.linspace(-1, 2, 6, dtype=torch.float64).reshape(3, 2).requires_grad_()
    chosen = None if rows is None else torch.tensor(rows)
    assert torch.autograd.gradcheck(lambda t: multiply(matrix, t, transposed, chosen), (table,))


def test_a_second_derivative_is_refused_instead_of_wrong():
    matrix, transposed = small_pair()
    table = torch.ones(3, 2, requires_grad=True)
    for rows in (None, torch.tensor([0])):
        loss = multiply(matrix, table, transposed, rows).pow(2).sum()
        (gradient,) = torch.autograd.grad(loss, table, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.sum().backward()


def test_a_graph_with_many_users_of_one_item_and_equal_degrees_agrees_with_scipy():
    # 300 users with one item each, spread over three items of equal degree, and a row without entries.
    users = np.arange(300)
    items = users % 3
    rng = np.random.default_rng(0)
    values = rng.random(300).astype(np.float32)
    table = rng.standard_normal((4, 16)).astype(np.float32)
    matrix = csr_from_edges(users, items, values, (301, 4))
    transposed = csr_from_edges(items, users, values, (4, 301))
    oracle = sparse.csr_matrix((values, (users, items)), shape=(301, 4))
    product = multiply(matrix, torch.from_numpy(table), transposed)
    np.testing.assert_allclose(product.numpy(), oracle @ table, atol=1e-5)
    back = multiply(transposed, product, matrix)
    np.testing.assert_allclose(back.numpy(), oracle.T @ (oracle @ table), atol=1e-4)
    assert not product[300].any()


@pytest.mark.parametrize("width", [1, 15, 16, 48, 64, 80, 128])
def test_any_width_agrees_with_scipy_for_all_and_for_some_rows(width):
    rng = np.random.default_rng(width)
    places = np.sort(rng.choice(60 * 50, 700, replace=False))
    # The last five rows are empty.
    rows, columns = places // 60, places % 60
    values = rng.standard_normal(700).astype(np.float32)
    matrix = csr_from_edges(rows, columns, values, (55, 60))
    transposed = csr_from_edges(columns, rows, values, (60, 55))
    table = rng.standard_normal((60, width)).astype(np.float32)
    expected = sparse.csr_matrix((values, (rows, columns)), shape=(55, 60)) @ table
    whole = multiply(matrix, torch.from_numpy(table), transposed)
    np.testing.assert_allclose(whole.numpy(), expected, atol=1e-5)
    some = torch.tensor([54, 3, 17, 0])
    assert torch.equal(multiply(matrix, torch.from_numpy(table), transposed, some), whole[some])


def test_the_same_product_has_the_same_bits():
    rng = np.random.default_rng(0)
    places = rng.choice(200 * 150, 4000, replace=False)
    rows, columns = places // 150, places % 150
    values = rng.standard_normal(4000).astype(np.float32)
    matrix = csr_from_edges(rows, columns, values, (200, 150))
    transposed = csr_from_edges(columns, rows, values, (150, 200))
    table = torch.from_numpy(rng.standard_normal((150, 32)).astype(np.float32)).requires_grad_()
    results = []
    for _ in range(3):
        table.grad = None
        product = multiply(matrix, table, transposed)
        product.pow(2).sum().backward()
        results.append((product.detach().clone(), table.grad.clone()))
    for product, gradient in results[1:]:
        assert torch.equal(product, results[0][0])
        assert torch.equal(gradient, results[0][1])


def test_chosen_rows_have_the_bits_of_the_whole_product():
    matrix, transposed = small_pair()
    table = torch.linspace(-1, 2, 9).reshape(3, 3)
    whole = multiply(matrix, table, transposed)
    assert torch.equal(multiply(matrix, table, transposed, torch.tensor([1, 0])), whole[[1, 0]])


def test_columns_of_rows_by_hand():
    # Node 0 names 5 and 9, node 1 names 5, node 2 nothing; 20 columns.
    rows, columns = np.array([0, 0, 1]), np.array([5, 9, 5])
    matrix = csr_from_edges(rows, columns, np.ones(3, np.float32), (3, 20))
    own = torch.tensor([0, 1])
    assert columns_of_rows(matrix, own, torch.tensor([2, 9])).tolist() == [2, 5, 9]
    assert columns_of_rows(matrix, torch.tensor([2]), torch.tensor([7])).tolist() == [7]


def test_columns_of_rows_are_not_sought_where_they_may_be_half_of_all():
    matrix, _ = small_pair()
    assert columns_of_rows(matrix, torch.tensor([1]), torch.tensor([1])) is None


@given(matrices(), st.data())
def test_what_is_cut_out_multiplies_like_the_rows_of_the_whole(case, data):
    matrix, transposed, table, plain = case
    rows = torch.tensor(data.draw(st.permutations(range(matrix.n_rows)))[: data.draw(st.integers(1, 9))])
    also = data.draw(st.sets(st.integers(0, matrix.n_columns - 1)))
    columns = torch.tensor(
        sorted({int(column) for column in plain[rows.numpy()].indices} | also), dtype=torch.long
    )
    small = cut_out(matrix, rows, columns)
    assert (small.n_rows, small.n_columns) == (len(rows), len(columns))
    assert torch.equal(product(small, table[columns]), product(matrix, table, rows))
    gradient = torch.linspace(-1, 1, 3 * len(rows)).reshape(-1, 3)
    back = product_of_rows_transposed(small, None, gradient, torch.arange(len(rows)))
    assert torch.equal(back, product_of_rows_transposed(matrix, transposed, gradient, rows)[columns])


def test_a_table_that_is_not_contiguous_is_read_correctly():
    matrix, transposed = small_pair()
    table = torch.arange(6.0).reshape(2, 3).T
    assert not table.is_contiguous()
    torch.testing.assert_close(multiply(matrix, table, transposed), multiply_reference(matrix, table))
    rows = torch.tensor([1])
    torch.testing.assert_close(
        multiply(matrix, table, transposed, rows), multiply_reference(matrix, table, rows)
    )


@settings(max_examples=30)
@given(matrices(), st.booleans())
def test_torch_alone_finds_the_same_products_and_gradients(case, double):
    matrix, transposed, table, _ = case
    table = table.double() if double else table
    for rows in (None, torch.arange(matrix.n_rows).flip(0)[::2]):
        found = []
        for way in (nullcontext, plain_torch):
            own = table.clone().requires_grad_()
            with way():
                out = multiply(matrix, own, transposed, rows)
                (out * torch.linspace(-1, 2, out.numel(), dtype=out.dtype).view_as(out)).sum().backward()
            found.append((out.detach(), own.grad))
        torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-5)
