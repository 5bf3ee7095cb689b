"""Attacks on a gateway without a chain: what they leave of the damage, and whether they are found. Writes
bench/results/gateway-attacks.json.

Volunteers take turns in random order at a real queue, intake, recomputation and aggregation; 30% of them attack in one
way. `loss` is on held-out text after the same number of versions as the clean run; `found`: attackers whose uploads
were proven false and who are in quarantine for it.

    trusted    everybody has a reputation for which one result is enough; attackers are honest for two versions first
    sybils     attackers that agree with one another, and come back under a new name whenever they are caught
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.gateway_house import House
from bench.gateway_lies import LIES, Ring, Volunteer
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.gateway.storage.tables import Worker

RESULTS = Path(__file__).parent / "results" / "gateway-attacks.json"
TURNS_MAX = 4_000
TRUSTED_FROM = 2
"""Version at which trusted attackers begin to lie."""


@dataclass(frozen=True)
class Size:
    """Of a run. `samples`: of every batch; a step takes 4."""

    volunteers: int = 20
    versions: int = 12
    samples: int = 64
    updates: int = 10

    @property
    def attackers(self) -> int:
        return self.volunteers * 3 // 10


def names() -> Iterator[tuple[str, str, bool, bool]]:
    """(name, lie, whether attackers start trusted, whether they come back)."""
    for lie in LIES:
        yield lie, lie, False, False
    for lie in ("sign_flip", "little_is_enough"):
        yield f"trusted_{lie}", lie, True, False
    yield "sybils", "sign_flip", False, True


def run(dataset: Dataset, size: Size, lie: str | None, trusted: bool = False, back: bool = False) -> dict[str, Any]:
    """One run to the last version; without a lie everybody is honest. Raises RuntimeError when it takes too long."""
    draw = random.Random(1)  # noqa: S311 - whose turn it is
    ring = Ring(draw)
    options: dict[str, Any] = {"sizes": (size.samples,), "aggregate_updates": size.updates}
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), dataset, **options)
        liars = range(size.attackers) if lie else ()
        bad = [Volunteer(house, f"bad{n}", LIES[lie or ""], ring, TRUSTED_FROM * trusted) for n in liars]
        good = [Volunteer(house, f"good{n}") for n in range(size.volunteers - len(bad))]
        _trust(house, [*bad, *good] if trusted else [])
        everyone = [*good, *bad]
        turns = again = 0
        while house.current().number < size.versions:
            turns += 1
            if turns > TURNS_MAX:
                raise RuntimeError(f"no version {size.versions} after {turns} turns")
            at = draw.randrange(len(everyone))
            if not everyone[at].turn() and back and everyone[at].lie is not None:
                bad.append(Volunteer(house, f"bad{len(bad)}", everyone[at].lie, ring))
                everyone[at] = bad[-1]
            again += house.recomputer.run()
            house.aggregator.run()
        found = _report(house, bad, good)
        found |= {
            "turns": turns,
            "batches_trained_again": again,
            "start": house.registry.get(0).metrics["heldout_loss"],
        }
        house.close()
    return found


def _trust(house: House, volunteers: list[Volunteer]) -> None:
    with house.storage.write() as session:
        for one in volunteers:
            row = session.get_one(Worker, one.worker.id)
            row.reputation = 9_000
            session.add(row)


def _report(house: House, bad: list[Volunteer], good: list[Volunteer]) -> dict[str, Any]:
    rows = house.updates()
    lies = {update_id for one in bad for update_id in one.lies}
    lied = {one.worker.id for one in bad if one.lies}
    caught = [one for one in lied if _caught(house, one)]
    wrong = [row for row in rows if row.id in lies and row.state == "aggregated"]
    version = house.current()
    return {
        "loss": version.metrics["heldout_loss"],
        "versions": version.number,
        "attackers": len(lied),
        "found": len(caught),
        "lies": len(lies),
        "lies_aggregated": len(wrong),
        "updates_aggregated": sum(row.state == "aggregated" for row in rows),
        "honest_refused": sum(house.look(one.worker).rejected for one in good),
        "rolled_back": sum(one.source == "rollback" for one in house.registry.versions()),
        "reasons": sorted({row.reason for row in rows if row.worker_id in lied and row.reason})[:6],
    }


def _caught(house: House, worker_id: str) -> bool:
    with house.storage.read() as session:
        row = session.get_one(Worker, worker_id)
    return row.quarantined_until is not None and row.reputation == 0 and row.quarantine_reason != ""


def main() -> int:
    """Every attack by name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=12)
    parser.add_argument("--volunteers", type=int, default=20)
    parser.add_argument("--only", help="one attack by its name")
    options = parser.parse_args()
    size = Size(volunteers=options.volunteers, versions=options.versions)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        dataset = ensure_default(Path(folder) / "data")
        clean = run(dataset, size, None)
        results: dict[str, Any] = {"model": "micro", **vars(size), "clean": clean, "attacks": {}}
        print(f"start {clean['start']:.4f}, clean {clean['loss']:.4f}", flush=True)
        for name, lie, trusted, back in names():
            if options.only in {None, name}:
                one = run(dataset, size, lie, trusted, back)
                one["relative"] = one["loss"] / clean["loss"] - 1
                results["attacks"][name] = one
                results["seconds"] = round(time.monotonic() - started)
                RESULTS.parent.mkdir(parents=True, exist_ok=True)
                RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
                print(
                    f"{name}: loss {one['loss']:.4f} ({one['relative']:+.2%}), found {one['found']} of "
                    f"{one['attackers']}, {one['lies_aggregated']} of {one['lies']} lies joined, "
                    f"{one['honest_refused']} honest refused",
                    flush=True,
                )
    worst = max(one["relative"] for one in results["attacks"].values())
    print(f"worst: {worst:+.2%}")
    return 0 if worst <= 0.02 else 1


if __name__ == "__main__":
    sys.exit(main())
