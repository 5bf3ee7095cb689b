"""The numbers of the arithmetic that every kernel shares. Changing one changes every root: it is a new program."""

import struct
from typing import Final

BLOCK: Final = 512
"""Terms that one integer product contracts; longer contractions add block results in order."""

QMAX: Final = 2047
"""Largest magnitude of a matmul operand: 12 bits, two int8 limbs. 512 * 2047**2 < 2**31."""

TINY: Final = 2.0**-100
"""A row whose largest magnitude is below this quantises to zero, so that 2047 / max never overflows."""

SUM_BITS: Final = 22
"""Finest grid of an exact sum: the row's maximum times 2**-22."""


def hex32(text: str) -> float:
    """An fp32 constant from its hexadecimal form; refuses one that fp32 cannot hold."""
    value = float.fromhex(text)
    if struct.unpack("<f", struct.pack("<f", value))[0] != value:
        raise ValueError(f"{text} is not an fp32 number")
    return value


LOSS_MAX: Final = 16384.0
"""Nats; a token's loss counts at most this much, so that it fits an integer of 16 fractional bits on any processor."""

LOG2E: Final = hex32("0x1.715476p+0")
LN2: Final = hex32("0x1.62e430p-1")

EXP2_POLYNOMIAL: Final = tuple(
    hex32(c)
    for c in (
        "0x1.444004p-13",
        "0x1.5f0896p-10",
        "0x1.3b2a1cp-7",
        "0x1.c6af6cp-5",
        "0x1.ebfbe0p-3",
        "0x1.62e430p-1",
        "0x1p+0",
    )
)
"""2**f on [-1/2, 1/2], highest power first, evaluated by Horner with separate rounding of product and sum."""

LOG2_POLYNOMIAL: Final = tuple(hex32(c) for c in ("0x1.a61762p-2", "0x1.2776c6p-1", "0x1.ec709ep-1", "0x1.715476p+1"))
"""2 / ((2k+1) ln 2): log2(m) as an odd polynomial of (m - 1) / (m + 1), m in [3/4, 3/2)."""


def round32(value: float) -> float:
    """The nearest fp32 number (ties to even), as a Python float."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def sum_grid(n: int) -> float:
    """Steps between zero and a row's maximum when ``n`` terms are summed, so that the sum fits an int32."""
    ceil_log2 = (n - 1).bit_length() if n > 1 else 0
    return 2.0 ** min(SUM_BITS, 30 - ceil_log2)
