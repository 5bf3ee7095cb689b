"""One simulation from its specification to its report."""

from __future__ import annotations

from typing import Any

from bench.simulate.machines import Spec
from bench.simulate.network import Network
from bench.simulate.report import SAMPLE_MS, report, sample
from bench.simulate.rounds import Rounds


def simulate(spec: Spec) -> dict[str, Any]:
    """Run it; nothing but the specification decides the result."""
    network = Network(spec)
    rounds = Rounds(network)
    network.loop.every(SAMPLE_MS, lambda: sample(network))
    network.loop.run(3_600_000 * spec.hours)
    return report(network, rounds)
