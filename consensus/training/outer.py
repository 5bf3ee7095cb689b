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
    updates = [t for _, t in parts]
    if not bool(torch.isfinite(_largest(updates))):
        raise OuterStepError("an update holds a value that is not finite")
    return mean_of(torch.tensor([weight for weight, _ in parts], dtype=torch.int64), updates)


def mean_of(weights: Tensor, updates: Sequence[Tensor]) -> Tensor:
    """The mean in tensor operations alone, as the outer step's program holds it; ``weights`` int64 [updates]."""
    top = _largest(updates)
    live = top >= _LEAST
    exponent = (top.view(torch.int32) >> 23) - 127
    rate = torch.where(live, ((UPDATE_BITS - exponent + 127) << 23).view(torch.float32), 0.0)
    grid = torch.where(live, ((exponent - UPDATE_BITS + 127) << 23).view(torch.float32), 0.0)
    summed = torch.zeros(updates[0].shape, dtype=torch.int64)
    for at, t in enumerate(updates):
        summed = summed + torch.round(t * rate).to(torch.int64) * weights[at]
    total = weights.sum(dtype=torch.int64)
    mean = torch.div(summed * 2 + total, total * 2, rounding_mode="floor")
    return mean.to(torch.float32) * grid


def momentum_step(w: Tensor, velocity: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """One tensor's next weights and velocity: v' = momentum v + mean; w' = w - rate (mean + momentum v')."""
    rate, momentum = _ratio(OUTER_RATE), _ratio(OUTER_MOMENTUM)
    velocity = velocity * momentum + mean
    return w - (mean + velocity * momentum) * rate, velocity


def _largest(updates: Sequence[Tensor]) -> Tensor:
    """The largest magnitude of all, row by row, so that no single maximum runs over a whole matrix."""
    tops = [t.abs().amax(-1) if t.dim() else t.abs() for t in updates]
    return torch.stack([top.amax() if top.dim() else top for top in tops]).amax()


def outer_step(state: GlobalState, updates: Sequence[tuple[int, Mapping[str, Tensor]]]) -> GlobalState:
    """The next global state from (integer weight, update) pairs; ``state`` is left as it was.

    Raises OuterStepError when there is no update, an update is not finite or has other tensors, or a weight would leave
    the finite range.
    """
    weights, velocity = {}, {}
    for name, w in state.weights.items():
        if any(name not in update or update[name].shape != w.shape for _, update in updates):
            raise OuterStepError(f"an update does not hold {name} in the model's shape")
        mean = weighted_mean([(weight, update[name]) for weight, update in updates])
        weights[name], velocity[name] = momentum_step(w, state.velocity[name], mean)
        if not bool(torch.isfinite(weights[name]).all()):
            raise OuterStepError(f"{name} would leave the finite range")
    return GlobalState(weights, velocity)


def _ratio(value: BasisPoints) -> float:
    return round32(value / BPS)
