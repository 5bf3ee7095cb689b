"""One aggregation by ByzFL or Flower, in a Python that has them; prints {"seconds", "extra_mb"} as JSON.

    .stamps/oracles/bin/python bench/oracle_worker.py LIBRARY RULE ATTACKERS INPUT [OUTPUT] [--threads N]

INPUT is a .npy of fp32 [contributions, parameters], or ROWSxCOLUMNS for random numbers. Only the aggregators are
loaded: the libraries' own packages would pull in data sets, plotting and RPC.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from bench.peak import given, measured

Vectors = Any
MIXED_FIRST = "nnm_"


def bare(package: str) -> types.ModuleType:
    """A package whose modules can be imported without running its ``__init__``."""
    spec = importlib.util.find_spec(package) if "." not in package else None
    module = types.ModuleType(package)
    if spec is not None and spec.submodule_search_locations is not None:
        module.__path__ = list(spec.submodule_search_locations)
    sys.modules[package] = module
    return module


def byzfl(rule: str, f: int) -> Callable[[np.ndarray], np.ndarray]:
    """ByzFL's rule on torch tensors, the median on numpy arrays (its torch median stops at 16M numbers)."""
    root = Path(bare("byzfl").__path__[0])
    for part in ("aggregators", "utils"):
        package = types.ModuleType(f"byzfl.{part}")
        package.__path__ = [str(root / part)]
        sys.modules[f"byzfl.{part}"] = package
    rules = importlib.import_module("byzfl.aggregators.aggregators")
    mixing = importlib.import_module("byzfl.aggregators.preaggregators")
    plain = rule.removeprefix(MIXED_FIRST)
    made = {
        "trimmed_mean": lambda: rules.TrMean(f),
        "median": rules.Median,
        "krum": lambda: rules.Krum(f),
        "multi_krum": lambda: rules.MultiKrum(f),
    }[plain]()
    before = mixing.NNM(f) if rule != plain else lambda x: x
    if rule == "median":
        return made  # type: ignore[no-any-return]
    return lambda x: made(before(torch.from_numpy(x))).numpy()  # type: ignore[no-any-return]


def flower(rule: str, f: int) -> Callable[[np.ndarray], np.ndarray]:
    """Flower's rule on numpy arrays; every client with one example."""
    spec = importlib.util.find_spec("flwr")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("flwr is not installed here")
    source = Path(spec.submodule_search_locations[0]) / "server" / "strategy" / "aggregate.py"
    for name in ("flwr", "flwr.common", "flwr.server", "flwr.server.client_proxy"):
        bare(name)
    for name in ("FitRes", "NDArray", "NDArrays", "parameters_to_ndarrays"):
        setattr(sys.modules["flwr.common"], name, Any)
    sys.modules["flwr.server.client_proxy"].ClientProxy = Any  # type: ignore[attr-defined]
    place = importlib.util.spec_from_file_location("flwr_aggregate", source)
    if place is None or place.loader is None:
        raise ModuleNotFoundError(f"{source} cannot be loaded")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    calls: dict[str, Callable[[list[Any]], Any]] = {
        "trimmed_mean": lambda r: module.aggregate_trimmed_avg(r, f / len(r))[0],
        "median": lambda r: module.aggregate_median(r)[0],
        "krum": lambda r: module.aggregate_krum(r, f, 0)[0],
        "multi_krum": lambda r: module.aggregate_krum(r, f, len(r) - f)[0],
    }
    return lambda x: calls[rule]([([row], 1) for row in x])


def main() -> None:
    """Load, aggregate once, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=["byzfl", "flower"])
    parser.add_argument("rule")
    parser.add_argument("attackers", type=int)
    parser.add_argument("input")
    parser.add_argument("output", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rule = {"byzfl": byzfl, "flower": flower}[options.library](options.rule, options.attackers)
    x = given(options.input)
    result, figures = measured(lambda: rule(x))
    if options.output:
        np.save(options.output, np.asarray(result, dtype=np.float64))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
