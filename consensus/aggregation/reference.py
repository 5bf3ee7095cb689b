"""The weighted mean of a window of each sorted column: what trimmed mean, median and mean have in common.

Values are compared as fp32 numbers, weights are integers, and what a cut leaves of a weight is counted exactly. What is
left of a column is then rounded to that column's own power-of-two grid of 30 bits, so that no value outside the window,
however large, costs the others any precision. Equal values share a place in the sum, so ties cannot matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from consensus.aggregation.network import exchanges

GRID_BITS: Final = 29
"""The largest kept value of a column is an integer below 2**30 on its grid."""
LEAST: Final = 2.0**-90
"""A column whose kept values all stay below this counts as zero: its grid would leave the normal numbers."""
NO_LIMIT: Final = float.fromhex("0x1.fffffep+127")
"""The largest finite fp32 number: nothing is clamped."""
_COLUMNS: Final = 1 << 15


@dataclass(frozen=True, slots=True)
class Window:
    """Of the cumulative weights, multiplied by ``unit``, the part from ``low`` to ``high`` times their sum is kept.

    Where the two are one, what touches that place counts once: the median, or the mean of two medians.
    """

    unit: int
    low: int
    high: int


ALL: Final = Window(1, 0, 1)
"""The plain weighted mean."""
MIDDLE: Final = Window(2, 1, 1)
"""The weighted median."""


def portable_window(rows: Sequence[Tensor], weights: Sequence[int], window: Window, limit: float) -> Tensor | None:
    """Mean of the window of every column of fp32 rows, clamped to +-limit first: fp32 [columns].

    None for a value that is not finite.
    """
    counts = torch.tensor(list(weights), dtype=torch.int64)
    parts = []
    for at in range(0, max(rows[0].numel(), 1), _COLUMNS):
        tile = [row[at : at + _COLUMNS] for row in rows]
        if not all(bool(torch.isfinite(row).all()) for row in tile):
            return None
        parts.append(window_of(counts, [row.clamp(-limit, limit) for row in tile], window))
    return torch.cat(parts)


def window_of(weights: Tensor, rows: Sequence[Tensor], window: Window) -> Tensor:
    """The mean in the ops that a program may hold; ``weights`` int64 [rows], ``rows`` finite fp32 of one shape."""
    values, carried = list(rows), [weights[i].expand(rows[0].shape) for i in range(len(rows))]
    if window != ALL:
        for i, j in exchanges(len(rows)):
            swap = values[i] >= values[j]
            for column in (values, carried):
                a, b = column[i], column[j]
                column[i], column[j] = torch.where(swap, b, a), torch.where(swap, a, b)
    total = weights.sum(dtype=torch.int64)
    kept = _touching(carried, total * window.low) if window.low == window.high else _kept(carried, total, window)
    whole = _sum(kept) if window.low == window.high else total * (window.high - window.low)
    return _mean_on_grid([torch.where(k >= 1, v, 0.0) for k, v in zip(kept, values, strict=True)], kept, whole)


def _kept(carried: Sequence[Tensor], total: Tensor, window: Window) -> list[Tensor]:
    """What of each weight lies in the window, int64."""
    low, high = total * window.low, total * window.high
    kept: list[Tensor] = []
    before, after = low, None
    for weight in carried:
        units = weight * window.unit
        after = units if after is None else after + units
        above = torch.where(after >= low, after, low)
        within = torch.where(above >= high, high, above)
        kept.append(within - before)
        before = within
    return kept


def _touching(carried: Sequence[Tensor], middle: Tensor) -> list[Tensor]:
    """1 where a doubled weight reaches the middle or starts there, else 0."""
    kept, before = [], torch.zeros_like(carried[0])
    for weight in carried:
        after = before + weight * 2
        reaching = torch.where(middle >= before, after, middle - 1) >= middle
        kept.append(reaching.to(torch.int64))
        before = after
    return kept


def _sum(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _mean_on_grid(values: Sequence[Tensor], kept: Sequence[Tensor], total: Tensor) -> Tensor:
    """Mean of finite values with integer weights of sum ``total``, a column on its own grid, rounded half up."""
    top = values[0].abs()
    for value in values[1:]:
        size = value.abs()
        top = torch.where(size >= top, size, top)
    live = top >= LEAST
    exponent = (top.view(torch.int32) >> 23) - 127
    rate = torch.where(live, ((GRID_BITS - exponent + 127) << 23).view(torch.float32), 0.0)
    grid = torch.where(live, ((exponent - GRID_BITS + 127) << 23).view(torch.float32), 0.0)
    steps = [torch.round(value * rate).to(torch.int64) for value in values]
    summed = _sum([step * weight for step, weight in zip(steps, kept, strict=True)])
    mean = torch.div(summed * 2 + total, total * 2, rounding_mode="floor")
    return mean.to(torch.float32) * grid
