"""Members of one pipeline as processes of this machine, linked by UNIX or TCP sockets."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Group:
    """A pipeline to start: layers of each stage, steps, threads a process, and options of `bench.pipeline_worker`."""

    layers: tuple[int, ...]
    steps: int
    kernel: str
    data: Path
    folder: Path
    threads: int = 1
    preset: str = "tiny"
    tcp: bool = False
    options: tuple[str, ...] = ()


def pairs(count: int, tcp: bool) -> list[tuple[socket.socket, socket.socket]]:
    """Connected (right end of a stage, left end of the next), one for each boundary."""
    if not tcp:
        return [socket.socketpair() for _ in range(count)]
    made = []
    for _ in range(count):
        with socket.create_server(("127.0.0.1", 0)) as server:
            low = socket.create_connection(server.getsockname())
            made.append((low, server.accept()[0]))
    return made


def start(group: Group, extra: dict[int, Sequence[str]] | None = None) -> list[subprocess.Popen[bytes]]:
    """Start every member; `extra` adds options to single ones. Each has a folder of its own under `group.folder`."""
    links = pairs(len(group.layers) - 1, group.tcp)
    started = []
    try:
        for at in range(len(group.layers)):
            ends = {}
            if at:
                ends["--left"] = links[at - 1][1].fileno()
            if at < len(links):
                ends["--right"] = links[at][0].fileno()
            command = [sys.executable, "-m", "bench.pipeline_worker", *_options(group, at), *(extra or {}).get(at, ())]
            command += [word for name, fd in ends.items() for word in (name, str(fd))]
            started.append(subprocess.Popen(command, cwd=ROOT, pass_fds=tuple(ends.values())))
    finally:
        for low, high in links:
            low.close()
            high.close()
    return started


def finish(group: Group, processes: Sequence[subprocess.Popen[bytes]], timeout: float = 600.0) -> list[dict[str, Any]]:
    """Wait for all; each member's report, empty where it was killed."""
    try:
        for process in processes:
            process.wait(timeout)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    reports = [report_path(group, at) for at in range(len(processes))]
    return [json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {} for path in reports]


def report_path(group: Group, at: int) -> Path:
    """Where member `at` leaves its report."""
    return group.folder / f"member{at}" / "report.json"


def run(group: Group, extra: dict[int, Sequence[str]] | None = None) -> list[dict[str, Any]]:
    """Start, wait, report."""
    return finish(group, start(group, extra))


def _options(group: Group, at: int) -> list[str]:
    folder = group.folder / f"member{at}"
    folder.mkdir(parents=True, exist_ok=True)
    report_path(group, at).unlink(missing_ok=True)
    named = {
        "--preset": group.preset,
        "--kernel": group.kernel,
        "--layers": ",".join(str(count) for count in group.layers),
        "--threads": group.threads,
        "--steps": group.steps,
        "--at": at,
        "--data": group.data,
        "--folder": folder / "checkpoints",
        "--report": report_path(group, at),
    }
    return [str(word) for pair in named.items() for word in pair] + list(group.options)
