"""Sixteen numbers at a time: a vector register as a value inside compiled kernels.

What is written with these has one meaning on every machine, where loops leave to the compiler how many numbers go
together and in which order they are summed. The compiler splits a vector where registers are shorter. Nothing here
can be called outside a compiled function. Places in arrays count from their first number, unchecked: arrays must be
contiguous, indices inside them.

Compiled kernels are kept on disk and do not notice when this file changes: remove ``__pycache__`` then.
"""

from typing import Any, no_type_check

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

N_LANES = 16

_FLOATS = ir.VectorType(ir.FloatType(), N_LANES)
_INTS = ir.VectorType(ir.IntType(32), N_LANES)


class Lanes(types.Type):
    """Sixteen numbers of ``dtype``."""

    @no_type_check
    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    @no_type_check
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _FLOATS if kind.dtype == types.float32 else _INTS)


FLOATS: Any = Lanes(types.float32)
INTS: Any = Lanes(types.int32)


@no_type_check
def _address(context, builder, kind, array, index):
    first = context.make_array(kind)(context, builder, array).data
    return builder.gep(first, [index])


@no_type_check
def _picked(builder, vector, lanes):
    chosen = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), chosen)


@no_type_check
def _spread(builder, number):
    vector = ir.Constant(ir.VectorType(number.type, N_LANES), ir.Undefined)
    return _picked(
        builder, builder.insert_element(vector, number, ir.Constant(ir.IntType(32), 0)), [0] * N_LANES
    )


@no_type_check
def _same(number):
    return ir.Constant(_FLOATS, [number] * N_LANES)


@no_type_check
def _fused(builder, one, other, added):
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.v16f32")
    return builder.call(function, [one, other, added])


@intrinsic
@no_type_check
def load(typing, array, index):
    """The sixteen numbers of a float32 or int32 ``array`` from ``index`` on."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        kind = context.get_value_type(signature.return_type)
        return builder.load(builder.bitcast(address, kind.as_pointer()), align=4)

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
@no_type_check
def load_bytes(typing, array, index):
    """The thirty-two numbers of an int8 ``array`` from ``index`` on as int16, two in each int32."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        kind = ir.VectorType(ir.IntType(8), 2 * N_LANES)
        numbers = builder.load(builder.bitcast(address, kind.as_pointer()), align=1)
        return builder.bitcast(builder.sext(numbers, ir.VectorType(ir.IntType(16), 2 * N_LANES)), _INTS)

    return INTS(array, types.intp), generate


@intrinsic
@no_type_check
def store(typing, array, index, lanes):
    """Write ``lanes`` to ``array`` from ``index`` on."""

    def generate(context, builder, signature, arguments):
        array, index, lanes = arguments
        address = _address(context, builder, signature.args[0], array, index)
        builder.store(lanes, builder.bitcast(address, lanes.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
@no_type_check
def fetch(typing, array, index):
    """Have the cache line with the number at ``index`` brought near, without waiting for it."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature.args[0], *arguments)
        number = ir.IntType(32)
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        # To be read, to be kept, and data rather than instructions.
        builder.call(function, [builder.bitcast(address, pointer), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
@no_type_check
def spread(typing, array, index):
    """Sixteen times the number of ``array`` at ``index``."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, builder.load(_address(context, builder, signature.args[0], *arguments)))

    return Lanes(array.dtype)(array, types.intp), generate


@intrinsic
@no_type_check
def same(typing, number):
    """Sixteen times a float32 or int32."""

    def generate(context, builder, signature, arguments):
        return _spread(builder, arguments[0])

    return Lanes(number)(number), generate


@intrinsic
@no_type_check
def plus(typing, one, other):
    """one + other."""

    def generate(context, builder, signature, arguments):
        return builder.fadd(*arguments)

    return FLOATS(FLOATS, FLOATS), generate


@intrinsic
@no_type_check
def minus(typing, one, other):
    """one - other."""

    def generate(context, builder, signature, arguments):
        return builder.fsub(*arguments)

    return FLOATS(FLOATS, FLOATS), generate


@intrinsic
@no_type_check
def times(typing, one, other):
    """one * other."""

    def generate(context, builder, signature, arguments):
        return builder.fmul(*arguments)

    return FLOATS(FLOATS, FLOATS), generate


@intrinsic
@no_type_check
def fused(typing, one, other, added):
    """one * other + added, rounded once."""

    def generate(context, builder, signature, arguments):
        return _fused(builder, *arguments)

    return FLOATS(FLOATS, FLOATS, FLOATS), generate


@intrinsic
@no_type_check
def larger(typing, one, other):
    """The larger of the two, lane by lane; the second where one is not a number."""

    def generate(context, builder, signature, arguments):
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return FLOATS(FLOATS, FLOATS), generate


@intrinsic
@no_type_check
def smaller(typing, one, other):
    """The smaller of the two, lane by lane; the second where one is not a number."""

    def generate(context, builder, signature, arguments):
        return builder.select(builder.fcmp_ordered("<", *arguments), *arguments)

    return FLOATS(FLOATS, FLOATS), generate


@intrinsic
@no_type_check
def where_at_least(typing, one, bound, value):
    """``value`` in the lanes where one >= bound, 0 in the others."""

    def generate(context, builder, signature, arguments):
        one, bound, value = arguments
        return builder.select(builder.fcmp_ordered(">=", one, bound), value, _same(0.0))

    return FLOATS(FLOATS, FLOATS, FLOATS), generate


@intrinsic
@no_type_check
def not_at_most(typing, one, bound):
    """A whole number whose bit j says that lane j is not one <= bound (it is larger, or not a number)."""

    def generate(context, builder, signature, arguments):
        bits = builder.fcmp_unordered(">", *arguments)
        return builder.zext(builder.bitcast(bits, ir.IntType(N_LANES)), ir.IntType(64))

    return types.int64(FLOATS, FLOATS), generate


@intrinsic
@no_type_check
def lowest_bit(typing, bits):
    """The place of the lowest bit that is set; there must be one."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
@no_type_check
def total(typing, lanes):
    """The sum of the sixteen, by halves: lanes 0 and 8 first, the two remaining numbers last."""

    def generate(context, builder, signature, arguments):
        left, count = arguments[0], N_LANES
        while count > 1:
            count //= 2
            low = _picked(builder, left, list(range(count)))
            left = builder.fadd(low, _picked(builder, left, list(range(count, 2 * count))))
        return builder.extract_element(left, ir.Constant(ir.IntType(32), 0))

    return types.float32(FLOATS), generate


@intrinsic
@no_type_check
def as_floats(typing, lanes):
    """Whole numbers as floats."""

    def generate(context, builder, signature, arguments):
        return builder.sitofp(arguments[0], _FLOATS)

    return FLOATS(INTS), generate


@intrinsic
@no_type_check
def add_products(typing, added, one, other):
    """added + low(one) * low(other) + high(one) * high(other), each int32 read as two int16; wraps around.

    Compiles to one instruction on machines that multiply 16-bit pairs.
    """

    def generate(context, builder, signature, arguments):
        added, *factors = arguments
        halves = ir.VectorType(ir.IntType(16), 2 * N_LANES)
        wide = ir.VectorType(ir.IntType(32), 2 * N_LANES)
        one, other = (builder.sext(builder.bitcast(factor, halves), wide) for factor in factors)
        products = builder.mul(one, other)
        low = _picked(builder, products, list(range(0, 2 * N_LANES, 2)))
        high = _picked(builder, products, list(range(1, 2 * N_LANES, 2)))
        return builder.add(added, builder.add(low, high))

    return INTS(INTS, INTS, INTS), generate


@intrinsic
@no_type_check
def larger_halves(typing, one, other):
    """The larger of the two, each int32 read as two int16."""

    def generate(context, builder, signature, arguments):
        halves = ir.VectorType(ir.IntType(16), 2 * N_LANES)
        one, other = (builder.bitcast(argument, halves) for argument in arguments)
        return builder.bitcast(builder.select(builder.icmp_signed(">", one, other), one, other), _INTS)

    return INTS(INTS, INTS), generate


@intrinsic
@no_type_check
def exponential(typing, lanes):
    """e to the power of numbers that are at most 0, within 2 units in the last place; below -87 as at -87.

    Source: the scheme of Cephes' expf (S. Moshier): x = n ln 2 + r, and a polynomial in r.
    """

    def generate(context, builder, signature, arguments):
        least = _same(-87.0)
        x = builder.select(builder.fcmp_ordered(">", arguments[0], least), arguments[0], least)
        # Adding 1.5 * 2**23 rounds to a whole number, which then stands in the lowest bits.
        shifted = _fused(builder, x, _same(1.44269504088896341), _same(12582912.0))
        n = builder.fsub(shifted, _same(12582912.0))
        r = _fused(builder, n, _same(-0.693359375), x)
        r = _fused(builder, n, _same(2.12194440e-4), r)
        result = _same(1.9875691500e-4)
        for coefficient in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5):
            result = _fused(builder, result, r, _same(coefficient))
        result = _fused(builder, result, builder.fmul(r, r), builder.fadd(r, _same(1.0)))
        exponent = builder.shl(builder.bitcast(shifted, _INTS), ir.Constant(_INTS, [23] * N_LANES))
        return builder.bitcast(builder.add(builder.bitcast(result, _INTS), exponent), _FLOATS)

    return FLOATS(FLOATS), generate
