"""The honest side: a node in a process of its own, and a friend that goes on using it while it is attacked."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from bench.accounts import NumberedAccount
from bench.fuzz import node
from bench.fuzz.targets import ACCOUNTS, VERSIONS
from economics.constants import MIN_STAKE
from node.errors import PonwError
from node.net.bans import BANS_NAME
from node.net.client import ERRORS_NAME, Network
from node.net.identity import hot_key
from node.net.limits import BAN_SECONDS_MAX, LEDGER_MAX
from node.net.link import Control
from node.net.plain import signed
from node.net.settings import control_socket
from node.net.transfer import PROTOCOL, fetch_bytes
from node.net.transfer_types import Wanted
from node.net.wire.gossip_pb2 import Heartbeat

FRIEND: Final = 2
PAUSE: Final = 0.5
CALL_SECONDS: Final = 30.0


@dataclass
class Friend:
    """An honest peer of the node: fetches from it, looks a record up, and announces itself, over and over."""

    network: Network
    peer: str
    root: bytes
    key: bytes
    served: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)

    def use(self) -> None:
        """All three once; what fails is on record."""
        began = time.monotonic()
        try:
            with self.network.dial(self.peer, PROTOCOL, CALL_SECONDS) as stream:
                got = fetch_bytes(stream, Wanted(self.root), VERSIONS, peer=self.peer)
            found = self.network.get(self.key)
            heard = self.network.publish("heartbeats", Heartbeat(mode="idle").SerializeToString())
        except (PonwError, OSError) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return
        if got != node.CONTENT or found is None or heard < 1:
            self.failures.append(f"content {got == node.CONTENT}, record {found is not None}, followers {heard}")
            return
        self.served += 1
        self.slowest = max(self.slowest, time.monotonic() - began)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Uses the node again and again while the block runs."""
        done = threading.Event()

        def go_on() -> None:
            while not done.wait(PAUSE):
                self.use()

        thread = threading.Thread(target=go_on, name="friend")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@dataclass
class World:
    """A node that serves everything, its peer process, and a friend."""

    process: subprocess.Popen[bytes]
    address: str
    net_pid: int
    control: Control
    friend: Friend
    words: tuple[Path, ...]
    """What the peer process logs, and what both of them write to standard error."""
    _started: float

    def up(self) -> bool:
        """Whether the node and the very same peer process still run."""
        if self.process.poll() is not None or not psutil.pid_exists(self.net_pid):
            return False
        return bool(psutil.Process(self.net_pid).create_time() == self._started)

    def memory(self) -> dict[str, int]:
        """Resident bytes of the node and of its peer process. Raises RuntimeError where one ended: its last words."""
        if not self.up():
            last = [path.read_text(errors="replace")[-3000:] for path in self.words if path.exists()]
            raise RuntimeError(f"a process ended, node's status {self.process.poll()}: " + "\n".join(last))
        pids = {"node": self.process.pid, "peer_process": self.net_pid}
        return {name: int(psutil.Process(pid).memory_info().rss) for name, pid in pids.items()}


def _ban_many(net: Path) -> None:
    """As many bans as a node remembers: what comes has to find its place among them."""
    now = int(time.time())
    table = {f"stranger {number}": [now + BAN_SECONDS_MAX, 1, "junk", 0, now] for number in range(LEDGER_MAX)}
    net.mkdir(parents=True, mode=0o700)
    (net / BANS_NAME).write_text(json.dumps(table))


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Everything up, the friend admitted and its record stored; all of it ends with the block."""
    stakes = folder / "stakes.json"
    accounts = [node.NUMBER, FRIEND, *ACCOUNTS]
    stakes.write_text(json.dumps({NumberedAccount(number).address: int(MIN_STAKE) for number in accounts}))
    _ban_many(folder / "n" / "net")
    command = [sys.executable, "-m", "bench.fuzz.node", "--home", str(folder / "n"), "--stakes", str(stakes)]
    with (folder / "node.err").open("wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None  # noqa: S101 - narrows for the type checker
    assert process.stdin is not None  # noqa: S101 - narrows for the type checker
    try:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError((folder / "node.err").read_text(errors="replace")[-2000:])
        said = json.loads(line)
        settings = node.settings(folder / "f", stakes, said["address"])
        with Network.start(settings, NumberedAccount(FRIEND)) as network:
            network.connect(said["address"])
            key, value = signed(hot_key(settings.folder / "hot.key"), b"", 1, int(time.time()) + 7200, b"friend")
            network.put(key, value)
            friend = Friend(network, said["peer"], bytes.fromhex(said["root"]), key)
            control = Control(control_socket(folder / "n"))
            started = psutil.Process(said["pid"]).create_time()
            net = folder / "n" / "net"
            words = (net / "process.log", net / ERRORS_NAME, net / f"{ERRORS_NAME}.1", folder / "node.err")
            yield World(process, said["address"], said["pid"], control, friend, words, started)
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
