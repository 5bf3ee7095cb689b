"""Rounds of Flower's FedAvg and FedAdam, in a Python that has it: the weights after every round.

    .stamps/oracles/bin/python bench/federated_worker.py fedavg|fedadam INPUT.npz OUTPUT.npy

INPUT: `start` [parameters], `updates` [rounds, clients, parameters] (start - end), `samples` [clients], and for
FedAdam `settings` [eta, beta1, beta2, tau]. OUTPUT: fp64 [rounds, parameters]. As in bench/oracle_worker.py only the
strategies' own arithmetic is loaded; what they inherit from is given here.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from bench.oracle_worker import bare

Vectors = Any


def strategy(name: str) -> types.ModuleType:
    """A module of Flower's strategies, without running its package."""
    source = Path(sys.modules["flwr"].__path__[0]) / "server" / "strategy" / f"{name}.py"
    place = importlib.util.spec_from_file_location(f"flwr.server.strategy.{name}", source)
    if place is None or place.loader is None:
        raise ModuleNotFoundError(f"{source} cannot be loaded")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


def prepare() -> None:
    """Stand-ins for what the strategies import and these rounds never call."""
    bare("flwr")
    found = [bare(name) for name in ("flwr.common", "flwr.server", "flwr.server.client_proxy", "flwr.server.strategy")]
    common = ("FitRes", "MetricsAggregationFn", "NDArray", "NDArrays", "Parameters", "Scalar")
    for name in common:
        setattr(found[0], name, Any)
    for name in ("ndarrays_to_parameters", "parameters_to_ndarrays"):
        setattr(found[0], name, lambda arrays: arrays)
    found[2].ClientProxy = Any  # type: ignore[attr-defined]


class FedOpt:
    """What FedAdam inherits: its settings, and FedAvg's mean."""

    mean: Any = None

    def __init__(self, **settings: Any) -> None:
        self.eta, self.tau = settings["eta"], settings["tau"]
        self.beta_1, self.beta_2 = settings["beta_1"], settings["beta_2"]
        self.current_weights, self.m_t, self.v_t = settings["initial_parameters"], None, None

    def aggregate_fit(self, server_round: int, results: list[Any], failures: list[Any]) -> tuple[Any, dict[str, Any]]:
        return FedOpt.mean(results), {}


def run(kind: str, given: Any) -> Vectors:
    """Weights after each round, fp64."""
    prepare()
    FedOpt.mean = strategy("aggregate").aggregate
    fedopt = bare("flwr.server.strategy.fedopt")
    fedopt.FedOpt = FedOpt  # type: ignore[attr-defined]
    weights, out = given["start"].astype(np.float64), []
    adam = None
    if kind == "fedadam":
        eta, beta1, beta2, tau = given["settings"].tolist()
        adam = strategy("fedadam").FedAdam(initial_parameters=[weights], eta=eta, beta_1=beta1, beta_2=beta2, tau=tau)
    for number, updates in enumerate(given["updates"]):
        results = [([weights - u], int(n)) for u, n in zip(updates, given["samples"], strict=True)]
        # Counted from 0: Flower takes the power of (round + 1).
        weights = FedOpt.mean(results)[0] if adam is None else adam.aggregate_fit(number, results, [])[0][0]
        out.append(weights)
    return np.stack(out)


def main() -> None:
    """Load, run, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["fedavg", "fedadam"])
    parser.add_argument("input")
    parser.add_argument("output")
    options = parser.parse_args()
    with np.load(options.input) as given:
        np.save(options.output, run(options.kind, given))


if __name__ == "__main__":
    main()
