"""Operands to compare the EVM's scalar arithmetic with the processor's: edges, and random bits bent to hard cases."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint32]
NAN = 0x7FC00000
SIGN = 0x80000000

_MAGNITUDES = (
    *(0, 1, 2, 3, 0x3FFFFF, 0x400000, 0x400001, 0x7FFFFE, 0x7FFFFF),  # zero and subnormals
    *(0x800000, 0x800001, 0xFFFFFF, 0x1000000, 0x1000001),  # the smallest normal numbers
    *(
        0x3EFFFFFF,
        0x3F000000,
        0x3F000001,
        0x3F7FFFFE,
        0x3F7FFFFF,
        0x3F800000,
        0x3F800001,
        0x3FC00000,
    ),  # about 1/2, 1, 3/2
    *(
        0x40000000,
        0x40200000,
        0x401FFFFF,
        0x40200001,
        0x40400000,
        0x40600000,
        0x40A00000,
        0x44FFE000,
    ),  # 2, 5/2, ..., 2047
    *(0x33000000, 0x33800000, 0x33FFFFFF, 0x34000000, 0x34000001, 0x1F800000, 0x20000000, 0x5F800000),  # 2^-25 ... 2^64
    *(0x4A7FFFFF, 0x4AFFFFFE, 0x4AFFFFFF, 0x4B000000, 0x4B000001, 0x4B7FFFFF, 0x4B800000, 0x4B800001),  # 2^22 to 2^24
    *(0x4EFFFFFF, 0x4F000000, 0x4F000001, 0x4F800000, 0x5EFFFFFF, 0x5F000000, 0x5F000001),  # 2^31, 2^32, 2^63
    *(0x7E7FFFFF, 0x7E800000, 0x7EFFFFFF, 0x7F000000, 0x7F7FFFFE, 0x7F7FFFFF, 0x7F800000),  # up to infinity
    *(0x7F800001, 0x7FBFFFFF, 0x7FC00000, 0x7FC00001, 0x7FFFFFFF),  # NaNs, signalling and quiet
)
EDGES: Bits = np.array([m | s for m in _MAGNITUDES for s in (0, SIGN)], dtype=np.uint32)


def floats(bits: Bits) -> NDArray[np.float32]:
    """The numbers that the bits mean."""
    return bits.view(np.float32)


def bits_of(numbers: NDArray[np.floating]) -> Bits:
    """The bits of fp32 numbers."""
    return np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)


def _uniform(draw: np.random.Generator, n: int) -> Bits:
    return draw.integers(0, 2**32, n, dtype=np.uint32)


def _sparse(draw: np.random.Generator, n: int) -> Bits:
    """Any exponent; a fraction of few high bits, or that plus or minus one unit, so that results are exact or ties."""
    fraction = draw.integers(0, 2**23, n) >> draw.integers(0, 24, n) << draw.integers(0, 24, n)
    fraction = (fraction + draw.choice((0, 0, 0, 1, -1), n)) & 0x7FFFFF
    return (draw.integers(0, 256, n) << 23 | fraction | draw.integers(0, 2, n) << 31).astype(np.uint32)


def _with_exponent(bits: Bits, exponent: NDArray[np.int64]) -> Bits:
    return (bits & np.uint32(0x807FFFFF)) | (np.clip(exponent, 0, 254).astype(np.uint32) << np.uint32(23))


def _exponent(bits: Bits) -> NDArray[np.int64]:
    return (bits >> np.uint32(23) & np.uint32(0xFF)).astype(np.int64)


def _partner(draw: np.random.Generator, a: Bits) -> Bits:
    """For each number one that makes a hard case with it."""
    n = len(a)
    e = _exponent(a)
    other = np.where(draw.random(n) < 0.5, _uniform(draw, n), _sparse(draw, n))
    nudged = (a ^ np.uint32(SIGN)) + draw.integers(-4, 5, n).astype(np.uint32)
    kinds = np.stack(
        [
            other,
            _with_exponent(other, e + draw.integers(-27, 28, n)),  # sums that overlap
            _with_exponent(other, e + draw.integers(-2, 3, n)),  # sums that cancel
            nudged,  # sums that all but vanish
            _with_exponent(other, 127 - e + draw.integers(-26, 4, n)),  # products about the smallest numbers
            _with_exponent(other, 381 - e + draw.integers(-2, 2, n)),  # products about the largest
            _with_exponent(other, e + 127 + draw.integers(-3, 26, n)),  # quotients about the smallest
            _with_exponent(other, e - 127 + draw.integers(-2, 3, n)),  # quotients about the largest
        ]
    )
    return np.ascontiguousarray(kinds[draw.integers(0, len(kinds), n), np.arange(n)])


def pairs(draw: np.random.Generator, n: int) -> tuple[Bits, Bits]:
    """Two arrays of at least ``n``: every pair of edges, then random ones, hard and plain."""
    a, b = (side.ravel() for side in np.meshgrid(EDGES, EDGES))
    rest = max(n - len(a), n // 2)
    x = np.where(draw.random(rest) < 0.5, _uniform(draw, rest), _sparse(draw, rest))
    y = _partner(draw, x)
    swap = draw.random(rest) < 0.5
    x, y = np.where(swap, y, x), np.where(swap, x, y)
    return np.concatenate([a, x]).astype(np.uint32), np.concatenate([b, y]).astype(np.uint32)


def singles(draw: np.random.Generator, n: int) -> Bits:
    """``n`` numbers or more: edges, halves of integers, squares and neighbours, numbers of integer size, any bits."""
    m = n // 5 + 1
    halves = bits_of(draw.integers(-(2**24), 2**24, m) / 2)
    squares = bits_of(draw.integers(0, 2**12, m).astype(np.float64) ** 2 * 2.0 ** draw.integers(-60, 60, m))
    sized = _with_exponent(_uniform(draw, m), draw.integers(125, 192, m))
    near = np.concatenate([halves, squares]) + draw.integers(-1, 2, 2 * m).astype(np.uint32)
    return np.concatenate([EDGES, near, sized, _uniform(draw, m), _sparse(draw, m)]).astype(np.uint32)


def integers(draw: np.random.Generator, n: int) -> NDArray[np.int64]:
    """``n`` int64 or more of every width, many halfway between two fp32 numbers or one off."""
    edges = [0, 1, -1, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 2, 2**24 + 3, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]
    m = n // 2 + 1
    plain = draw.integers(-(2**63), 2**63, m) >> draw.integers(0, 64, m)
    width = draw.integers(0, 38, m)
    tie = ((draw.integers(2**23, 2**24, m) * 2 + 1) << width) + draw.integers(-1, 2, m)
    return np.concatenate([edges, plain, np.where(draw.random(m) < 0.5, tie, -tie)]).astype(np.int64)


Binary = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.generic]]


def _extremum(choose: Binary, zero: Callable[[Bits, Bits], Bits]) -> Binary:
    """NumPy's maximum or minimum with the sign of a zero fixed by IEEE 754-2019 (-0 < +0); NumPy leaves it open."""

    def choice(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.generic]:
        both = (a == 0) & (b == 0)
        return np.where(both, floats(zero(a.view(np.uint32), b.view(np.uint32))), choose(a, b))

    return choice


BINARY: dict[str, Binary] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": _extremum(np.maximum, np.bitwise_and),
    "min": _extremum(np.minimum, np.bitwise_or),
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
}
"""By name, in the order of ``ScalarOps._binary``."""


def _to_integer(x: NDArray[np.float32], bits: int) -> NDArray[np.generic]:
    """Toward zero; -2^(bits-1) for what does not fit, which NumPy leaves open."""
    limit = np.float32(2.0 ** (bits - 1))
    fits = (x > -limit) & (x < limit)
    return np.where(fits, np.where(fits, x, 0).astype(np.int64), np.int64(-(2 ** (bits - 1))))


UNARY: dict[str, Callable[[NDArray[np.float32]], NDArray[np.generic]]] = {
    "sqrt": np.sqrt,
    "round_even": np.rint,
    "floor": np.floor,
    "abs": np.abs,
    "neg": np.negative,
    "to_int32": lambda x: _to_integer(x, 32),
    "to_int64": lambda x: _to_integer(x, 64),
}
"""By name, in the order of ``ScalarOps._unary``; ``fromInt`` follows them there."""
