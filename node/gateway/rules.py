"""Which rule joins a gateway's updates, and which step moves its weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from math import gcd
from typing import Final

from consensus.aggregation import Krum, Mean, Median, Mixed, MultiKrum, Rule, TrimmedMean
from consensus.aggregation.window import UNITS_MAX
from consensus.training.federated import FedAdam, FedAvg, ServerStep
from economics.units import BPS, BasisPoints
from node.gateway.errors import GatewayConfigError
from node.gateway.settings import GatewaySettings

_SPARSE: Final = frozenset({"topk", "twobit"})
_BY_COORDINATE: Final = frozenset({"trimmed_mean", "median", "nnm_trimmed_mean"})
_WEIGHT_UNIT: Final = 64
_RULE_UNITS: Final = 10
"""A trimmed mean counts a weight at most so many times over."""

_LEAST: Final[Mapping[str, Callable[[int], int]]] = {
    "krum": lambda f: 2 * f + 3,
    "multi_krum": lambda f: 2 * f + 3,
    "nnm_trimmed_mean": lambda f: 2 * f + 1,
}


def join_of(settings: GatewaySettings) -> Rule:
    """The rule that joins updates.

    Raises:
        GatewayConfigError: it cannot do anything with the codec of the updates.
    """
    if settings.rule in _BY_COORDINATE and settings.codec in _SPARSE:
        raise GatewayConfigError(
            f"The rule {settings.rule} joins nothing of updates in {settings.codec}, which are zero at most places.",
            "Set --codec int8, or a rule that joins whole updates.",
        )
    f = settings.attackers
    rules: dict[str, Callable[[], Rule]] = {
        "mean": Mean,
        "trimmed_mean": TrimmedMean,
        "median": Median,
        "krum": lambda: Krum(f),
        "multi_krum": lambda: MultiKrum(f),
        "nnm_trimmed_mean": lambda: Mixed(f, TrimmedMean(BasisPoints(3 * BPS // 10))),
    }
    return rules[settings.rule]()


def least_updates(settings: GatewaySettings) -> int:
    """Batches below which the rule cannot join."""
    least = _LEAST.get(settings.rule)
    return 1 if least is None else least(settings.attackers)


def step_of(settings: GatewaySettings) -> ServerStep:
    """What moves the weights by the joined update."""
    return FedAdam(eta=settings.server_eta) if settings.server == "fedadam" else FedAvg(settings.server_rate)


def small(weights: Sequence[int]) -> list[int]:
    """Weights in the same proportions, small enough for every rule to sum them; rounded where they have to be."""
    common = gcd(*weights)
    found = [one // common for one in weights]
    while sum(found) * _RULE_UNITS >= UNITS_MAX:
        found = [max(1, one >> 1) for one in found]
    return found


def weight(samples: int, lag: int) -> int:
    """Integer weight of an update that is `lag` versions old: its samples, over the square root of 1 + lag (Nguyen et
    al. 2022, "Federated learning with buffered asynchronous aggregation"), in units of 1/64 sample, at least 1."""
    return max(1, samples * _WEIGHT_UNIT * 1_000 // math.isqrt((1 + lag) * 1_000_000))
