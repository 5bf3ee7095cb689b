"""Processes of bench.quorum_node, driven and watched: what each says has its time, and every wait a deadline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench.accounts import NumberedAccount
from bench.netlab import Lab
from economics.constants import MIN_STAKE

ROOT: Final = Path(__file__).resolve().parents[2]
HOLDINGS: Final = ("0:2", "2:4", "4:6")
"""Parts of three members that together hold a model of four layers."""
START_SECONDS: Final = 600.0
AT_ONCE: Final = 4
"""Nodes that start beside each other: more would only wait for each other's processor."""
LOOK_SECONDS: Final = 0.02
Said = dict[str, Any]


class HangError(Exception):
    """Something did not come to pass within its documented time."""


@dataclass
class Options:
    """How a fleet's nodes are started. `timeout`: seconds for a neighbour's next message and for a link to come up."""

    preset: str = "tiny"
    rounds: int = 1000
    steps: int = 3
    timeout: float = 10.0
    more: tuple[str, ...] = ()

    def words(self) -> list[str]:
        """As arguments of bench.quorum_node."""
        given = ["--preset", self.preset, "--rounds", str(self.rounds), "--steps", str(self.steps)]
        return [*given, "--timeout", str(self.timeout), *self.more]


class Node:
    """One process. `said`: its lines in order, each with `at`, when it was heard here."""

    def __init__(self, command: list[str], errors: Path) -> None:
        self.command, self._errors = command, errors
        self.said: list[Said] = []
        self.hello: Said = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; `ready` waits until it serves. What was said before is forgotten."""
        self.said, self.hello = [], {}
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        threading.Thread(target=self._listen, args=(self._process, self.said), daemon=True).start()

    def ready(self) -> None:
        """Wait for its hello."""
        self.hello = self.next(lambda line: "addresses" in line, START_SECONDS)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Of the last start."""
        if self._process is None:
            raise RuntimeError("the node was never started")
        return self._process

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def peer(self) -> str:
        """Its name in the peer network."""
        return str(self.hello["peer"])

    @property
    def account(self) -> str:
        """As in a plan: hex without 0x, lower case."""
        return str(self.hello["account"])[2:].lower()

    def next(self, wanted: Callable[[Said], bool], seconds: float, since: float = 0.0) -> Said:
        """The first line after `since` that is wanted; raises HangError."""
        until = time.monotonic() + seconds
        while True:
            for line in list(self.said):
                if line["at"] > since and wanted(line):
                    return line
            if not self.alive:
                raise HangError(f"a node ended: {self._errors.read_text(errors='replace')[-1000:]}")
            if time.monotonic() > until:
                raise HangError(f"nothing of what was awaited in {seconds:.0f} s; last: {self.said[-2:]}")
            time.sleep(LOOK_SECONDS)

    def tell(self, **command: object) -> None:
        """One command."""
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()

    def signal(self, number: int) -> None:
        """To the node itself, not to its peer process."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL; its peer process ends with it."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Whatever state it is in."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    @staticmethod
    def _listen(process: subprocess.Popen[bytes], said: list[Said]) -> None:
        if process.stdout is not None:
            with suppress(ValueError):  # closed while it was read: the node is done with
                for line in process.stdout:
                    said.append({**json.loads(line), "at": time.monotonic()})


@dataclass
class Fleet:
    """Nodes under one folder, in a lab's namespaces where one is given."""

    folder: Path
    options: Options
    lab: Lab | None = None
    nodes: list[Node] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Fleet:
        self.folder.mkdir(parents=True, exist_ok=True)
        stakes = {NumberedAccount(number).address: int(MIN_STAKE) for number in range(1, 101)}
        (self.folder / "stakes.json").write_text(json.dumps(stakes))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, held: Iterable[str]) -> None:
        """Start a node for each range of parts, a few at once; the first one is the others' way in. Returns when all
        serve."""
        for parts in held:
            self.nodes.append(self._node(len(self.nodes), parts))
            self.nodes[-1].start()
            if len(self.nodes) % AT_ONCE == 1:
                for node in self.nodes:
                    node.ready()
        for node in self.nodes:
            node.ready()

    def _node(self, at: int, parts: str) -> Node:
        words = ["--number", str(at + 1), "--home", str(self.folder / str(at + 1)), "--held", parts]
        words += ["--stakes", str(self.folder / "stakes.json"), *self.options.words()]
        words += ["--bootstrap", self.nodes[0].hello["addresses"][0]] if self.nodes else []
        words += [] if self.lab is None else ["--host", self.lab.host(at)]
        command = [sys.executable, "-m", "bench.quorum_node", *words]
        node = Node(command if self.lab is None else self.lab.command(at, command), self.folder / f"{at + 1}.err")
        self._stack.callback(node.close)
        return node

    def by_account(self, account: str) -> Node:
        """The node of an account (hex without 0x)."""
        return next(node for node in self.nodes if node.hello and node.account == account)

    def members(self, quorum: str) -> list[Node]:
        """Nodes that have said something about a quorum."""
        return [node for node in self.nodes if any(line.get("quorum") == quorum for line in node.said)]

    def rounds(self) -> list[Said]:
        """All rounds that any node has told."""
        return [line for node in self.nodes for line in list(node.said) if "root" in line]
