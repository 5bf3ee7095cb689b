"""Weighted trimmed mean by coordinate (Yin, Chen, Ramchandran & Bartlett 2018, "Byzantine-robust distributed learning:
towards optimal statistical rates").

The weights act inside the rule: a share of the *weight* goes off each end of every sorted coordinate. A contribution
that the cut runs through keeps what is left of its weight, counted in integers.
"""

from dataclasses import dataclass
from math import gcd

from torch import Tensor

from consensus.aggregation.contributions import Columns, flat_output
from consensus.aggregation.reference import Window
from consensus.aggregation.window import window_mean
from consensus.errors import AggregationError
from economics.constants import TRIM
from economics.units import BPS, BasisPoints


def trimmed(trim: BasisPoints = TRIM) -> Window:
    """The window that ``trim`` of the weight off each end leaves, in the smallest integers."""
    if not 0 <= trim < BPS // 2:
        raise AggregationError("less than half of the weight can be trimmed off each end")
    step = gcd(trim, BPS)
    return Window(BPS // step, trim // step, (BPS - trim) // step)


@dataclass(frozen=True, slots=True)
class TrimmedMean:
    """Holds while less than ``trim`` of the weight attacks, whatever the size of what it sends."""

    trim: BasisPoints = TRIM

    def __call__(self, parts: Columns) -> dict[str, Tensor]:
        """Fp32 by name, shaped as the updates. Raises AggregationError."""
        return by_coordinate(parts, trimmed(self.trim))


def by_coordinate(parts: Columns, window: Window) -> dict[str, Tensor]:
    """The window's mean of every coordinate of every tensor."""
    joined = {}
    for name, shape in parts.shapes.items():
        out = flat_output(shape)
        for at, rows in parts.tiles(name):
            mean = window_mean(rows, parts.weights, window)
            out[at : at + mean.numel()] = mean
        joined[name] = out.reshape(shape)
    return joined
