"""Sixteen numbers at a time, against numpy."""

import numba
import numpy as np

from alnico.kernels import lanes as sixteen


def floats(seed=0, n=16):
    """Random float32."""
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32)


@numba.njit
def arithmetic(one, other, out):
    a, b = sixteen.load(one, 0), sixteen.load(other, 0)
    sixteen.store(out, 0, sixteen.plus(a, b))
    sixteen.store(out, 16, sixteen.minus(a, b))
    sixteen.store(out, 32, sixteen.times(a, b))
    sixteen.store(out, 48, sixteen.fused(a, b, a))
    sixteen.store(out, 64, sixteen.larger(a, b))
    sixteen.store(out, 80, sixteen.smaller(a, b))
    sixteen.store(out, 96, sixteen.where_at_least(a, b, a))
    sixteen.store(out, 112, sixteen.spread(one, 3))
    sixteen.store(out, 128, sixteen.same(other[2]))


def test_arithmetic_is_numpys():
    one, other, out = floats(0), floats(1), np.empty(9 * 16, np.float32)
    other[5] = one[5]
    arithmetic(one, other, out)
    # float64 holds the product of two float32 exactly: rounded once, as a fused product is.
    fused = (one.astype(np.float64) * other + one).astype(np.float32)
    expected = [one + other, one - other, one * other, fused, np.maximum(one, other), np.minimum(one, other)]
    expected += [np.where(one >= other, one, 0), np.full(16, one[3]), np.full(16, other[2])]
    np.testing.assert_array_equal(out, np.concatenate(expected))


@numba.njit
def sum_of(numbers, start):
    sixteen.fetch(numbers, start)
    return sixteen.total(sixteen.load(numbers, start))


def test_sums_begin_anywhere_and_go_by_halves():
    numbers = floats(n=40)
    left = numbers[7:23]
    while len(left) > 1:
        left = left[: len(left) // 2] + left[len(left) // 2 :]
    assert sum_of(numbers, 7) == left[0]


@numba.njit
def compared(one, bound):
    bits = sixteen.not_at_most(sixteen.load(one, 0), sixteen.same(np.float32(bound)))
    return bits, sixteen.lowest_bit(bits)


def test_bits_say_which_lanes_are_above_or_not_a_number():
    numbers = np.zeros(16, np.float32)
    numbers[[3, 15]] = 2
    numbers[9] = np.nan
    assert compared(numbers, 0) == (2**3 + 2**9 + 2**15, 3)


@numba.njit
def larger_of_halves(one, other, out):
    sixteen.store(out, 0, sixteen.larger_halves(sixteen.load(one, 0), sixteen.load(other, 0)))


def test_the_larger_of_halves_is_numpys():
    rng = np.random.default_rng(0)
    one, other = (rng.integers(-(2**15), 2**15, 32).astype(np.int16) for _ in range(2))
    out = np.empty(16, np.int32)
    larger_of_halves(one.view(np.int32), other.view(np.int32), out)
    np.testing.assert_array_equal(out.view(np.int16), np.maximum(one, other))


@numba.njit
def pairs(one, other, out):
    added = sixteen.load(out, 0)
    sixteen.store(out, 0, sixteen.add_products(added, sixteen.load(one, 0), sixteen.load(other, 0)))


def test_products_of_pairs_are_exact():
    rng = np.random.default_rng(0)
    one, other = (rng.integers(-(2**15) + 1, 2**15, 32).astype(np.int16) for _ in range(2))
    out = np.arange(16, dtype=np.int32)
    pairs(one.view(np.int32), other.view(np.int32), out)
    products = one.astype(np.int64) * other
    np.testing.assert_array_equal(out, np.arange(16) + products[::2] + products[1::2])


@numba.njit
def exponentials(numbers, out):
    for start in range(0, len(numbers), 16):
        sixteen.store(out, start, sixteen.exponential(sixteen.load(numbers, start)))


def test_exponentials_are_right_to_the_last_places():
    numbers = np.linspace(-87, 0, 16 * 5000).astype(np.float32)
    out = np.empty_like(numbers)
    exponentials(numbers, out)
    np.testing.assert_allclose(out, np.exp(numbers.astype(np.float64)), rtol=2 * 2.0**-23)
    assert out[-1] == 1


def test_exponentials_of_very_low_numbers_stay_above_zero():
    numbers = np.repeat(np.array([-np.inf, -1000, -87.5, -87], np.float32), 16)
    out = np.empty_like(numbers)
    exponentials(numbers, out)
    assert (out == out[-1]).all()
    assert out[-1] > 0


@numba.njit
def widened_bytes(numbers, start, out):
    sixteen.store(out, 0, sixteen.load_bytes(numbers, start))


def test_bytes_are_read_as_halves():
    numbers = np.random.default_rng(0).integers(-128, 128, 50).astype(np.int8)
    out = np.empty(16, np.int32)
    widened_bytes(numbers, 11, out)
    np.testing.assert_array_equal(out.view(np.int16), numbers[11:43])
