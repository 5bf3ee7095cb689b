"""`ponw network`, `quorum` and `layers` as real processes over a home folder's view."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from node.errors import ExitCode
from node.modes.view import NetworkView, NodeRow, QuorumRow, Range, SeatRow, write_view
from node.training.snapshot import Reporter

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[2]
A, B, C = ("0x" + digits * 20 for digits in ("a1", "b2", "c3"))
QUORUM = "0x" + "5e" * 32

Ponw = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def ponw(home: Path) -> Ponw:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PONW_")}
        command = [sys.executable, "-m", "node.cli.app", "--home", str(home), *arguments]
        return subprocess.run(command, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def view(home: Path) -> NetworkView:
    """Two members of a quorum, and one node that is stale."""
    nodes = [
        NodeRow(account=A, mode="pipeline", layer_us=8_000, memory=1 << 30, held=Range(start=0, stop=3)),
        NodeRow(account=B, mode="pipeline", layer_us=20_000, memory=1 << 31, held=Range(start=2, stop=6)),
        NodeRow(account=C, mode="async", why="no quorum: none is free", layer_us=300_000, presence="stale"),
    ]
    seats = [SeatRow(account=A, parts=Range(start=0, stop=3)), SeatRow(account=B, parts=Range(start=3, stop=6))]
    ends = int(time.time()) + 600
    quorum = QuorumRow(id=QUORUM, initiator=B, state="active", why="trains", ends=ends, batches=321, seats=seats)
    found = NetworkView(layers=4, account=A, updated=time.time(), nodes=nodes, quorums=[quorum])
    home.mkdir()
    write_view(home, found)
    return found


def _json(result: subprocess.CompletedProcess[str]) -> object:
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.usefixtures("view")
def test_network(ponw: Ponw) -> None:
    found = _json(ponw("network", "--format", "json"))
    assert isinstance(found, dict)
    assert (found["online"], found["modes"], found["tiers"]) == (2, {"pipeline": 2}, {"T1": 1, "T2": 1})
    assert [(one["account"], one["tier"]) for one in found["nodes"]] == [(A, 1), (B, 2)]
    text = ponw("network", "--all").stdout
    assert "2 of 3 nodes online" in text
    for expected in (A[:10] + " (this node)", "embedding to layer 1", "2.0 GiB", "no quorum: none is free", "stale"):
        assert expected in text


@pytest.mark.usefixtures("view")
def test_quorum(ponw: Ponw) -> None:
    found = _json(ponw("quorum", "0x5e", "--format", "json"))
    assert isinstance(found, list)
    assert [seat["account"] for seat in found[0]["seats"]] == [A, B]
    text = ponw("quorum", "--mine").stdout
    for expected in ("active", "321", "layer 2 to head", B[:10] + " (initiator)"):
        assert expected in text
    result = ponw("quorum", "0x77")
    assert result.returncode == ExitCode.CONFIG
    assert "begins with '0x77'" in result.stderr


@pytest.mark.usefixtures("view")
def test_layers(ponw: Ponw) -> None:
    found = _json(ponw("layers", "--format", "json"))
    assert isinstance(found, list)
    assert [(one["name"], len(one["holders"]), one["wanted"]) for one in found][2] == ("layer 1", 2, 1)
    assert ponw("layers", "--scarce").stdout.startswith("Every part has the holders")
    assert "embedding" in ponw("layers").stdout


def test_without_a_view_and_with_a_broken_one(ponw: Ponw, home: Path) -> None:
    result = ponw("layers")
    assert result.returncode == ExitCode.UNAVAILABLE
    assert "ponw run" in result.stderr
    home.mkdir()
    (home / "network.json").write_text("{")
    result = ponw("network")
    assert result.returncode == ExitCode.DATA
    assert "no view of the network" in result.stderr


def test_no_quorum_points_to_the_reason(ponw: Ponw, home: Path, view: NetworkView) -> None:
    write_view(home, view.model_copy(update={"quorums": [], "updated": time.time() - 3600}))
    text = ponw("quorum", "--mine").stdout
    assert "No quorum" in text
    assert "is the node running?" in text
    assert "`ponw status` says why" in text


def test_status_says_why_a_node_is_idle(ponw: Ponw, home: Path) -> None:
    why = "looks for a quorum to join, for 18 s more"
    home.mkdir()
    Reporter(home).update(mode="idle", why=why, tier=2, layer_us=23_400, holds="embedding to layer 3")
    found = _json(ponw("status", "--format", "json"))
    assert isinstance(found, dict)
    assert (found["mode"], found["why"], found["tier"]) == ("idle", why, 2)
    text = ponw("status").stdout
    assert f"idle: {why}" in text
    assert "T2, 23.40 ms a layer, room for embedding to layer 3" in text
