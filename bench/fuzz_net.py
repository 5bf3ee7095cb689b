"""Junk on every protocol and topic of the peer network, while an honest peer goes on being served.

10,000 malformed or oversized messages each: random bytes, truncated and bit-flipped valid messages, wrong and huge
lengths, endless streams, other versions, well encoded messages with absurd fields. Writes bench/results/fuzz-net.json;
exit 1 where the node or its peer process ended, the honest peer was not served, memory grew, or a sender whose junk
counts against it was not banned.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.fuzz.campaign import Campaign
from bench.fuzz.targets import TARGETS, Target
from bench.fuzz.world import World, world

RESULTS = Path(__file__).parent / "results" / "fuzz-net.json"
GROWTH_BYTES: Final = 96 << 20
"""What each of the two processes may grow by over all targets, from a node that has met one round of junk of each."""
WARM_UP: Final = 50
"""Messages a target before the first look at memory: imports, pools and caches fill once."""


def attack(place: World, target: Target, count: int, seed: int) -> dict[str, Any]:
    """One campaign, with the honest peer at work before, during and after."""
    friend = place.friend
    friend.use()
    before, served = place.memory(), friend.served
    with friend.busy():
        outcome = Campaign(target, place.address, place.control, count, seed).run()
    during = friend.served - served
    friend.use()
    after = place.memory()
    grown = {name: (after[name] - before[name]) / 1e6 for name in after}
    return asdict(outcome) | {"served_during": during, "grown_mb": grown, "up": place.up()}


def of_members(count: int) -> list[dict[str, Any]]:
    """What only a quorum's own members can send, in a process of its own."""
    command = [sys.executable, "-m", "bench.fuzz.local", "--count", str(count)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
    print("\n".join(map(json.dumps, rows)), flush=True)
    return rows


def judged(
    rows: list[dict[str, Any]], members: list[dict[str, Any]], place: World, growth: dict[str, int], count: int
) -> list[str]:
    """What went wrong, in words."""
    wrong = [f"{row['target']}: a process ended" for row in rows if not row["up"]]
    wrong += [f"{row['target']}: {row['sent']} messages" for row in rows if row["sent"] < count]
    bans = {target.name for target in TARGETS if target.bans}
    wrong += [f"{row['target']}: nobody banned" for row in rows if row["target"] in bans and row["scores"][-1] != -100]
    met = [row for row in rows if row["target"] in bans]
    wrong += [f"{row['target']}: most keys were not banned" for row in met if 2 * row["banned"] < row["keys"]]
    wrong += [f"{name} grew by {size / 1e6:.0f} MB" for name, size in growth.items() if size > GROWTH_BYTES]
    wrong += [f"{row['target']}: nothing blamed" for row in members if not row["blamed"]]
    wrong += [
        f"{row['target']}: grew {row['grown_mb']:.0f} MB" for row in members if row["grown_mb"] * 1e6 > GROWTH_BYTES
    ]
    return wrong + [f"the honest peer: {failure}" for failure in place.friend.failures]


def main() -> int:
    """Attack one target after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="messages a target (default 10,000)")
    parser.add_argument("--only", default="", help="targets whose name contains this")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)  # the sender's side: being cut off is what it came for
    targets = [target for target in TARGETS if options.only in target.name]
    rows: list[dict[str, Any]] = []
    results: dict[str, Any] = {}
    began = time.monotonic()
    members = [] if options.only else of_members(options.count)
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder, world(Path(folder)) as place:
        for target in targets:
            Campaign(target, place.address, place.control, min(WARM_UP, options.count), options.seed + 1).run()
        start = place.memory()
        for target in targets:
            row = attack(place, target, options.count, options.seed)
            rows.append(row)
            print(json.dumps(row), flush=True)
            results = _written(rows, members, place, start, options.count, began)
    print(json.dumps({key: value for key, value in results.items() if key != "targets"}, indent=2))
    return 1 if results["failures"] else 0


def _written(
    rows: list[dict[str, Any]],
    members: list[dict[str, Any]],
    place: World,
    start: dict[str, int],
    count: int,
    began: float,
) -> dict[str, Any]:
    """The results so far, also on disk."""
    growth = {name: size - start[name] for name, size in place.memory().items()}
    results = {
        "count": count,
        "targets": rows,
        "members": members,
        "rss_mb_before": {name: size / 1e6 for name, size in start.items()},
        "grown_mb": {name: size / 1e6 for name, size in growth.items()},
        "honest": {"served": place.friend.served, "slowest_s": round(place.friend.slowest, 2)},
        "failures": judged(rows, members, place, growth, count),
        "seconds": round(time.monotonic() - began),
        "load": os.getloadavg()[0],
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return results


if __name__ == "__main__":
    sys.exit(main())
