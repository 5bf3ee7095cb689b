"""Nodes that share nothing find each other over libp2p, form a quorum by the rules and train in it, in processes."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bench.accounts import NumberedAccount
from bench.quorum_node import alone
from consensus.model.config import PRESETS
from economics.constants import MIN_STAKE

pytestmark = pytest.mark.process
STEPS = 3


class Node:
    """A process that runs a node; what it says is read line by line."""

    def __init__(self, folder: Path, number: int, held: str, bootstrap: str, *more: str) -> None:
        arguments = ["--number", str(number), "--home", str(folder / str(number)), "--held", held]
        arguments += ["--stakes", str(folder / "stakes.json"), "--bootstrap", bootstrap, "--steps", str(STEPS), *more]
        self.errors = (folder / f"{number}.err").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.quorum_node", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        self.hello = self.next()

    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, Path(self.errors.name).read_text()[-2000:]
        said: dict[str, Any] = json.loads(line)
        return said

    def round(self, number: int) -> dict[str, Any]:
        """What came of a round, past what failed on the way."""
        while True:
            said = self.next()
            if said.get("round") == number:
                return said

    def close(self) -> None:
        self.process.kill()  # its peer process ends with it
        self.process.wait()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stakes = {NumberedAccount(number).address: int(MIN_STAKE) for number in range(1, 10)}
    (tmp_path / "stakes.json").write_text(json.dumps(stakes))
    return tmp_path


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def start(folder: Path, stack: ExitStack, held: list[str], *more: str) -> list[Node]:
    nodes: list[Node] = []
    for number, parts in enumerate(held, 1):
        bootstrap = nodes[0].hello["addresses"][0] if nodes else ""
        nodes.append(Node(folder, number, parts, bootstrap, *more))
        stack.callback(nodes[-1].close)
    return nodes


def test_three_nodes_train_what_one_would(folder: Path, stack: ExitStack) -> None:
    nodes = start(folder, stack, ["0:2", "2:4", "4:6"], "--rounds", "2")
    for number in (1, 2):
        found = [node.round(number) for node in nodes]
        assert {one["members"] for one in found} == {3}
        assert sorted(one["seat"] for one in found) == [0, 1, 2]
        (leader,) = {one["leader"] for one in found}
        (root,) = {one["root"] for one in found}
        assert len({one["trace"] for one in found}) == 1
        assert root == alone(PRESETS["tiny"], number, bytes.fromhex(leader), STEPS).hex()
        assert [one["whole"] for one in found if "whole" in one] == [root]


def test_a_member_killed_in_a_round_is_replaced(folder: Path, stack: ExitStack) -> None:
    nodes = start(folder, stack, ["0:2", "2:4", "4:6", "4:6"], "--rounds", "1000", "--timeout", "10")
    first = nodes[0].round(1)
    # The last stage's member is one of two; the other one is idle and says nothing.
    watched = {node.process.stdout: node for node in nodes[2:]}
    (spoke, *_), _, _ = select.select(list(watched), [], [], 60)
    victim = watched[spoke]
    assert victim.round(1)["quorum"] == first["quorum"]
    victim.process.kill()
    while "failed" not in nodes[0].next():
        pass
    second = nodes[0].round(1)
    assert second["quorum"] != first["quorum"]
    assert second["root"] == alone(PRESETS["tiny"], 1, bytes.fromhex(second["leader"]), STEPS).hex()
    (spare,) = set(watched.values()) - {victim}
    assert spare.round(1)["quorum"] == second["quorum"]
