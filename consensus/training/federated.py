"""A server's step from joined updates to the next weights, exactly: federated averaging (McMahan et al. 2017) and
FedAdam (Reddi, Charles, Zaheer, Garrett, Rush, Konečný, Kumar & McMahan 2020, "Adaptive federated optimization",
algorithm 2).

An update is start - end, so the joined one is a gradient to go down. A rule of `consensus.aggregation` joins; what
stands here only moves the weights.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from consensus.arithmetic.engine import AdamWConstants, Engine
from consensus.arithmetic.numbers import round32
from consensus.errors import OuterStepError


@dataclass(frozen=True, slots=True)
class ServerState:
    """Weights and both moments by name (fp32), and the steps taken since the moments were zero."""

    weights: Mapping[str, Tensor]
    m: Mapping[str, Tensor]
    v: Mapping[str, Tensor]
    step: int = 0

    @classmethod
    def start(cls, weights: Mapping[str, Tensor]) -> "ServerState":
        """With zero moments."""
        zero = {name: torch.zeros_like(w) for name, w in weights.items()}
        return cls(dict(weights), zero, {name: t.clone() for name, t in zero.items()})


class ServerStep(Protocol):
    """Moves the weights by a joined update."""

    def __call__(self, engine: Engine, state: ServerState, joined: Mapping[str, Tensor]) -> ServerState:
        """The next state; the given one is left as it was. Raises OuterStepError when a weight would leave the
        finite range."""


@dataclass(frozen=True, slots=True)
class FedAvg:
    """w' = w - rate x joined. At rate 1 the next weights are the mean of the volunteers' end weights."""

    rate: float = 1.0

    def __call__(self, engine: Engine, state: ServerState, joined: Mapping[str, Tensor]) -> ServerState:
        """As `ServerStep`; the moments stay what they were, the engine is not used."""
        rate = round32(self.rate)
        weights = {name: w - joined[name] * rate for name, w in state.weights.items()}
        _require_finite(weights)
        return ServerState(weights, state.m, state.v, state.step + 1)


@dataclass(frozen=True, slots=True)
class FedAdam:
    """m' = beta1 m + (1 - beta1) joined; v' = beta2 v + (1 - beta2) joined^2; w' = w - rate m' / (sqrt(v') + tau).

    The rate of step t is eta sqrt(1 - beta2^t) / (1 - beta1^t), Adam's correction of moments that start at zero (Kingma
    & Ba 2015, section 2, last line).
    """

    eta: float = 0.003
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-4

    def constants(self, step: int) -> AdamWConstants:
        """Constants of the 0-based ``step``. Powers are repeated fp64 products, the square root is IEEE's."""
        power1, power2 = 1.0, 1.0
        for _ in range(step + 1):
            power1 *= self.beta1
            power2 *= self.beta2
        return AdamWConstants(
            beta1=round32(self.beta1),
            one_minus_beta1=round32(1.0 - self.beta1),
            beta2=round32(self.beta2),
            one_minus_beta2=round32(1.0 - self.beta2),
            correct1=1.0,
            correct2=1.0,
            eps=round32(self.tau),
            lr=round32(self.eta * math.sqrt(1.0 - power2) / (1.0 - power1)),
            decay=1.0,
        )

    def __call__(self, engine: Engine, state: ServerState, joined: Mapping[str, Tensor]) -> ServerState:
        """As `ServerStep`, by the engine's own Adam: any two engines give the same bits."""
        constants = self.constants(state.step)
        weights, m, v = ({name: t.clone() for name, t in part.items()} for part in (state.weights, state.m, state.v))
        for name, w in weights.items():
            if not engine.adamw(w, m[name], v[name], joined[name].contiguous(), constants):
                raise OuterStepError(f"{name} would leave the finite range")
        return ServerState(weights, m, v, state.step + 1)


def _require_finite(weights: Mapping[str, Tensor]) -> None:
    for name, w in weights.items():
        if not bool(torch.isfinite(w).all()):
            raise OuterStepError(f"{name} would leave the finite range")
