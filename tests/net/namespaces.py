"""Peer processes in network namespaces of their own; the test steers them over their control sockets from outside."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from bench.accounts import NumberedAccount
from bench.netlab import Lab, LabError, lab
from node.net.client import Network
from node.net.settings import NetSettings

Command = Callable[[int, Sequence[str]], list[str]]


class Elsewhere(Network):
    """A peer process in namespace `number`; `command` says how a program is started there."""

    def __init__(self, command: Command, number: int, settings: NetSettings, account: int) -> None:
        super().__init__(settings, NumberedAccount(account))
        self.program = command(number, Network.program)


@contextmanager
def three() -> Iterator[Lab]:
    """A lab of three nodes; skips the test where this machine makes none."""
    try:
        with lab(3) as made:
            yield made
    except LabError as error:
        pytest.skip(f"no network of namespaces on this machine: {error}")


@contextmanager
def ethernet() -> Iterator[tuple[Command, list[str]]]:
    """Two namespaces with a cable between them: how to run a program in either, and their addresses. Skips the test
    where this machine makes none."""
    names = [f"lan{os.getpid()}{side}" for side in "ab"]
    hosts = ["10.78.0.1", "10.78.0.2"]
    try:
        try:
            for name in names:
                _ip("netns", "add", name)
            _ip("-n", names[0], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", names[1])
            for name, host in zip(names, hosts, strict=True):
                _ip("-n", name, "addr", "add", f"{host}/24", "dev", "wire")
                _ip("-n", name, "link", "set", "wire", "up")
                _ip("-n", name, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            words: Any = getattr(error, "stderr", None) or error
            pytest.skip(f"no network of namespaces on this machine: {words}")
        yield (lambda number, program: ["ip", "netns", "exec", names[number], *program]), hosts
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
