"""A vector of float32 as one value in compiled code: rows of a table stay in registers.

`Vector(n)` holds ``16 n`` numbers. Numba keeps an accumulator that is an array in memory, since it
cannot know that two arrays do not overlap; a value of this type lives in registers. It is made of
n parts of 16, since LLVM has no good code for lengths that are no power of two; it splits the parts
for processors with shorter vectors.

A kernel says how long its vectors are by the length of a tuple of zeros (`chunks`), which is part
of its type. Tables are C-contiguous float32 arrays, `place` is a flat position in one, and no
position is checked.

| function | value |
|---|---|
| `zeros(chunks)`, `every(number, chunks)` | 0, the number in every lane |
| `load(table, place, chunks)` | table[place : place + 16 n] |
| `store(table, place, v)` | table[place : place + 16 n] = v |
| `add(a, b)`, `add_scaled(a, s, b)`, `add_product(a, b, c)` | a + b, a + s b, a + b * c |
| `quotient(a, b)`, `root(a)` | a / b, the square root of a |
| `larger(a, b)`, `largest(a)` | the larger lanes, the largest lane; of nan, any |
| `flipped(a, bits)` | a, its first 16 lanes negated where a bit is 1, the lowest for lane 0 |
| `exponential(a)` | exp(a) for a <= 88, 0 below -87.3; nan stays nan |
| `total(a)` | sum of a: the parts in order, then sixteen partial sums in halves |
| `dot(a, b)` | total of a * b |
| `prefetch(array, place)` | asks for the cache line of array[place] |
| `load_word(data, place)` | the bytes data[place : place + 8] as one number, the first lowest |

Two threads wait for each other with a number of 32 bits in the place of an entry of an array. Who
hears it reads what the other wrote before it was told.

| function | value |
|---|---|
| `tell(array, place, number)` | writes the number, after all that was written before |
| `heard(array, place)` | the number told there last |
| `give_way()` | lets the system run another thread |
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model

from eitheror._kernels.arrays import LANES

__all__ = [
    "LANES",
    "Vector",
    "add",
    "add_product",
    "add_scaled",
    "dot",
    "every",
    "exponential",
    "flipped",
    "give_way",
    "heard",
    "intrinsic_of",
    "larger",
    "largest",
    "load",
    "load_word",
    "prefetch",
    "quotient",
    "root",
    "store",
    "tell",
    "total",
    "zeros",
]

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_PART = ir.VectorType(_FLOAT, LANES)
_FUSED = ("contract",)  # a product and the sum after it may be one operation
_ROUNDS = 12582912.0  # 1.5 * 2**23: adding it leaves a whole number in the lowest bits
_LEAST = -87.3  # below it float32 has few digits left
# exp(r) for r within log(2) / 2 of 0: relative error 1.1e-7, before rounding
_EXP = (8.312520223e-3, 4.189015694e-2, 1.666711465e-1, 4.999923149e-1, 1.0, 1.0)


class Vector(types.Type):  # type: ignore[misc]
    """Numba's type of ``LANES * chunks`` float32 numbers held as one value."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        super().__init__(name=f"Vector({LANES * chunks})")


@register_model(Vector)
class _VectorModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.LiteralStructType([_PART] * vector.chunks))


def intrinsic_of(function: Callable[..., Any]) -> Any:
    """`numba.extending.intrinsic`, which has no types."""
    return cast(Any, intrinsic)(function)


def _address(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [place])


def _part_addresses(builder: Any, address: Any, chunks: int) -> list[Any]:
    first = builder.bitcast(address, _PART.as_pointer())
    return [builder.gep(first, [ir.Constant(_INT, i)]) for i in range(chunks)]


def _parts(builder: Any, vector: Any) -> list[Any]:
    return [builder.extract_value(vector, i) for i in range(len(vector.type.elements))]


def _whole(builder: Any, parts: list[Any]) -> Any:
    vector = ir.Constant(ir.LiteralStructType([_PART] * len(parts)), ir.Undefined)
    for i, part in enumerate(parts):
        vector = builder.insert_value(vector, part, i)
    return vector


def _every(value: float) -> Any:
    return ir.Constant(_PART, [value] * LANES)


def _spread(builder: Any, number: Any) -> Any:
    empty = ir.Constant(_PART, ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(_INT, 0))
    lanes = ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES)
    return builder.shuffle_vector(first, first, lanes)


def _halves(builder: Any, vector: Any, width: int) -> list[Any]:
    def lanes(start: int) -> Any:
        return ir.Constant(ir.VectorType(_INT, width), list(range(start, start + width)))

    return [builder.shuffle_vector(vector, vector, lanes(start)) for start in (0, width)]


def _fold(builder: Any, join: Callable[[Any, Any], Any], part: Any) -> Any:
    width = LANES
    while width > 1:
        width //= 2
        part = join(*_halves(builder, part, width))
    return builder.extract_element(part, ir.Constant(_INT, 0))


def _larger(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


@intrinsic_of
def zeros(typing: Any, chunks: Any) -> Any:
    """Return 0 in every lane."""
    vector = Vector(chunks.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _whole(builder, [_every(0.0)] * vector.chunks)

    return vector(chunks), generate


@intrinsic_of
def every(typing: Any, number: Any, chunks: Any) -> Any:
    """Return the number in every lane."""
    vector = Vector(chunks.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _whole(builder, [_spread(builder, args[0])] * vector.chunks)

    return vector(types.float32, chunks), generate


@intrinsic_of
def load(typing: Any, table: Any, place: Any, chunks: Any) -> Any:
    """Return the numbers of a table from a flat position on."""
    vector = Vector(chunks.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        parts = []
        for place in _part_addresses(builder, address, vector.chunks):
            parts.append(builder.load(place))
            parts[-1].align = 4
        return _whole(builder, parts)

    return vector(table, types.intp, chunks), generate


@intrinsic_of
def store(typing: Any, table: Any, place: Any, vector: Any) -> Any:
    """Write a value to a table from a flat position on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        places = _part_addresses(builder, address, vector.chunks)
        for place, part in zip(places, _parts(builder, args[2]), strict=True):
            builder.store(part, place).align = 4
        return context.get_dummy_value()

    return types.void(table, types.intp, vector), generate


@intrinsic_of
def add(typing: Any, a: Any, b: Any) -> Any:
    """Return a + b."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = zip(*(_parts(builder, arg) for arg in args), strict=True)
        return _whole(builder, [builder.fadd(x, y) for x, y in pairs])

    return a(a, b), generate


def _fused(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(a, builder.fmul(b, c, flags=_FUSED), flags=_FUSED)


@intrinsic_of
def add_scaled(typing: Any, a: Any, factor: Any, b: Any) -> Any:
    """Return a + factor * b."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        every = _spread(builder, args[1])
        pairs = zip(_parts(builder, args[0]), _parts(builder, args[2]), strict=True)
        return _whole(builder, [_fused(builder, x, every, y) for x, y in pairs])

    return a(a, types.float32, b), generate


@intrinsic_of
def add_product(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a + b * c."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        triples = zip(*(_parts(builder, arg) for arg in args), strict=True)
        return _whole(builder, [_fused(builder, *triple) for triple in triples])

    return a(a, b, c), generate


@intrinsic_of
def quotient(typing: Any, a: Any, b: Any) -> Any:
    """Return a / b."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = zip(*(_parts(builder, arg) for arg in args), strict=True)
        return _whole(builder, [builder.fdiv(x, y) for x, y in pairs])

    return a(a, b), generate


@intrinsic_of
def root(typing: Any, a: Any) -> Any:
    """Return the square root of a."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_PART, [_PART])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{LANES}f32")
        return _whole(builder, [builder.call(function, [x]) for x in _parts(builder, args[0])])

    return a(a), generate


@intrinsic_of
def larger(typing: Any, a: Any, b: Any) -> Any:
    """Return the larger of each two lanes; of nan, any."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = zip(*(_parts(builder, arg) for arg in args), strict=True)
        return _whole(builder, [_larger(builder, x, y) for x, y in pairs])

    return a(a, b), generate


@intrinsic_of
def largest(typing: Any, a: Any) -> Any:
    """Return the largest lane; of nan, any."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        top, *others = _parts(builder, args[0])
        for part in others:
            top = _larger(builder, top, part)
        return _fold(builder, partial(_larger, builder), top)

    return types.float32(a), generate


def _exponential(builder: Any, x: Any) -> Any:
    """``2**n exp(r)`` with ``r = x - n log 2``, log 2 in two numbers, and a polynomial in r."""
    low = _every(_LEAST)
    faint = builder.fcmp_ordered("<", x, low)
    x = builder.select(faint, low, x)
    shifted = _fused(builder, _every(_ROUNDS), x, _every(1.44269504))
    n = builder.fsub(shifted, _every(_ROUNDS))
    r = _fused(builder, x, n, _every(-0.693359375))
    r = _fused(builder, r, n, _every(2.12194440e-4))
    p = _every(_EXP[0])
    for factor in _EXP[1:]:
        p = _fused(builder, _every(factor), p, r)
    bits = ir.VectorType(_INT, LANES)
    # The number n stands in the lowest bits of `shifted`, and is added to the exponent of p.
    power = builder.shl(builder.bitcast(shifted, bits), ir.Constant(bits, [23] * LANES))
    raised = builder.bitcast(builder.add(builder.bitcast(p, bits), power), _PART)
    return builder.select(faint, _every(0.0), raised)


@intrinsic_of
def exponential(typing: Any, a: Any) -> Any:
    """Return exp of every lane, which is at most 88; relative error below 2e-7."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _whole(builder, [_exponential(builder, x) for x in _parts(builder, args[0])])

    return a(a), generate


@intrinsic_of
def flipped(typing: Any, a: Any, bits: Any) -> Any:
    """Return a, with the sign changed of each of 16 lanes whose bit is 1."""
    whole = ir.VectorType(_INT, LANES)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first, *others = _parts(builder, args[0])
        word = builder.insert_element(
            ir.Constant(whole, ir.Undefined), builder.trunc(args[1], _INT), ir.Constant(_INT, 0)
        )
        every = builder.shuffle_vector(word, word, ir.Constant(whole, [0] * LANES))
        places = ir.Constant(whole, [31 - lane for lane in range(LANES)])
        signs = builder.and_(builder.shl(every, places), ir.Constant(whole, [1 << 31] * LANES))
        turned = builder.xor(builder.bitcast(first, whole), signs)
        return _whole(builder, [builder.bitcast(turned, _PART), *others])

    return a(a, types.int64), generate


@intrinsic_of
def total(typing: Any, a: Any) -> Any:
    """Return the sum of all lanes, added in an order that the width alone decides."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first, *others = _parts(builder, args[0])
        for part in others:
            first = builder.fadd(first, part)
        return _fold(builder, builder.fadd, first)

    return types.float32(a), generate


@intrinsic_of
def dot(typing: Any, a: Any, b: Any) -> Any:
    """Return the sum of a * b, added in an order that the width alone decides."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        sums = _every(0.0)
        for x, y in zip(*(_parts(builder, arg) for arg in args), strict=True):
            sums = _fused(builder, sums, x, y)
        return _fold(builder, builder.fadd, sums)

    return types.float32(a, b), generate


@intrinsic_of
def load_word(typing: Any, data: Any, place: Any) -> Any:
    """Return eight bytes from a flat position on as one number, the first byte lowest."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        word = builder.load(builder.bitcast(address, ir.IntType(64).as_pointer()))
        word.align = 1
        return word

    return types.uint64(data, types.intp), generate


@intrinsic_of
def prefetch(typing: Any, array: Any, place: Any) -> Any:
    """Ask for the cache line of a flat position; changes nothing."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        byte = builder.bitcast(address, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [byte.type, _INT, _INT, _INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        read_near_data = [ir.Constant(_INT, n) for n in (0, 3, 1)]
        builder.call(function, [byte, *read_near_data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _word(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    address = _address(context, builder, array_type, array, place)
    return builder.bitcast(address, _INT.as_pointer())


@intrinsic_of
def tell(typing: Any, array: Any, place: Any, number: Any) -> Any:
    """Write a number in the place of an entry, after all that was written before."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = _word(context, builder, signature.args[0], args[0], args[1])
        builder.store_atomic(args[2], word, "release", 4)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int32), generate


@intrinsic_of
def heard(typing: Any, array: Any, place: Any) -> Any:
    """Return the number in the place of an entry; nothing is read before it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = _word(context, builder, signature.args[0], args[0], args[1])
        return builder.load_atomic(word, "acquire", 4)

    return types.int32(array, types.intp), generate


@intrinsic_of
def give_way(typing: Any) -> Any:
    """Let the system run another thread, where it has a call for that."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if hasattr(os, "sched_yield"):
            kind = ir.FunctionType(_INT, [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate
