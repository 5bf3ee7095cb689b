"""`make simulate N=1000`: the rules of quorums on so many made-up machines; writes bench/results/simulate.json."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from bench.simulate.machines import Spec
from bench.simulate.run import simulate

RESULTS = Path("bench/results/simulate.json")


def main() -> None:
    """Simulate, print the figures, and write them beside those of other sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000, help="machines (default 1000)")
    parser.add_argument("--hours", type=int, default=6, help="simulated hours (default 6)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default 1)")
    parser.add_argument("--own-draw", action="store_true", help="every node draws audits for itself")
    options = parser.parse_args()
    began = time.perf_counter()
    found = simulate(Spec(options.nodes, options.hours, options.seed, own_draw=options.own_draw))
    found["wall_s"] = round(time.perf_counter() - began, 1)
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    known[f"{options.nodes}{' own draw' if options.own_draw else ''}"] = found
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
