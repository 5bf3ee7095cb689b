"""The outer step: final updates of a round -> the next global state, exactly.

The weighted trimmed mean (consensus/aggregation: its weights and sums are integers, so the order of the updates cannot
matter), then Nesterov momentum (Sutskever et al. 2013) as DiLoCo uses it (Douillard et al. 2023), every op rounded by
itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from consensus.aggregation import Contributions, Rule, TrimmedMean
from consensus.arithmetic.numbers import round32
from consensus.errors import OuterStepError
from economics.constants import OUTER_MOMENTUM, OUTER_RATE, UPDATE_WEIGHT_MIN
from economics.units import BPS, BasisPoints

DEFAULT_RULE: Final[Rule] = TrimmedMean()
"""What the outer step's program computes, and so what a claimed outer step is judged by."""


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
    """The pseudo-gradient of a claim: start weights - end weights, where the start lies."""
    return {name: w - end[name].to(w.device) for name, w in start.items()}


def update_weight(steps: int, freshness: int = BPS) -> int:
    """Integer weight of an update: sqrt(steps) x freshness (basis points), at least 0.1, in units of 1e-4."""
    return max(math.isqrt(steps * BPS * BPS) * freshness // BPS, int(UPDATE_WEIGHT_MIN))


def momentum_step(w: Tensor, velocity: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """One tensor's next weights and velocity: v' = momentum v + mean; w' = w - rate (mean + momentum v')."""
    rate, momentum = _ratio(OUTER_RATE), _ratio(OUTER_MOMENTUM)
    velocity = velocity * momentum + mean
    return w - (mean + velocity * momentum) * rate, velocity


def outer_step(
    state: GlobalState, updates: Sequence[tuple[int, Mapping[str, Tensor]]], rule: Rule = DEFAULT_RULE
) -> GlobalState:
    """The next global state from (integer weight, update) pairs; ``state`` is left as it was.

    ``rule`` joins the updates; with another than the default, the result is not what the outer step's program computes.
    Raises OuterStepError when there is no update, an update is not finite or has other tensors, a weight is out of
    range, the rule needs more updates, or a weight of the model would leave the finite range.
    """
    joined = rule(Contributions.of(updates, {name: tuple(w.shape) for name, w in state.weights.items()}))
    weights, velocity = {}, {}
    for name, w in state.weights.items():
        weights[name], velocity[name] = momentum_step(w, state.velocity[name], joined[name])
        if not bool(torch.isfinite(weights[name]).all()):
            raise OuterStepError(f"{name} would leave the finite range")
    return GlobalState(weights, velocity)


def _ratio(value: BasisPoints) -> float:
    return round32(value / BPS)
