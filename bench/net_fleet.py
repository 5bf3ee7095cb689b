"""Peers of bench.net_peer as processes, and what gossip and the DHT take among them."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
LINKS: Final = 4
"""Earlier peers that each peer dials."""
SETTLE_S: Final = 5.0
"""For meshes to form: five heartbeats of gossipsub."""
TOPIC: Final = "ponw-bench"


class PeerProcess:
    """One peer: ask it with `ask`, or `tell` and `answer` for several at once."""

    def __init__(self, seed: int, *options: str) -> None:
        self._command = [sys.executable, "-m", "bench.net_peer", "--seed", str(seed), *options]
        self.peer = self.address = ""

    def start(self) -> None:
        """Begin; `__enter__` waits until it listens."""
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Self:
        if not hasattr(self, "_process"):
            self.start()
        ready = self.answer()
        self.peer, self.address = ready["peer"], ready["address"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def tell(self, do: str, **arguments: object) -> None:
        """Send a command."""
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]

    def answer(self) -> dict[str, Any]:
        """The next answer."""
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError(f"{' '.join(self._command)} ended")
        result: dict[str, Any] = json.loads(line)
        return result

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.tell(do, **arguments)
        return self.answer()

    def memory(self) -> int:
        """Resident memory, bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) << 10


def measure(nodes: int, messages: int, per_second: float) -> dict[str, Any]:
    """Latencies among `nodes` peers: `messages` announcements, `per_second` in all, and as many puts and gets."""
    draw = random.Random(nodes)  # noqa: S311 - the same links in each run
    with ExitStack() as stack:
        peers = [PeerProcess(number + 1, "--quiet", "--dht") for number in range(nodes)]
        for peer in peers:
            peer.start()
        for peer in peers:
            stack.enter_context(peer)
        connect(peers, draw)
        gossip = announce(peers, messages, per_second)
        puts, gets, found = store(peers, messages, draw)
        memory = statistics.mean(peer.memory() for peer in peers)
    return {
        "gossip": {**quantiles(gossip), "heard": len(gossip), "expected": messages * (nodes - 1)},
        "dht_put": quantiles(puts),
        "dht_get": {**quantiles(gets), "found": found, "expected": messages},
        "memory_mib": round(memory / (1 << 20)),
    }


def connect(peers: list[PeerProcess], draw: random.Random) -> None:
    """Each dials a few earlier ones."""
    for number, peer in enumerate(peers):
        for other in draw.sample(peers[:number], min(LINKS, number)):
            peer.ask("dial", address=other.address)
    time.sleep(SETTLE_S)


def announce(peers: list[PeerProcess], messages: int, per_second: float) -> list[float]:
    """Seconds to each hearing of each message; peers speak in turns."""
    for number in range(messages):
        peers[number % len(peers)].ask("publish", topic=TOPIC, data="")
        time.sleep(1 / per_second)
    time.sleep(2)
    return [seconds for peer in peers for seconds in peer.ask("heard")["seconds"]]


def store(peers: list[PeerProcess], times: int, draw: random.Random) -> tuple[list[float], list[float], int]:
    """Seconds of puts, seconds of gets from another peer, and how many of those found the value."""
    puts, gets, found = [], [], 0
    for number in range(times):
        writer, reader = draw.sample(peers, 2)
        key, value = f"/bench/key-{number}", f"value {number} " + "x" * 300
        puts.append(writer.ask("put", key=key, value=value)["seconds"])
        got = reader.ask("get", key=key)
        gets.append(got["seconds"])
        found += got["value"] == value
    return puts, gets, found


def quantiles(seconds: list[float]) -> dict[str, float]:
    """p50 and p95 in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    at = {
        name: ordered[min(len(ordered) - 1, int(len(ordered) * share))] for name, share in (("p50", 0.5), ("p95", 0.95))
    }
    return {f"{name}_ms": round(value * 1000, 1) for name, value in at.items()}
