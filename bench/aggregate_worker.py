"""One aggregation by our rules; prints {"seconds", "extra_mb"} as JSON. Arguments as bench/oracle_worker.py, without
LIBRARY; ``--weighted`` gives every contribution another weight."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from bench.peak import given, measured
from consensus.aggregation import Contributions, Krum, Median, Mixed, MultiKrum, Rule, TrimmedMean
from consensus.aggregation.proof import provider
from economics.units import BPS, BasisPoints


def rule_of(name: str, f: int, n: int, library: str) -> Rule:
    """The rule that coincides with the library's for ``f`` attackers of ``n`` equal weights.

    ByzFL's Krum adds up n - f - 1 distances where the paper, Flower and we add up n - f - 2: ours against one attacker
    less is the same rule.
    """
    fewer = f - 1 if library == "byzfl" else f
    rules: dict[str, Rule] = {
        "trimmed_mean": TrimmedMean(BasisPoints(BPS * f // n)),
        "median": Median(),
        "krum": Krum(fewer),
        "multi_krum": MultiKrum(fewer, n - f),
    }
    plain = name.removeprefix("nnm_")
    return rules[plain] if plain == name else Mixed(f, rules[plain])


def aggregate(rule: Rule, x: np.ndarray, weighted: bool = False) -> np.ndarray:
    """The rule over the rows of fp32 [contributions, parameters]."""
    parts = [(10_000 + 997 * i * weighted, {"x": torch.from_numpy(row)}) for i, row in enumerate(x)]
    return rule(Contributions.of(parts))["x"].numpy()


def main() -> None:
    """Load, aggregate once, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rule")
    parser.add_argument("attackers", type=int)
    parser.add_argument("input")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weighted", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    x = given(options.input)
    rule = rule_of(options.rule, options.attackers, len(x), "byzfl")
    chosen = provider()  # its self-check is once a process, not once an aggregation
    aggregate(rule, x[:, :1000])
    _, figures = measured(lambda: aggregate(rule, x, options.weighted))
    print(json.dumps(figures | {"kernel": chosen.name}))


if __name__ == "__main__":
    main()
