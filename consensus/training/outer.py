"""The outer step: final updates of a round -> the next global state, exactly.

A weighted mean through integers (so the order of the updates cannot matter), then Nesterov momentum (Sutskever et al.
2013) as DiLoCo uses it (Douillard et al. 2023), every op rounded by itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from consensus.arithmetic.numbers import round32
from consensus.errors import OuterStepError
from economics.constants import OUTER_MOMENTUM, OUTER_RATE, UPDATE_WEIGHT_MIN
from economics.units import BPS, BasisPoints

UPDATE_BITS: Final = 29
"""The largest coordinate of a round's updates is an integer below 2**30 on the common grid."""

TOTAL_BITS: Final = 63
_LEAST: Final = 2.0**-90
"""A tensor whose updates all stay below this counts as unchanged: its grid would leave the normal numbers."""


@dataclass(frozen=True, slots=True)
class GlobalState:
    """What a round starts from: weights and outer velocity by name, fp32."""

    weights: dict[str, Tensor]
    velocity: dict[str, Tensor]

    @classmethod
    def start(cls, weights: dict[str, Tensor]) -> "GlobalState":
        """The first round's: initial weights, zero velocity."""
        return cls(dict(weights), {name: torch.zeros_like(w) for name, w in weights.items()})


def update_of(start: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The pseudo-gradient of a claim: start weights - end weights."""
    return {name: w - end[name] for name, w in start.items()}


def update_weight(steps: int, freshness: int = BPS) -> int:
    """Integer weight of an update: sqrt(steps) x freshness (basis points), at least 0.1, in units of 1e-4."""
    return max(math.isqrt(steps * BPS * BPS) * freshness // BPS, int(UPDATE_WEIGHT_MIN))


def weighted_mean(parts: Sequence[tuple[int, Tensor]]) -> Tensor:
    """Mean of fp32 tensors of one shape with integer weights >= 1.

    All are rounded to a common power-of-two grid of 30 bits, summed as int64 with their weights, divided by the sum
    of weights rounding half up, and scaled back once. Raises OuterStepError on a value that is not finite or on
    weights too large for 63 bits.
    """
    total = sum(weight for weight, _ in parts)
    too_large = (2 * total + 1).bit_length() + UPDATE_BITS + 1 > TOTAL_BITS
    if not parts or too_large or any(weight < 1 for weight, _ in parts):
        raise OuterStepError("the weights of a mean are at least 1 and their sum stays below 2^32")
    top = torch.stack([t.abs().amax() for _, t in parts]).amax()
    if not bool(torch.isfinite(top)):
        raise OuterStepError("an update holds a value that is not finite")
    if float(top) < _LEAST:
        return torch.zeros_like(parts[0][1])
    exponent = (top.view(torch.int32) >> 23) - 127
    rate = ((UPDATE_BITS - exponent + 127) << 23).view(torch.float32)
    grid = ((exponent - UPDATE_BITS + 127) << 23).view(torch.float32)
    summed = torch.zeros(parts[0][1].shape, dtype=torch.int64)
    for weight, t in parts:
        summed = summed + torch.round(t * rate).to(torch.int64) * weight
    mean = torch.div(summed * 2 + total, 2 * total, rounding_mode="floor")
    return mean.to(torch.float32) * grid


def outer_step(state: GlobalState, updates: Sequence[tuple[int, Mapping[str, Tensor]]]) -> GlobalState:
    """The next global state from (integer weight, update) pairs; ``state`` is left as it was.

    v' = momentum v + mean; w' = w - rate (mean + momentum v'). Raises OuterStepError when there is no update, an
    update is not finite or has other tensors, or a weight would leave the finite range.
    """
    rate, momentum = _ratio(OUTER_RATE), _ratio(OUTER_MOMENTUM)
    weights, velocity = {}, {}
    for name, w in state.weights.items():
        if any(name not in update or update[name].shape != w.shape for _, update in updates):
            raise OuterStepError(f"an update does not hold {name} in the model's shape")
        mean = weighted_mean([(weight, update[name]) for weight, update in updates])
        velocity[name] = state.velocity[name] * momentum + mean
        weights[name] = w - (mean + velocity[name] * momentum) * rate
        if not bool(torch.isfinite(weights[name]).all()):
            raise OuterStepError(f"{name} would leave the finite range")
    return GlobalState(weights, velocity)


def _ratio(value: BasisPoints) -> float:
    return round32(value / BPS)
