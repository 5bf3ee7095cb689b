"""Run the attack tests of the contracts and print one line an attack: name, contract, pass or FAIL.

Every attack that the protocol names must have a test; one that is missing fails like one that succeeds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "test_attack_"
ATTACKS = (
    "early exit before slash",
    "matured stake escaping",
    "slash stranding an older thaw",
    "rounding to zero",
    "concurrent disputes over-slashing",
    "dust thaw grief",
    "stranger resetting timers",
    "donation inflation",
    "reentrant token",
    "self-slash for bounty",
    "flash stake",
    "vote then exit",
    "double vote by redelegation",
    "last-minute quorum",
    "proposal front-run",
    "spam proposals",
    "stale execution",
    "rollback oscillation",
    "bond withdrawn while open",
    "one bond for two proposals",
    "proposer without bond",
    "reward claimed twice",
    "terms that do not match",
    "stale terms",
    "motion that was not voted on",
    "signature replay across chains",
    "one bad payee blocking all",
    "dust created or lost",
    "settle-and-refund",
    "deadline overlap",
    "payer withdrawing mid-request",
    "duplicate payee",
    "voucher replay and downgrade",
    "permit front-run",
    "returndata bomb",
    "last-second move",
    "reorged move",
    "mempool-copied proof",
    "claim replay",
    "unbounded loop",
    "Merkle second preimage",
    "bad reward root",
    "stranger named a member",
    "relayer altering ranges",
    "consent replay",
    "member leaving before slash",
    "leader dissolving with an open claim",
    "leader stranding the members",
    "blame moved to another member",
    "leader framing a member",
    "reward split",
    "duplicate member",
    "gap or overlap in ranges",
    "unbounded members",
    "same work on time and late",
    "same work late",
    "older base after a newer one",
    "base out of range",
    "base that nobody keeps",
    "base whose start is another",
    "base with other terms",
    "late claim of a quorum",
    "late outer claim",
    "quorum work again",
)
"""By the names that the protocol gives them; the tests' names begin with these."""


def stem(attack: str) -> str:
    """How the names of an attack's tests begin."""
    return PREFIX + attack.lower().replace(" ", "_").replace("-", "_")


def run() -> dict[str, Any]:
    """forge's report on every attack test, by suite. Exits where forge itself fails."""
    command = ["forge", "test", "--json", "--match-test", PREFIX, "--gas-snapshot-emit=false"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            report: dict[str, Any] = json.loads(line)
            return report
    sys.exit(done.stderr or done.stdout)


def results(report: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """(test, contract, passed) of every attack test."""
    for suite, outcome in sorted(report.items()):
        for test, result in sorted(outcome["test_results"].items()):
            yield test.split("(")[0], suite.rsplit(":", 1)[-1], result["status"] == "Success"


def main() -> int:
    """Print the lines; 1 where an attack succeeds or has no test."""
    found = list(results(run()))
    bad = [test for test, _, passed in found if not passed]
    for test, contract, passed in found:
        print(f"{test.removeprefix(PREFIX):<72} {contract:<24} {'pass' if passed else 'FAIL'}")
    missing = [attack for attack in ATTACKS if not any(test.startswith(stem(attack)) for test, _, _ in found)]
    for attack in missing:
        print(f"{attack:<72} {'-':<24} NO TEST")
    failed, named = len(found) - len(bad), len(ATTACKS) - len(missing)
    print(f"{len(found)} attacks tried, {failed} came to nothing; {named} of {len(ATTACKS)} named attacks have tests")
    return 1 if bad or missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
