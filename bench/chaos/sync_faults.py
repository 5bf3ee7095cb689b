"""Members killed while updates are exchanged for the outer step: everyone comes to the root of one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bench.chaos.fleet import Fleet, HangError, Node, Said
from bench.chaos.quorum_faults import FIRST_SECONDS, Report, options, verdict
from bench.netlab import Link, lab
from bench.quorum_node import MODELS, outer_alone
from bench.quorum_sync import SYNC_SECONDS

ALONE: Final = ("0:6",) * 3
"""Three that each hold the whole model and train alone: what is exchanged is theirs."""
STEPS: Final = 4
THIN: Final = Link(latency=0.005, rate=400_000)
"""400 KB a second: an update of `wide`, 3.3 MB, is under way for eight seconds."""
LIMIT: Final = SYNC_SECONDS
MIB: Final = 1 << 20
ROUND: Final = 1


def trained(fleet: Fleet) -> list[dict[str, Any]]:
    """Every node trains one round; their updates as a sync command names them. Everyone may have a copy of each."""
    fleet.start(ALONE)
    lines = [node.next(lambda line: line.get("round") == ROUND, FIRST_SECONDS) for node in fleet.nodes]
    peers = [node.peer for node in fleet.nodes]
    return [
        {
            "leader": node.peer,
            "account": line["leader"],
            "root": line["update"],
            "steps": STEPS,
            "holders": [node.peer, *(peer for peer in peers if peer != node.peer)],
        }
        for node, line in zip(fleet.nodes, lines, strict=True)
    ]


def sync(nodes: list[Node], updates: list[dict[str, Any]]) -> None:
    """Tell them to take the outer step."""
    for node in nodes:
        node.tell(do="sync", round=ROUND, updates=updates)


def synced(nodes: list[Node], since: float) -> list[Said]:
    """What came of it at each; raises HangError."""
    return [node.next(lambda line: "synced" in line, LIMIT, since) for node in nodes]


def judged(fleet: Fleet, updates: list[dict[str, Any]], lines: list[Said], since: float, **more: object) -> Report:
    """The report: all have the root of one process that nothing disturbs."""
    leaders = [bytes.fromhex(one["account"]) for one in updates]
    true = outer_alone(MODELS[fleet.options.preset], ROUND, leaders, STEPS).hex()
    roots = {line["synced"] for line in lines}
    took = max(line["at"] for line in lines) - since
    return verdict(took, LIMIT, {"no_divergence": len(roots) == 1, "roots_of_one_process": roots == {true}}, **more)


def arriving(fleet: Fleet, taker: int, leader: Node) -> int:
    """Bytes of a leader's update that a node has so far, unfinished."""
    folder = fleet.folder / str(taker + 1) / "fetched" / leader.peer
    return max((path.stat().st_size for path in folder.glob(".*.part")), default=0)


def under_way(fleet: Fleet, taker: int, leader: Node) -> None:
    """Wait until more than a chunk of the leader's update has come, and not all of it."""
    until = time.monotonic() + LIMIT
    while arriving(fleet, taker, leader) < MIB:
        if time.monotonic() > until:
            raise HangError("no transfer was met under way")
        time.sleep(0.005)  # the pace of looking


def again(node: Node) -> float:
    """Start it again with its key and folder, to train no more; seconds until it serves."""
    began = time.monotonic()
    at = node.command.index("--rounds")
    node.command[at + 1] = "0"
    node.start()
    node.ready()
    return round(time.monotonic() - began, 1)


def giver_killed(folder: Path) -> Report:
    """A member is killed while it sends its update to the others, and started again."""
    with lab(3, THIN) as net, Fleet(folder, options(rounds=1, steps=STEPS, preset="wide"), net) as fleet:
        updates = trained(fleet)
        giver, takers = fleet.nodes[1], [fleet.nodes[0], fleet.nodes[2]]
        began = time.monotonic()
        sync(takers, updates)
        under_way(fleet, 0, giver)
        since = time.monotonic()
        giver.kill()
        started = again(giver)
        sync([giver], updates)
        return judged(fleet, updates, synced([*takers, giver], began), since, started_s=started)


def taker_killed(folder: Path) -> Report:
    """A member is killed while it fetches, and started again: it goes on where it was."""
    with lab(3, THIN) as net, Fleet(folder, options(rounds=1, steps=STEPS, preset="wide"), net) as fleet:
        updates = trained(fleet)
        giver, taker = fleet.nodes[1], fleet.nodes[0]
        sync([taker], updates)
        under_way(fleet, 0, giver)
        since = time.monotonic()
        taker.kill()
        kept = arriving(fleet, 0, giver) >= MIB
        started = again(taker)
        sync(fleet.nodes, updates)
        return judged(fleet, updates, synced(fleet.nodes, since), since, started_s=started, kept_what_had_come=kept)


def leader_gone(folder: Path) -> Report:
    """A member is lost for good once one other has its update: the rest have it from there."""
    with Fleet(folder, options(rounds=1, steps=STEPS)) as fleet:
        updates = trained(fleet)
        began = time.monotonic()
        sync([fleet.nodes[2]], updates)
        synced([fleet.nodes[2]], began)
        since = time.monotonic()
        fleet.nodes[1].kill()
        sync([fleet.nodes[0]], updates)
        return judged(fleet, updates, synced([fleet.nodes[0], fleet.nodes[2]], began), since)


CASES: Final[dict[str, Callable[[Path], Report]]] = {
    "member_killed_giving_in_sync": giver_killed,
    "member_killed_taking_in_sync": taker_killed,
    "member_lost_after_giving_once": leader_gone,
}
