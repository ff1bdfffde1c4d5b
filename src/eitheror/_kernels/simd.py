"""A vector of float32 as one value in compiled code: rows of a table stay in registers.

`Vector(n)` holds ``16 n`` numbers. Numba keeps an accumulator that is an array in memory, since it
cannot know that two arrays do not overlap; a value of this type lives in registers. LLVM splits it
for processors with shorter vectors.

A kernel says how long its vectors are by the length of a tuple of zeros (`chunks`), which is part
of its type. Tables are C-contiguous float32 arrays, `place` is a flat position in one, and no
position is checked.

| function | value |
|---|---|
| `zeros(chunks)` | 0 |
| `load(table, place, chunks)` | table[place : place + 16 n] |
| `store(table, place, v)` | table[place : place + 16 n] = v |
| `add(a, b)`, `add_scaled(a, s, b)` | a + b, a + s b |
| `add_product(a, b, c)` | a + b * c, lane by lane |
| `dot(a, b)` | sum of a * b: sixteen partial sums in order, added in halves |
| `prefetch(array, place)` | asks for the cache line of array[place] |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model

__all__ = [
    "LANES",
    "Vector",
    "add",
    "add_product",
    "add_scaled",
    "dot",
    "load",
    "prefetch",
    "store",
    "zeros",
]

LANES = 16
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FUSED = ("contract",)  # a product and the sum after it may be one operation


class Vector(types.Type):  # type: ignore[misc]
    """Numba's type of ``LANES * chunks`` float32 numbers held as one value."""

    def __init__(self, chunks: int) -> None:
        self.width = LANES * chunks
        super().__init__(name=f"Vector({self.width})")


@register_model(Vector)
class _VectorModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(_FLOAT, vector.width))


def _intrinsic(function: Callable[..., Any]) -> Any:
    """`numba.extending.intrinsic`, which has no types."""
    return cast(Any, intrinsic)(function)


def _address(context: Any, builder: Any, array_type: Any, array: Any, place: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [place])


def _wide(builder: Any, address: Any, width: int) -> Any:
    return builder.bitcast(address, ir.VectorType(_FLOAT, width).as_pointer())


def _part(builder: Any, vector: Any, start: int, stop: int) -> Any:
    lanes = ir.Constant(ir.VectorType(_INT, stop - start), list(range(start, stop)))
    return builder.shuffle_vector(vector, vector, lanes)


@_intrinsic
def zeros(typing: Any, chunks: Any) -> Any:
    """Return 0 in every lane."""
    vector = Vector(chunks.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(ir.VectorType(_FLOAT, vector.width), [0.0] * vector.width)

    return vector(chunks), generate


@_intrinsic
def load(typing: Any, table: Any, place: Any, chunks: Any) -> Any:
    """Return the numbers of a table from a flat position on."""
    vector = Vector(chunks.count)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        value = builder.load(_wide(builder, address, vector.width))
        value.align = 4
        return value

    return vector(table, types.intp, chunks), generate


@_intrinsic
def store(typing: Any, table: Any, place: Any, vector: Any) -> Any:
    """Write a value to a table from a flat position on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        written = builder.store(args[2], _wide(builder, address, vector.width))
        written.align = 4
        return context.get_dummy_value()

    return types.void(table, types.intp, vector), generate


@_intrinsic
def add(typing: Any, a: Any, b: Any) -> Any:
    """Return a + b."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fadd(args[0], args[1])

    return a(a, b), generate


@_intrinsic
def add_scaled(typing: Any, a: Any, factor: Any, b: Any) -> Any:
    """Return a + factor * b."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        empty = ir.Constant(args[0].type, ir.Undefined)
        first = builder.insert_element(empty, args[1], ir.Constant(_INT, 0))
        lanes = ir.Constant(ir.VectorType(_INT, a.width), [0] * a.width)
        every = builder.shuffle_vector(first, first, lanes)
        product = builder.fmul(every, args[2], flags=_FUSED)
        return builder.fadd(args[0], product, flags=_FUSED)

    return a(a, types.float32, b), generate


@_intrinsic
def add_product(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a + b * c."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        product = builder.fmul(args[1], args[2], flags=_FUSED)
        return builder.fadd(args[0], product, flags=_FUSED)

    return a(a, b, c), generate


@_intrinsic
def dot(typing: Any, a: Any, b: Any) -> Any:
    """Return the sum of a * b, added in an order that the width alone decides."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        product = builder.fmul(args[0], args[1])
        total = _part(builder, product, 0, LANES)
        for start in range(LANES, a.width, LANES):
            total = builder.fadd(total, _part(builder, product, start, start + LANES))
        width = LANES
        while width > 1:
            width //= 2
            upper = _part(builder, total, width, 2 * width)
            total = builder.fadd(_part(builder, total, 0, width), upper)
        return builder.extract_element(total, ir.Constant(_INT, 0))

    return types.float32(a, b), generate


@_intrinsic
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
