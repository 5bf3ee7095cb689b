"""Two quorums of two and two async nodes, one process each, on one machine: started, read line by line, ended."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.accounts import NumberedAccount
from economics.constants import MIN_STAKE

SECONDS = 600.0


class NodeProcess:
    """A process that runs bench.cohort_node."""

    def __init__(self, folder: Path, number: int, arguments: list[str]) -> None:
        self.number, self.errors = number, (folder / f"{number}.err").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.cohort_node", "--number", str(number), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.heard: list[dict[str, Any]] = []

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def next(self, seconds: float = SECONDS) -> dict[str, Any]:
        """What it says next. RuntimeError where it ended, TimeoutError where it says nothing; both with its last
        words."""
        try:
            said = self._lines.get(timeout=max(seconds, 0))
        except queue.Empty:
            raise TimeoutError(f"node {self.number} was silent for {seconds:.0f} s: {self._words()}") from None
        if said is None:
            raise RuntimeError(f"node {self.number} ended: {self._words()}")
        self.heard.append(said)
        return said

    def _words(self) -> str:
        return f"{self.heard[-1:]} {Path(self.errors.name).read_text()[-3000:]}"

    def until(self, word: str, value: Any = None, seconds: float = SECONDS) -> dict[str, Any]:
        """The first line that has ``word``, with ``value`` where one is given; TimeoutError after ``seconds``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            said = self.next(end - time.monotonic())
            if word in said and value in (None, said[word]):
                return said
        raise TimeoutError(f"node {self.number} did not say {word}")

    def go(self) -> None:
        """Let a node that is away come back."""
        if self.process.stdin is not None:
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()

    def close(self) -> None:
        """End it; its peer process ends with it."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout, self.errors):
            if pipe is not None:
                pipe.close()


def start(
    folder: Path,
    stack: ExitStack,
    data: Path,
    held: list[str],
    more: list[str],
    each: dict[int, list[str]] | None = None,
) -> list[NodeProcess]:
    """Nodes 1 to n; ``held``: parts of each, "async START:STOP" where it trains alone. ``each``: arguments of single
    nodes. The first is waited for, because the others find the network by it."""
    numbers = range(1, len(held) + 1)
    stakes = folder / "stakes.json"
    stakes.write_text(json.dumps({NumberedAccount(number).address: int(MIN_STAKE) for number in numbers}))
    nodes: list[NodeProcess] = []
    common = ["--stakes", str(stakes), "--data", str(data), "--voters", ",".join(map(str, numbers))]
    common += ["--genesis", str(int(time.time())), *more]
    bootstrap = ""
    for number, parts in zip(numbers, held, strict=True):
        mode, _, span = parts.rpartition(" ")
        arguments = ["--home", str(folder / str(number)), "--held", span, "--mode", mode or "pipeline"]
        arguments += ["--bootstrap", bootstrap, *common, *(each or {}).get(number, [])]
        nodes.append(NodeProcess(folder, number, arguments))
        stack.callback(nodes[-1].close)
        bootstrap = bootstrap or nodes[-1].until("addresses")["addresses"][0]
    return nodes
