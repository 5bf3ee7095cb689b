"""Three training processes grow from 6 to 9 layers between two outer rounds; and nothing changes where that fails."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from economics.constants import GROWTH_GRACE, GROWTH_STEPS
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from tests.growth.growth_worker import CONFIG, ROUND_STEPS, Node

pytestmark = pytest.mark.process
NODES = 3
ROOT = Path(__file__).parents[2]
SIX, NINE = list(range(6)), list(range(9))
Answer = dict[str, Any]


class Network:
    """Three worker processes that are told the same."""

    def __init__(self, data: Path, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.growth.growth_worker"]
        self.workers = [
            subprocess.Popen(
                [*command, str(me), str(data), str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                text=True,
            )
            for me in range(NODES)
        ]
        self.trained = 0

    def ask(self, verb: str, **what: object) -> list[Answer]:
        """The answers of all three, which work side by side."""
        for worker in self.workers:
            assert worker.stdin is not None
            worker.stdin.write(json.dumps({"verb": verb, **what}) + "\n")
            worker.stdin.flush()
        answers = []
        for worker in self.workers:
            assert worker.stdout is not None
            line = worker.stdout.readline()
            assert line, "a worker ended"
            answers.append(json.loads(line))
        return answers

    def observe(self, time: int, *held: list[int]) -> str | None:
        """What all make of it; they have the same course or the test ends."""
        members = [{"tier": 2, "memory": 600, "layers": layers} for layers in held]
        answers = self.ask("observe", time=time, steps=GROWTH_STEPS + self.trained, members=members)
        assert answers[0] == answers[1] == answers[2]
        turn: str | None = answers[0]["turn"]
        return turn

    def round(self, number: int) -> Answer:
        """A whole round; all three have the same state afterwards or the test ends."""
        trained = self.ask("train", number=number)
        assert [len(one["losses"]) for one in trained] == [one["update"][2] for one in trained] == [ROUND_STEPS] * NODES
        self.trained += ROUND_STEPS
        outer = self.ask("outer", updates=[one["update"] for one in trained])
        assert outer[0] == outer[1] == outer[2], "three processes, one state"
        return outer[0] | {"age": trained[0]["age"]}

    def close(self) -> None:
        """End the workers by ending their input."""
        for worker in self.workers:
            assert worker.stdin is not None
            worker.stdin.close()
            assert worker.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    ensure_default(folder)
    return folder


@pytest.fixture(scope="module")
def workers(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    made = Network(data, tmp_path_factory.mktemp("updates"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def network(workers: Network) -> Network:
    """The same processes, at the start of a new network."""
    workers.ask("begin")
    workers.trained = 0
    return workers


@pytest.fixture(scope="module")
def control(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """Rounds 1 to 4 of a network that never hears of a growth, in this process."""
    folder = tmp_path_factory.mktemp("control")
    nodes = [Node(me, Dataset.open(data), folder) for me in range(NODES)]
    rounds = []
    for number in range(1, 5):
        updates = [node.train(number)["update"] for node in nodes]
        rounds.append([node.outer(updates) for node in nodes].pop())
    return rounds


def test_six_layers_become_nine_without_a_lost_step_or_a_jump(network: Network, control: list[Answer]) -> None:
    assert network.observe(0, SIX, SIX, SIX) == "announced"
    rounds = [network.round(1)]
    assert network.observe(GROWTH_GRACE - 1, NINE, SIX, SIX) is None, "training goes on in the grace"
    rounds.append(network.round(2))
    assert [one["root"] for one in rounds] == [one["root"] for one in control[:2]], "an announcement changes nothing"
    assert network.observe(GROWTH_GRACE, NINE, SIX, SIX) == "activated"
    grows = network.round(3)
    rounds.append(grows)
    assert (control[2]["layers"], grows["layers"]) == (CONFIG.layers, 9)
    assert grows["trained_root"] == grows["old_root"] == control[2]["root"], "no step lost, no old bit changed"
    assert grows["root"] != control[2]["root"]
    assert grows["heldout"] == grows["heldout_trained"] == control[2]["heldout"], "no jump at all"
    for number in range(4, 9):
        rounds.append(network.round(number))
    assert [one["age"] for one in rounds] == [0, 0, 0, *range(0, 5 * ROUND_STEPS, ROUND_STEPS)]
    losses = [one["heldout"] for one in rounds]
    assert all(after <= before * 1.01 for before, after in pairwise(losses)), losses
    assert losses[-1] < losses[2] * 0.97 < losses[0], losses
    assert network.trained == 8 * ROUND_STEPS


def test_a_failed_activation_leaves_every_bit_as_it_was(network: Network, control: list[Answer]) -> None:
    short = [SIX, [*SIX, 6, 7], SIX]
    assert network.observe(0, SIX, SIX, SIX) == "announced"
    roots, turns = [], []
    for number in range(1, 5):
        roots.append(network.round(number)["root"])
        turns.append(network.observe(number * GROWTH_GRACE, *short))
    assert turns == ["extended"] * 3 + ["aborted"]
    assert roots == [one["root"] for one in control]


def test_an_activated_growth_waits_for_an_outer_step(network: Network) -> None:
    network.observe(0, SIX, SIX, SIX)
    assert network.observe(GROWTH_GRACE, NINE, SIX, SIX) == "activated"
    trained = network.ask("train", number=1)
    nothing = network.ask("outer", updates=[], stepped=False)
    assert {one["layers"] for one in nothing} == {6}
    assert {one["layers"] for one in network.ask("outer", updates=[one["update"] for one in trained])} == {9}
