"""Many nodes on one machine find each other, form quorums, train, take one outer step together and dissolve.

`python -m bench.quorums --nodes 20`; writes bench/results/quorums.json. Every node is a process with a peer process;
roots of rounds and of the outer step are compared with those that one process computes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.chaos.fleet import HOLDINGS, Fleet, HangError, Node, Options, Said
from bench.net import free_memory
from bench.net_fleet import quantiles
from bench.quorum_node import MODELS, alone, outer_alone
from bench.quorum_sync import SYNC_SECONDS
from node.logs import configure

RESULTS: Final = Path(__file__).parent / "results" / "quorums.json"
NODE_BYTES: Final = 500 << 20
"""Memory of a node with its peer process."""
FORM_SECONDS: Final = 900.0
ROUND: Final = 1
Report = dict[str, Any]


def main() -> int:
    """Measure and write; 0 if every root is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--keep", type=Path, help="folder for the nodes' homes, kept afterwards")
    options = parser.parse_args()
    configure()
    if options.nodes * NODE_BYTES > free_memory():
        print(f"{options.nodes} nodes need {options.nodes * NODE_BYTES >> 20} MiB; {free_memory() >> 20} are free")
        return 1
    with tempfile.TemporaryDirectory(prefix="quorums") as temporary:
        report = measure(options.keep or Path(temporary), options.nodes, options.steps)
    report["machine"] = {"cores": os.cpu_count(), "load_after": [round(one, 1) for one in os.getloadavg()]}
    print(json.dumps(report, indent=2))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if report["ok"] else 1


def measure(folder: Path, nodes: int, steps: int) -> Report:
    """Everything that becomes of so many nodes."""
    # Heartbeats go from everyone to everyone, so their cost grows with the square: beat the slower the more there are.
    pace = max(1, nodes // 3)
    given = Options("micro", rounds=1, steps=steps, timeout=120.0, more=("--pace", str(pace)))
    with Fleet(folder, given) as fleet:
        began = time.monotonic()
        fleet.start(HOLDINGS[at % len(HOLDINGS)] for at in range(nodes))
        serving = time.monotonic()
        members = formed(fleet, nodes // len(HOLDINGS) * len(HOLDINGS))
        lines = [node.next(lambda line: line.get("round") == ROUND, FORM_SECONDS) for node in members]
        updates = named(members, lines)
        told = time.monotonic()
        for node in members:
            node.tell(do="sync", round=ROUND, updates=updates)
        synced = [node.next(lambda line: "synced" in line, SYNC_SECONDS * len(updates), told) for node in members]
        for node in members:
            node.tell(do="dissolve")
        dissolved = [node.next(lambda line: "dissolved" in line, 60, told) for node in members]
        report: Report = {
            "nodes": nodes,
            "quorums": len(updates),
            "members": len(members),
            "heartbeat_s": pace,
            "start_all_s": round(serving - began, 1),
            "in_a_quorum": spread(forming(members)),
            "round": spread([line["seconds"] for line in lines]),
            "sync_fetching": spread([line["fetching"] for line in synced]),
            "sync": spread([line["seconds"] for line in synced]),
            "dissolve": spread([line["seconds"] for line in dissolved]),
        }
        return {**verdict(lines, synced, steps), **report}


def formed(fleet: Fleet, most: int) -> list[Node]:
    """The members of quorums, once `most` nodes are in one and none is still in a quorum that broke."""
    until = time.monotonic() + FORM_SECONDS
    while time.monotonic() < until:
        done = [node for node in fleet.nodes if any(line.get("round") == ROUND for line in node.said)]
        if len(done) == most:
            return done
        time.sleep(0.1)  # the pace of looking
    raise HangError(f"{len(done)} of {most} nodes have trained a round in {FORM_SECONDS:.0f} s")


def forming(members: list[Node]) -> list[float]:
    """For each quorum, seconds from its last member's first sign of life until all were in it."""
    quorums: dict[str, list[tuple[float, float]]] = {}
    for node in members:
        line = [line for line in node.said if "formed" in line][-1]
        quorums.setdefault(line["formed"], []).append((node.hello["at"], line["at"]))
    return [max(at for _, at in times) - max(hello for hello, _ in times) for times in quorums.values()]


def named(members: list[Node], lines: list[Said]) -> list[Said]:
    """The updates of all quorums as a sync command names them, in the order of their leaders' accounts."""
    names = [node.peer for node in members]
    leaders = {line["leader"]: (node, line) for node, line in zip(members, lines, strict=True) if "update" in line}
    return [
        {
            "leader": node.peer,
            "account": account,
            "root": line["update"],
            "steps": node_steps(node),
            "holders": [node.peer, *(name for name in names if name != node.peer)],
        }
        for account, (node, line) in sorted(leaders.items())
    ]


def node_steps(node: Node) -> int:
    """Steps a round, as the node was told."""
    return int(node.command[node.command.index("--steps") + 1])


def verdict(lines: list[Said], synced: list[Said], steps: int) -> Report:
    """Whether all roots are those of one process."""
    leaders = sorted({line["leader"] for line in lines})
    true = {leader: alone(MODELS["micro"], ROUND, bytes.fromhex(leader), steps).hex() for leader in leaders}
    outer = outer_alone(MODELS["micro"], ROUND, [bytes.fromhex(one) for one in leaders], steps).hex()
    rounds = all(line["root"] == true[line["leader"]] for line in lines)
    outers = {line["synced"] for line in synced} == {outer}
    return {"ok": rounds and outers, "round_roots_of_one_process": rounds, "outer_root_of_one_process": outers}


def spread(seconds: list[float]) -> Report:
    """p50 and p95 in seconds."""
    return {name.removesuffix("_ms") + "_s": round(value / 1000, 2) for name, value in quantiles(seconds).items()}


if __name__ == "__main__":
    sys.exit(main())
