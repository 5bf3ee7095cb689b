"""Exact products over rows of updates: integers in fp64, every partial sum below 2^53, so its order does not matter."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

CLAMP: Final = 2047
"""Largest magnitude of a coordinate in a distance: 12 bits, as everywhere in the arithmetic."""

_COLUMNS: Final = 1 << 14
"""Columns in hand at once; 2^14 products of 12-bit integers stay below 2^53 by far."""
_MIXED: Final = 1 << 13
_LIMB: Final = 1 << 26


def gram(rows: Sequence[Tensor], rate: float) -> Tensor:
    """Products of rows [columns] fp32 rounded to integers at ``rate`` a unit and clamped to 12 bits: int64 [n, n]."""
    total = torch.zeros((len(rows), len(rows)), dtype=torch.int64)
    for at in range(0, rows[0].numel(), _COLUMNS):
        q = torch.stack([row[at : at + _COLUMNS] for row in rows]) * rate
        q = torch.round(q.clamp(-CLAMP, CLAMP)).to(torch.float64)
        total += torch.matmul(q, q.t()).to(torch.int64)
    return total


class Grid(NamedTuple):
    """Values are clamped to +-``limit`` and are integers of up to 30 bits at ``rate`` a unit; ``step`` is one over it.

    All are powers of two, but a limit that is none.
    """

    limit: float
    rate: float
    step: float


def mix(rows: Sequence[Tensor], weights: Tensor, near: Tensor, grid: Grid) -> Tensor:
    """Weighted means of chosen rows [columns] fp32, on a grid, rounded half up: fp32 [n, columns].

    ``weights`` int64 [n]; ``near`` int64 [n, n] of 0 and 1 says whose values each mean takes, at least one.
    """
    totals = (near * weights).sum(-1, keepdim=True, dtype=torch.int64)
    out = torch.empty((len(rows), rows[0].numel()), dtype=torch.float32)
    for at in range(0, rows[0].numel(), _MIXED):
        held = torch.stack([row[at : at + _MIXED] for row in rows])
        steps = torch.round(held.clamp(-grid.limit, grid.limit) * grid.rate).to(torch.int64)
        sums = sums_of(near, steps * weights.unsqueeze(-1))
        mean = torch.div(sums * 2 + totals, totals * 2, rounding_mode="floor")
        out[:, at : at + _MIXED] = mean.to(torch.float32) * grid.step
    return out


def sums_of(choice: Tensor, values: Tensor) -> Tensor:
    """Sums of chosen rows: choice [m, n] of 0 and 1, values int64 [n, columns] -> int64 [m, columns].

    In two limbs of 26 bits; n stays below 2^15 and every sum below 2^62.
    """
    high = torch.div(values, _LIMB, rounding_mode="floor")
    low = values - high * _LIMB
    chosen = choice.to(torch.float64)
    top, bottom = (torch.matmul(chosen, limb.to(torch.float64)).to(torch.int64) for limb in (high, low))
    return top * _LIMB + bottom
