import numpy as np
import pytest

from alnico.kernels.pairs import pair_products


@pytest.mark.parametrize("width", [1, 3, 16, 200])
def test_products_are_those_of_the_rows(width):
    rng = np.random.default_rng(width)
    # Small whole numbers: sums are exact in any order.
    table = rng.integers(-3, 4, (9, width)).astype(np.float32)
    lefts, rights = rng.integers(0, 9, (2, 50)).astype(np.int32)
    np.testing.assert_array_equal(pair_products(table, lefts, rights), (table[lefts] * table[rights]).sum(1))


def test_equal_rows_have_equal_products():
    table = np.random.default_rng(0).standard_normal((6, 101)).astype(np.float32)
    table[4] = table[1]
    everybody = np.arange(6)
    found = [pair_products(table, everybody, np.full(6, row)) for row in (1, 4)]
    np.testing.assert_array_equal(*found)
    assert found[0][4] == found[0][1]


def test_no_pairs_have_no_products():
    nobody = np.zeros(0, np.int64)
    assert len(pair_products(np.ones((2, 3), np.float32), nobody, nobody)) == 0
