"""Real processes for the browser's tests, and a way to wait for what they print."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from node.config import ENV_PREFIX

START_SECONDS = 240
STOP_SECONDS = 60
POLL_SECONDS = 0.1


@dataclass
class Program:
    """A `ponw` command under way; what it prints is kept."""

    command: list[str]
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @classmethod
    def ponw(cls, home: Path, *words: str, **variables: str) -> Program:
        """Start `ponw` with a home of its own, and no setting of this environment."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        command = [sys.executable, "-u", "-m", "node.cli.app", "--home", str(home), *words]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean | variables
        )
        program = cls(command, process)
        threading.Thread(target=program._read, daemon=True).start()
        return program

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def find(self, pattern: str) -> str:
        """The first group of the first line that fits; waits for it."""

        def found() -> str | None:
            hits = (re.search(pattern, line) for line in tuple(self.lines))
            return next((hit.group(1) for hit in hits if hit), None)

        wait_for(f"'{pattern}' of {self.command[5:]}", lambda: found() or self.process.poll() is not None, self.tail)
        hit = found()
        assert hit is not None, f"{self.command[5:]} ended:\n{self.tail()}"
        return hit

    def tail(self) -> str:
        """The last lines that it printed."""
        return "\n".join(self.lines[-30:])

    def stop(self) -> int:
        """End it gently; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def wait_for(what: str, condition: Callable[[], object], explain: Callable[[], str] = lambda: "") -> None:
    """Ask until something is so."""
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {START_SECONDS} s\n{explain()}"
        time.sleep(POLL_SECONDS)  # the pace of asking
