"""Every fault, one after the other: `python -m bench.chaos [CASE ...]`. Writes bench/results/chaos.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.chaos import chain_faults, dht_faults, network_faults, quorum_faults, sync_faults
from bench.chaos.fleet import HangError
from bench.netlab import LabError
from node.logs import configure

RESULTS = Path(__file__).resolve().parents[1] / "results" / "chaos.json"
CASES = {
    **quorum_faults.CASES,
    **sync_faults.CASES,
    **network_faults.CASES,
    **dht_faults.CASES,
    **chain_faults.CASES,
}


def main() -> int:
    """Run and write; 0 if every case that could run is ok."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all")
    parser.add_argument("--keep", type=Path, help="folder for the nodes' homes, kept afterwards")
    options = parser.parse_args()
    configure()
    known = json.loads(RESULTS.read_text()) if options.cases and RESULTS.exists() else {}
    reports = {name: report for name, report in known.items() if name in CASES}
    for name in options.cases or list(CASES):
        with tempfile.TemporaryDirectory(prefix="chaos") as temporary:
            reports[name] = run(name, (options.keep or Path(temporary)) / name)
        print(f"{name}: {json.dumps(reports[name])}", flush=True)
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps({"machine": {"cores": os.cpu_count()}, **reports}, indent=2) + "\n")
    failed = [name for name, report in reports.items() if not report["ok"] and "skipped" not in report]
    print(f"written to {RESULTS}; " + (f"not ok: {', '.join(failed)}" if failed else "all ok"))
    return len(failed)


def run(name: str, folder: Path) -> dict[str, object]:
    """One case; a hang is a failed case, and what this machine does not allow is left out with the reason."""
    began = time.monotonic()
    try:
        report = CASES[name](folder)
    except HangError as error:
        report = {"ok": False, "hang": str(error)}
    except LabError as error:
        return {"ok": False, "skipped": f"no network of namespaces on this machine: {error}"}
    return {**report, "seconds": round(time.monotonic() - began, 1), "load": round(os.getloadavg()[0], 1)}


if __name__ == "__main__":
    sys.exit(main())
