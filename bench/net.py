"""What the network costs: streams against raw TCP and HTTP in one run; gossip, DHT and discovery by number of nodes.

Writes bench/results/net.json. All processes are on this machine, over its loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from bench import net_discovery, net_fleet, net_streams

RESULTS = Path(__file__).parent / "results" / "net.json"
SIZES = (2, 5, 10, 20)
NODE_BYTES = 160 << 20
"""Memory set aside for a node; one takes 100 to 130 MiB."""


def say(line: str) -> None:
    """One line at once."""
    print(line, flush=True)


def free_memory() -> int:
    """Bytes that new processes can have."""
    return int(Path("/proc/meminfo").read_text().split("MemAvailable:")[1].split()[0]) << 10


def streams(mib: int, rounds: int) -> dict[str, Any]:
    """Throughput of each way in MiB/s, and libp2p's share of the others."""
    speeds, cpu = net_streams.measure(mib << 20, rounds)
    shares = {f"libp2p_to_{way}": round(speeds["libp2p"] / speeds[way], 3) for way in ("tcp", "http")}
    say(f"streams, {mib} MiB, MiB/s: " + ", ".join(f"{way} {speed}" for way, speed in speeds.items()))
    say("libp2p's share: " + ", ".join(f"{name} {share}" for name, share in shares.items()))
    say(f"libp2p's busier side: {cpu} s of a core for a GiB; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return {"mib": mib, "rounds": rounds, "mib_per_s": speeds, **shares, "libp2p_cpu_s_per_gib": cpu}


def by_nodes(sizes: list[int], messages: int, per_second: float) -> dict[str, Any]:
    """Gossip and DHT for each number of nodes that memory permits."""
    results: dict[str, Any] = {}
    for nodes in sizes:
        if nodes * NODE_BYTES > free_memory():
            say(f"{nodes} nodes: left out, {free_memory() >> 20} MiB are free")
            results[str(nodes)] = None
            continue
        result = results[str(nodes)] = net_fleet.measure(nodes, messages, per_second)
        found = result["discovery"] = net_discovery.measure(nodes)
        gossip, put, get = result["gossip"], result["dht_put"], result["dht_get"]
        say(
            f"{nodes} nodes: gossip p50 {gossip.get('p50_ms')} p95 {gossip.get('p95_ms')} ms, {gossip['heard']} of "
            f"{gossip['expected']} heard; put p50 {put['p50_ms']} p95 {put['p95_ms']} ms; get p50 {get['p50_ms']} p95 "
            f"{get['p95_ms']} ms, {get['found']} of {get['expected']} found; {result['memory_mib']} MiB a node; all "
            f"peers p50 {found.get('p50_ms')} p95 {found.get('p95_ms')} ms, at {found['found']} of {found['expected']}"
        )
    return results


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=200, help="size of the stream")
    parser.add_argument("--rounds", type=int, default=5, help="streams each way")
    parser.add_argument("--nodes", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--messages", type=int, default=60, help="announcements, puts and gets at each number of nodes")
    parser.add_argument("--per-second", type=float, default=4.0, help="announcements a second, of all nodes together")
    options = parser.parse_args()
    report = {
        "machine": {"cores": os.cpu_count(), "processor": platform.processor(), "load": os.getloadavg()},
        "streams": streams(options.mib, options.rounds),
        "nodes": by_nodes(options.nodes, options.messages, options.per_second),
    }
    report["machine"]["load_after"] = os.getloadavg()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    say(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
