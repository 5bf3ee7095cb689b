"""What a dispute costs is what is on record, and what the protocol promises where it keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.arena import arena
from bench.dispute import figures
from consensus.model.config import PRESETS
from consensus.model.init import init_weights
from consensus.training.outer import GlobalState
from node.data.corpus import ensure_default

RECORD = Path("contracts/snapshots/dispute.json")
CHANCE = 0.01
"""Part by which zero bytes in hashes, which are cheaper, move a figure from run to run."""
LIMITS = {"commit": 50_000, "challenge": 95_000, "total": 510_000}
"""The total holds 57,000 for the votes of slashed stake, which go with it at once."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    # A chain of its own: its clock is moved by hours, and other tests' rounds would be over.
    config, folder = PRESETS["tiny"], tmp_path_factory.mktemp("gas")
    dataset, start = ensure_default(folder / "data"), GlobalState.start(init_weights(config, b"bench"))
    with arena(folder / "chain", config, dataset, start) as field:
        return figures(field)


def test_gas_is_what_is_on_record(report: dict[str, Any]) -> None:
    recorded = json.loads(RECORD.read_text())
    for name, used in recorded["gas"].items():
        assert report["gas"][name] == pytest.approx(used, rel=CHANCE), (name, report["gas"])
    for name in ("newcomers", "withheld"):
        assert report[name]["total"] == pytest.approx(recorded[name]["total"], rel=CHANCE)
    assert report["transactions"] == recorded["transactions"]


def test_what_is_promised(report: dict[str, Any]) -> None:
    assert all(report["gas"][name] <= most for name, most in LIMITS.items())
    assert report["evm_judged_percent"] == 100.0


def test_cost_grows_with_the_logarithm_of_the_model(report: dict[str, Any]) -> None:
    rows = report["by_model"]
    assert rows["7B"]["parameters"] / rows["tiny"]["parameters"] > 5_000
    assert rows["7B"]["gas_total"] < 1.25 * rows["tiny"]["gas_total"]
    steps = [(row["depth"], row["gas_total"]) for row in rows.values()]
    assert steps == sorted(steps)
