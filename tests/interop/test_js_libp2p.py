"""py-libp2p against js-libp2p: both identify each other and hear each other's gossip, whoever dialled.

Needs the packages of tests/interop/package.json: `make test-interop`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.interop
HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
TOPIC = "ponw-bench"
PYTHON = [sys.executable, "-m", "bench.net_peer", "--seed", "1"]
SCRIPT = ["node", "--import", str(HERE / "polyfill.mjs"), str(HERE / "peer.mjs")]


class Process:
    """A peer process and what it has said so far."""

    def __init__(self, command: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, cwd=PROJECT, env=environment, text=True, **pipes)
        self._watchdog = threading.Timer(60, self._process.kill)  # a peer that says nothing ends the test, not the run
        self._watchdog.start()
        self._seen: list[dict[str, Any]] = []
        ready = self.wait(do="ready")
        self.peer, self.address = ready["peer"], ready["address"]

    def ask(self, do: str, **arguments: str) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self.wait(do=do)

    def wait(self, **fields: str) -> dict[str, Any]:
        """The next event with these fields."""
        assert self._process.stdout is not None
        for event in self._seen:
            if fields.items() <= event.items():
                self._seen.remove(event)
                return event
        for line in self._process.stdout:
            event = json.loads(line)
            if fields.items() <= event.items():
                return event
            self._seen.append(event)
        raise AssertionError(f"the peer ended before {fields}; it said {self._seen}")

    def stop(self) -> None:
        """End it."""
        self._watchdog.cancel()
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def peers() -> Iterator[tuple[Process, Process]]:
    """(py-libp2p, js-libp2p)"""
    python = Process(PYTHON)
    try:
        script = Process(SCRIPT)
    except AssertionError:
        python.stop()
        raise
    yield python, script
    python.stop()
    script.stop()


@pytest.mark.parametrize("dialler", ["python", "script"])
def test_identify_and_gossip_both_ways(peers: tuple[Process, Process], dialler: str) -> None:
    python, script = peers
    first, second = peers if dialler == "python" else peers[::-1]
    assert first.ask("dial", address=second.address)["peer"] == second.peer
    of_script = python.ask("identify", peer=script.peer)
    assert "js-libp2p" in of_script["agent"]
    assert "/meshsub/1.1.0" in of_script["protocols"]
    of_python = script.ask("identify", peer=python.peer)
    assert "py-libp2p" in of_python["agent"]
    assert {"/ipfs/id/1.0.0", "/meshsub/1.1.0"} <= set(of_python["protocols"])
    script.wait(do="graft", peer=python.peer)
    script.ask("publish", topic=TOPIC, data="from the script")
    heard = python.wait(do="message", data="from the script")
    assert heard["sender"] == script.peer
    python.ask("publish", topic=TOPIC, data="from python")
    assert script.wait(do="message", data="from python")["sender"] == python.peer
