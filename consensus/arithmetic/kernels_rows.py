"""Exact products over rows of updates: integers in fp64, every partial sum below 2^53, so its order does not matter."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

CLAMP: Final = 2047
"""Largest magnitude of a coordinate in a distance: 12 bits, as everywhere in the arithmetic."""

_COLUMNS: Final = 1 << 14
"""Columns in hand at once; 2^14 products of 12-bit integers stay below 2^53 by far."""
_LIMB: Final = 1 << 26


def gram(rows: Sequence[Tensor], rate: float) -> Tensor:
    """Products of rows [columns] fp32 rounded to integers at ``rate`` a unit and clamped to 12 bits: int64 [n, n]."""
    total = torch.zeros((len(rows), len(rows)), dtype=torch.int64)
    for at in range(0, rows[0].numel(), _COLUMNS):
        q = torch.stack([row[at : at + _COLUMNS] for row in rows]) * rate
        q = torch.round(q.clamp(-CLAMP, CLAMP)).to(torch.float64)
        total += torch.matmul(q, q.t()).to(torch.int64)
    return total


def sums_of(choice: Tensor, values: Tensor) -> Tensor:
    """Sums of chosen rows: choice [m, n] of 0 and 1, values int64 [n, columns] -> int64 [m, columns].

    In two limbs of 26 bits; n stays below 2^15 and every sum below 2^62.
    """
    high = torch.div(values, _LIMB, rounding_mode="floor")
    low = values - high * _LIMB
    chosen = choice.to(torch.float64)
    top, bottom = (torch.matmul(chosen, limb.to(torch.float64)).to(torch.int64) for limb in (high, low))
    return top * _LIMB + bottom
