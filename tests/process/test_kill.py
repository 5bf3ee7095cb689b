"""A real node process, killed at the worst moments: no committed step is lost, and one claim stands for the round."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.arithmetic import choose_engine
from consensus.commitments.trace import Trace
from consensus.model.config import PRESETS
from consensus.training.step import TrainState
from economics.networks import DEVNET
from economics.units import Seconds
from node.chain import events, keeper
from node.chain.types import ClaimState
from node.data.dataset import Dataset
from node.demo.network import DemoNetwork, Member
from node.storage.database import DATABASE_NAME
from node.training.ledger import Ledger
from node.training.snapshot import read_snapshot
from node.training.work import Task, Workshop

pytestmark = pytest.mark.process

STEPS = 200
PATIENCE_SECONDS = 120
SLOW = replace(DEVNET, train_time=Seconds(3_600), window=Seconds(3_600), thaw=Seconds(36_000))
"""No phase ends while a process starts, however slow the machine: the test moves the chain's clock."""


def await_(what: str, condition: Callable[[], bool], member: Member) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        log = (member.home / "node.log").read_text()
        assert member.process is not None
        assert member.process.poll() is None, f"the node ended before {what}:\n{log[-2000:]}"
        assert time.monotonic() < deadline, f"no {what} in {PATIENCE_SECONDS} s:\n{log[-2000:]}"
        time.sleep(0.02)  # the pace of asking, not a wait for a fixed time


def leaves(home: Path) -> list[tuple[int, bytes]]:
    """What the database has of the round, read as any other program would."""
    path = home / DATABASE_NAME
    if not path.exists():
        return []
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as database:
            return list(database.execute("select step, state_root from leaves where round = 1 order by step"))
    except sqlite3.OperationalError as error:
        assert "no such table" in str(error)
        return []


def in_phase(member: Member, phase: str) -> bool:
    now = read_snapshot(member.home)
    return now is not None and not now.stopped and now.phase == phase


def kill(member: Member) -> None:
    assert member.process is not None
    member.process.kill()
    assert member.process.wait() == -signal.SIGKILL


def test_kill_9_loses_no_committed_step_and_never_makes_a_second_claim(tmp_path: Path) -> None:
    with DemoNetwork(tmp_path / "net", rounds=1) as network:
        running = network.start_chain()
        network.build_data()
        shop = Workshop(PRESETS["tiny"], choose_engine(threads=1), Dataset.open(network.data))
        contracts = network.deploy(running, shop.genesis(), SLOW)
        alice = network.add("alice", "honest", running, round_steps=STEPS)
        network.stake(contracts)
        ledger = Ledger(contracts, network.deployment().block)

        committed: list[tuple[int, bytes]] = []
        for least in (17, 120):
            alice.start()
            await_(f"{least} steps", lambda least=least: len(leaves(alice.home)) >= least, alice)  # type: ignore[misc]
            kill(alice)
            after = leaves(alice.home)
            assert after[: len(committed)] == committed
            committed = after

        alice.start()
        await_("a claim", lambda: bool(ledger.look().trains), alice)
        kill(alice)
        view = ledger.look()
        claim = view.trains[0].claim
        state = TrainState.start(shop.genesis_state().weights)
        true = list(shop.steps(state, Task(view.info.randomness, claim.node), claim.steps))
        assert [(leaf.step, leaf.state_root) for leaf in true[: len(committed)]] == committed
        assert claim.trace_root == Trace(true).root()

        keeper.rpc(running.port, "evm_increaseTime", SLOW.train_time + 1)
        alice.start()
        await_("the window", lambda: in_phase(alice, "window"), alice)
        assert alice.process is not None
        alice.process.send_signal(signal.SIGINT)
        assert alice.process.wait(60) == 0

        keeper.rpc(running.port, "evm_increaseTime", SLOW.window + 1)
        alice.start()
        await_("the outer step", lambda: in_phase(alice, "outer_window"), alice)
        keeper.rpc(running.port, "evm_increaseTime", SLOW.window + 1)
        assert alice.process is not None
        assert alice.process.wait(PATIENCE_SECONDS) == 0, (alice.home / "node.log").read_text()[-2000:]
        posted = [
            event
            for event in contracts.registry.events(network.deployment().block, contracts.client.block().number)
            if isinstance(event, events.ClaimPosted) and event.claim.kind == claim.kind
        ]
        assert [event.claim for event in posted] == [claim]
        final = ledger.look(1).trains[0]
        assert final.state is ClaimState.FINAL
        assert contracts.token.balance_of(alice.address) > 0
