"""Our robust rules against ByzFL's on the same numbers, one process each; writes bench/results/aggregate.json.

Both get the same threads, contributions of equal weight, and their input in memory. Sizes are 50 contributions of 10M
parameters where ByzFL's own copies fit this machine's memory; `size` says what was run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "aggregate.json"
ORACLES = ROOT / ".stamps" / "oracles" / "bin" / "python"
RULES = {"trimmed_mean": 1.0, "median": 1.0, "krum": 1.0, "multi_krum": 1.0, "nnm_trimmed_mean": 0.02}
"""Share of the columns that ByzFL can be given: its mixing holds n * (n - f) whole vectors, 80 GB at full size."""


def run(python: str | Path, worker: str, *arguments: str) -> dict[str, Any]:
    """One measurement in a process of its own; {"failed"} where it ran out of memory or time."""
    command = [str(python), str(ROOT / "bench" / worker), *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        return {"failed": str(error.stderr or error)[-300:]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def compare(rule: str, rows: int, columns: int, threads: int) -> dict[str, Any]:
    """One rule, both sides; a fifth of the contributions are taken for attackers."""
    arguments = (rule, str(rows // 5), f"{rows}x{columns}")
    ours = run(sys.executable, "aggregate_worker.py", *arguments, "--threads", str(threads))
    weighted = run(sys.executable, "aggregate_worker.py", *arguments, "--threads", str(threads), "--weighted")
    theirs = run(ORACLES, "oracle_worker.py", "byzfl", *arguments, "--threads", str(threads))
    found = {
        "size": [rows, columns],
        "ours_s": ours.get("seconds"),
        "byzfl_s": theirs.get("seconds"),
        "ours_mb": ours.get("extra_mb"),
        "byzfl_mb": theirs.get("extra_mb"),
        "weighted_s": weighted.get("seconds"),
        "kernel": ours.get("kernel"),
    }
    if found["ours_s"] and found["byzfl_s"]:
        found["times_faster"] = found["byzfl_s"] / found["ours_s"]
        found["times_faster_cpu"] = theirs["cpu_seconds"] / ours["cpu_seconds"]  # says the same on a busy machine
    failures = {side: one["failed"] for side, one in (("ours", ours), ("byzfl", theirs)) if "failed" in one}
    found |= {"failed": failures} if failures else {}
    print(f"{rule} {rows} x {columns:,}: {json.dumps(found)}", flush=True)
    return found


def main() -> None:
    """Measure every rule and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=10_000_000, help="parameters of a contribution (default 10M)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each side (default 1)")
    options = parser.parse_args()
    results: dict[str, Any] = {
        rule: compare(rule, 50, int(options.columns * share), options.threads) for rule, share in RULES.items()
    }
    full = run(sys.executable, "aggregate_worker.py", "nnm_trimmed_mean", "10", f"50x{options.columns}")
    results["nnm_trimmed_mean"]["ours_at_full_size"] = full
    results["ten_by_1m"] = {rule: compare(rule, 10, 1_000_000, options.threads) for rule in ("trimmed_mean", "krum")}
    results["machine"] = {
        "cpu": platform.processor() or platform.machine(),
        "threads": options.threads,
        "load": os.getloadavg()[0],
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
