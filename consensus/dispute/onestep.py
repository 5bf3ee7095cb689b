"""One element of one op, from the elements it reads: what the contract computes to end a dispute.

Numbers travel as bits: 32 of a float, a signed integer otherwise, 0 or 1 of a boolean.
"""

import math
import struct
from collections.abc import Callable, Iterator
from itertools import product
from typing import Final

import numpy as np

from consensus.errors import ProgramError
from consensus.program.ops import DType, Kind, Op, Operand

Read = Callable[[int, int], int]
"""(op, flat index) -> the committed bits of that element of that op's output."""

NAN: Final = 0x7FC00000
"""The one NaN: processors choose its sign and payload, so every NaN result is this one."""

_I32: Final = 2**31
_INTEGER_BITS: Final = {DType.INT16: 16, DType.INT32: 32, DType.INT64: 64}


def element(op: Op, index: int, read: Read) -> int:
    """The bits of element ``index`` (row-major) of the output of ``op``.

    Raises ProgramError for an INPUT, which nothing computes, and IndexError outside the shape or for a gather beyond
    its table.
    """
    if op.kind is Kind.INPUT:
        raise ProgramError(f"input {op.name} is given, not computed")
    return _wrap(_element(op, unravel(index, op.shape), read), op.dtype)


def _element(op: Op, at: tuple[int, ...], read: Read) -> int:
    if op.kind is Kind.IOTA:
        return at[0]
    if op.kind is Kind.STACK:
        return value(op.operands[at[0]], at, read)
    if op.kind is Kind.GATHER:
        return _gather(op, at, read)
    if op.extent:
        return _REDUCTIONS[op.kind](op, at, read)
    parts = [value(operand, at, read) for operand in op.operands]
    return _integer(op, parts[0]) if op.kind is Kind.TO_INT else _ELEMENTWISE[op.kind](*parts)


def unravel(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The multi-index of a flat row-major index; raises IndexError outside the shape."""
    if not 0 <= index < math.prod(shape):
        raise IndexError(f"element {index} of shape {shape}")
    at = []
    for size in reversed(shape):
        index, place = divmod(index, size)
        at.append(place)
    return tuple(reversed(at))


def reads(op: Op, index: int) -> Iterator[tuple[int, int]]:
    """(op, flat index) of every element that ``element`` reads, but the one a GATHER's index points at."""
    at = unravel(index, op.shape)
    operands = (op.operands[at[0]],) if op.kind is Kind.STACK else op.operands
    for number, operand in enumerate(operands):
        if operand.source is None or (op.kind is Kind.GATHER and number == 0):
            continue
        for rest in product(*(range(size) for size in op.extent)):
            yield operand.source, place(operand, (*at, *rest))


def places(op: Op, number: int, index: int, read: Read) -> list[int]:
    """Flat indices of what operand ``number`` reads for element ``index``, in the order of the extent.

    Empty for a constant and for an operand of a STACK that this element does not read.
    """
    at, operand = unravel(index, op.shape), op.operands[number]
    if operand.source is None or (op.kind is Kind.STACK and number != at[0]):
        return []
    if op.kind is Kind.GATHER and number == 0:
        return [place(operand, at) + value(op.operands[1], at, read) * op.attributes[0]]
    return [place(operand, (*at, *rest)) for rest in product(*(range(size) for size in op.extent))]


def place(operand: Operand, at: tuple[int, ...]) -> int:
    """The flat index that an operand reads at a multi-index."""
    return operand.offset + sum(i * stride for i, stride in zip(at, operand.strides, strict=True))


def value(operand: Operand, at: tuple[int, ...], read: Read) -> int:
    """The bits that an operand has at a multi-index."""
    if operand.source is None:
        return operand.bits - 2**64 if operand.bits >> 63 else operand.bits
    return read(operand.source, place(operand, at))


def _terms(op: Op, at: tuple[int, ...], read: Read) -> Iterator[list[int]]:
    for rest in product(*(range(size) for size in op.extent)):
        yield [value(operand, (*at, *rest), read) for operand in op.operands]


def _gather(op: Op, at: tuple[int, ...], read: Read) -> int:
    table, index = op.operands
    stride, limit = op.attributes
    row = value(index, at, read)
    if table.source is None or not 0 <= row < limit:
        raise IndexError(f"row {row} of a table of {limit}")
    return read(table.source, place(table, at) + row * stride)


def _largest(op: Op, at: tuple[int, ...], read: Read) -> int:
    best: float | None = None
    for (bits,) in _terms(op, at, read):
        one = _number(bits)
        if math.isnan(one):
            return NAN
        best = one if best is None else max(best, one)
    if best is None:
        raise ProgramError("the maximum of nothing")
    return _bits(np.float32(best)) if best else 0  # a largest zero is +0: processors differ in which sign they keep


def _sum(op: Op, at: tuple[int, ...], read: Read) -> int:
    return sum(term for (term,) in _terms(op, at, read))


def _dot(op: Op, at: tuple[int, ...], read: Read) -> int:
    return sum(a * b for a, b in _terms(op, at, read))


def _sum_at(op: Op, at: tuple[int, ...], read: Read) -> int:
    return sum(term for index, term in _terms(op, at, read) if index == at[0])


def _number(bits: int) -> float:
    return float(struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0])


def _bits(number: np.float32) -> int:
    return NAN if np.isnan(number) else int(number.view(np.uint32))


def _float(operation: Callable[..., np.float32]) -> Callable[..., int]:
    """An IEEE operation on bits."""

    def on_bits(*parts: int) -> int:
        numbers = [np.array(part & 0xFFFFFFFF, dtype=np.uint32).view(np.float32)[()] for part in parts]
        with np.errstate(all="ignore"):
            return _bits(np.float32(operation(*numbers)))

    return on_bits


def _root(x: np.float32) -> np.float32:
    return np.float32(math.sqrt(float(x))) if x >= 0 else np.float32(np.nan)


def _integer(op: Op, bits: int) -> int:
    number = _number(bits)
    least = -(1 << (_INTEGER_BITS[op.dtype] - 1))
    return int(number) if least <= number < -least else least


def _signed(bits: int) -> int:
    bits &= 0xFFFFFFFF
    return bits - 2**32 if bits & _I32 else bits


def _wrap(number: int, dtype: DType) -> int:
    """What memory keeps of a result: integers modulo their width, floats and booleans as they are."""
    if dtype not in _INTEGER_BITS:
        return number
    width = _INTEGER_BITS[dtype]
    number &= (1 << width) - 1
    return number - (1 << width) if number >> (width - 1) else number


def _from_integer(number: int) -> int:
    return _bits(np.float32(np.int64(number)))


_ELEMENTWISE: Final[dict[Kind, Callable[..., int]]] = {
    Kind.COPY: lambda x: x,
    Kind.ADD: _float(lambda a, b: a + b),
    Kind.SUB: _float(lambda a, b: a - b),
    Kind.MUL: _float(lambda a, b: a * b),
    Kind.DIV: _float(lambda a, b: a / b),
    Kind.SQRT: _float(_root),
    Kind.ROUND: _float(np.rint),
    Kind.ABS: _float(np.abs),
    Kind.GT: lambda a, b: int(_number(a) > _number(b)),
    Kind.GE: lambda a, b: int(_number(a) >= _number(b)),
    Kind.LT: lambda a, b: int(_number(a) < _number(b)),
    Kind.WHERE: lambda condition, yes, no: yes if condition else no,
    Kind.TO_FLOAT: _from_integer,
    Kind.AS_INT: _signed,
    Kind.AS_FLOAT: lambda x: x & 0xFFFFFFFF,
    Kind.INT_ADD: lambda a, b: a + b,
    Kind.INT_SUB: lambda a, b: a - b,
    Kind.INT_MUL: lambda a, b: a * b,
    Kind.INT_DIV: lambda a, b: a // b if b else 0,
    Kind.INT_GE: lambda a, b: int(a >= b),
    Kind.INT_EQ: lambda a, b: int(a == b),
    Kind.SHL: lambda x, by: _signed(x << by),
    Kind.SHR: lambda x, by: x >> by,
}
_REDUCTIONS: Final[dict[Kind, Callable[[Op, tuple[int, ...], Read], int]]] = {
    Kind.MAX: _largest,
    Kind.INT_SUM: _sum,
    Kind.DOT: _dot,
    Kind.SUM_AT: _sum_at,
}

JUDGED: Final = frozenset({*_ELEMENTWISE, *_REDUCTIONS, Kind.TO_INT, Kind.IOTA, Kind.STACK, Kind.GATHER})
"""Kinds that one scalar decides. INPUT is decided by roots: of the state before, the batch and the schedule."""
