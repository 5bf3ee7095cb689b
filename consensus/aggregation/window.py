"""The mean of a window of each sorted column, by the fastest kernel that proved itself here."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from consensus.aggregation.native import native_window
from consensus.aggregation.proof import provider
from consensus.aggregation.reference import NO_LIMIT, Window, portable_window
from consensus.errors import AggregationError

UNITS_MAX: Final = 2**31
"""Weights times unit stay below: a sum of 30-bit values so weighted, doubled, stays inside 63 bits."""


def window_mean(rows: Sequence[Tensor], weights: Sequence[int], window: Window, limit: float = NO_LIMIT) -> Tensor:
    """Mean of the window of every column of ``rows`` (fp32 [columns] each, clamped to +-limit first): fp32 [columns].

    The same bits whatever the order of the rows and the number of threads. Raises AggregationError on a value that is
    not finite, or weights out of range.
    """
    check_weights(weights, window.unit)
    chosen = provider()
    if chosen.library is not None:
        total = sum(weights)
        bounds = (window.unit, window.low * total, window.high * total)
        out = native_window(chosen.library, rows, weights, bounds, limit, torch.get_num_threads())
    else:
        out = portable_window(rows, weights, window, limit)
    if out is None:
        raise AggregationError("a contribution holds a value that is not finite")
    return out


def check_weights(weights: Sequence[int], unit: int = 1) -> None:
    """Raises AggregationError unless there are weights, each is at least 1 and their sum is in range."""
    if not weights or any(weight < 1 for weight in weights) or sum(weights) * unit >= UNITS_MAX:
        raise AggregationError(f"the weights of a mean are at least 1 and their sum stays below {UNITS_MAX // unit:,}")
