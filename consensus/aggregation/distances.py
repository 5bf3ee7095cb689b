"""Squared distances between contributions, exactly, and the box that keeps a huge value from spoiling them.

A grid that had to hold the largest value would round honest updates to nothing as soon as one attacker sends 1e38. So
each tensor gets a box: four times the power of two below the median (over contributions) of their largest magnitudes.
While fewer than half attack, that median lies between two honest ones. Values outside are clamped, here and in what the
rule returns: clamping is as if the sender had sent the clamped update, so what is known of a rule still holds.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from consensus.aggregation.contributions import Columns, Rows
from consensus.aggregation.native import native_gram
from consensus.aggregation.proof import provider
from consensus.aggregation.reference import LEAST, NO_LIMIT
from consensus.arithmetic import kernels_rows
from consensus.errors import AggregationError

_BOX: Final = 2
"""log2 of the box's limit over the power of two at or below the median of the largest magnitudes."""
_BITS: Final = 11
"""The box's limit is 2**11 steps of a distance."""


@dataclass(frozen=True, slots=True)
class Box:
    """Limits of one tensor. ``exponent``: the limit is 2**exponent; None where the tensor counts as unchanged."""

    exponent: int | None

    @property
    def limit(self) -> float:
        """Largest magnitude; 0 for an unchanged tensor."""
        if self.exponent is None:
            return 0.0
        return NO_LIMIT if self.exponent > 127 else 2.0**self.exponent


def boxes(parts: Columns) -> dict[str, Box]:
    """The box of every tensor. Raises AggregationError on a value that is not finite."""
    return {name: _box(parts, name) for name in parts.shapes}


def _box(parts: Columns, name: str) -> Box:
    tops = torch.zeros(len(parts.weights))
    for _, rows in parts.tiles(name):
        tops = torch.maximum(tops, _tops(rows))
    if not bool(torch.isfinite(tops).all()):
        raise AggregationError("a contribution holds a value that is not finite")
    middle = sorted(tops.tolist())[(len(tops) - 1) // 2]
    if middle < LEAST:
        return Box(None)
    exponent = (int(torch.tensor(middle).view(torch.int32)) >> 23) - 127
    return Box(exponent + _BOX)


def _tops(rows: Rows) -> Tensor:
    """Largest magnitude of each row; NaN where a row holds one."""
    if not rows[0].numel():
        return torch.zeros(len(rows))
    ends = [torch.aminmax(row) for row in rows]
    return torch.stack([torch.maximum(end.max, -end.min) for end in ends])


def distances(parts: Columns, boxed: dict[str, Box]) -> list[list[int]]:
    """Squared Euclidean distances of all pairs, in one unit, of updates clamped to their boxes.

    Each tensor is rounded to steps of 2**-11 of its box.
    """
    exponents = [box.exponent for box in boxed.values() if box.exponent is not None]
    least, n = min(exponents, default=0), len(parts.weights)
    total = [[0] * n for _ in range(n)]
    for name, box in boxed.items():
        if box.exponent is None:
            continue
        gram = _gram(parts, name, 2.0 ** (_BITS - box.exponent))
        own = gram.diagonal()
        squares: list[list[int]] = (own.unsqueeze(0) + own.unsqueeze(1) - gram * 2).tolist()
        for at, row in enumerate(squares):
            total[at] = [sum_ + (d << 2 * (box.exponent - least)) for sum_, d in zip(total[at], row, strict=True)]
    return total


def _gram(parts: Columns, name: str, rate: float) -> Tensor:
    library, n = provider().library, len(parts.weights)
    total = torch.zeros((n, n), dtype=torch.int64)
    for _, rows in parts.tiles(name):
        if library is not None:
            total += native_gram(library, rows, rate, torch.get_num_threads())
        else:
            total += kernels_rows.gram(rows, rate)
    return total
