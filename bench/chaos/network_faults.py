"""Faults of the network between nodes: cut and healed, slow and lossy. They need the namespaces of bench.netlab."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.chaos.fleet import HOLDINGS, Fleet
from bench.chaos.quorum_faults import Report, agreed, first_round, in_batch, options, successor, verdict
from bench.netlab import Link, lab

CUT_SECONDS: Final = 20.0
TIMEOUT: Final = 10.0
REDIAL_LIMIT: Final = 120.0
"""Seconds from healing to a round: a redial pause of at most 60 s and TCP's own, then forming and a round."""
LATENCY: Final = Link(latency=0.2, loss=0.05)
LOSSY_SECONDS: Final = 600.0
LOSSY_TIMEOUT: Final = 120.0
"""For a neighbour's next message: at 5% loss and 400 ms there and back, TCP carries about 20 KB a second."""


def partition_healed(folder: Path) -> Report:
    """The last member is cut off for twice the timeout, so that the quorum breaks; then all of it works again."""
    with lab(3) as net, Fleet(folder, options(), net) as fleet:
        fleet.start(HOLDINGS)
        old, members = first_round(fleet)
        in_batch(members[0], old)
        away = fleet.nodes.index(members[-1])
        cut = time.monotonic()
        net.cut([away], [at for at in range(3) if at != away])
        failed = [node.next(lambda line: line.get("quorum") == old and "failed" in line, 90, cut) for node in members]
        noticed = max(line["at"] for line in failed) - cut
        time.sleep(max(0.0, CUT_SECONDS - noticed))  # the fault's own length, not a wait for something
        alone = not [line for line in fleet.rounds() if line["at"] > cut]
        since = time.monotonic()
        net.heal()
        recovery, _ = successor(members, old, since, REDIAL_LIMIT)
        return verdict(recovery, REDIAL_LIMIT, agreed(fleet), noticed_s=round(noticed, 1), nothing_trained_apart=alone)


def latency_and_loss(folder: Path) -> Report:
    """200 ms each way and 5% of all packets lost: the quorum forms and trains, and no message is late."""
    given = options(preset="micro", steps=4, rounds=2, timeout=LOSSY_TIMEOUT, more=("--tell-steps", "--pace", "6"))
    with lab(3, LATENCY, seed=1) as net, Fleet(folder, given, net) as fleet:
        since = time.monotonic()
        fleet.start(HOLDINGS)
        lines = [node.next(lambda line: line.get("round") == 2, LOSSY_SECONDS) for node in fleet.nodes]
        took = max(line["at"] for line in lines) - since
        broken = [line for node in fleet.nodes for line in node.said if "failed" in line]
        found = agreed(fleet) | {"never_broke": not broken, "round_s": max(line["seconds"] for line in lines)}
        return verdict(took, LOSSY_SECONDS, found, packets_lost=net.dropped, packets=net.forwarded + net.dropped)


CASES: Final[dict[str, Callable[[Path], Report]]] = {
    "partition_healed": partition_healed,
    "latency_200ms_loss_5pc": latency_and_loss,
}
