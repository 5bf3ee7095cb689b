"""How soon a node that knows one other is known to all: real peer processes, started one after another."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.accounts import NumberedAccount
from bench.net_fleet import quantiles
from economics.constants import MIN_STAKE
from node.net.client import Network
from node.net.limits import WANTED_MEMBERS
from node.net.settings import NetSettings, StakeSource

PATIENCE: Final = 60.0


def measure(nodes: int) -> dict[str, Any]:
    """From a node's first sign of life until it is connected to all before it, or to as many as it wants: p50 and p95
    in milliseconds; `found`: how many nodes came so far in PATIENCE seconds."""
    seconds: list[float] = []
    with tempfile.TemporaryDirectory(prefix="net") as folder, ExitStack() as stack:
        stakes = {NumberedAccount(number + 1).address: int(MIN_STAKE) for number in range(nodes)}
        (Path(folder) / "stakes.json").write_text(json.dumps(stakes))
        first: list[str] = []
        for number in range(nodes):
            network = stack.enter_context(join(Path(folder), number, first))
            if number:
                took = connected(network, min(number, WANTED_MEMBERS))
                seconds += [took] if took is not None else []
            else:
                first = network.addresses()[:1]
    return {**quantiles(seconds), "found": len(seconds), "expected": nodes - 1}


def join(folder: Path, number: int, bootstrap: list[str]) -> Network:
    """One peer process; it knows the one at `bootstrap`."""
    stakes = StakeSource(file=folder / "stakes.json")
    home = folder / str(number)
    settings = NetSettings(home=home, network="ab" * 32, bootstrap=bootstrap, stakes=stakes)
    return Network.start(settings, NumberedAccount(number + 1))


def connected(network: Network, peers: int) -> float | None:
    """Seconds until so many peers are connected; None if they are not in time."""
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        if len(network.peers()) >= peers:
            return time.monotonic() - began
        time.sleep(0.005)  # the pace of asking
    return None
