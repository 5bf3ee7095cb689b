"""Whole nodes in one process, on a real chain whose clock the tests move."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consensus.arithmetic import choose_engine
from consensus.commitments.claim import Claim, ClaimKind
from consensus.model.config import PRESETS
from economics.networks import DEVNET, NetworkParameters
from economics.units import Seconds, neuro
from node import config
from node.chain.contracts import Contracts
from node.chain.deploy import deploy
from node.chain.types import Phase
from node.config import Settings
from node.data.corpus import ensure_default
from node.data.dataset import Dataset
from node.genesis import workshop
from node.training.ledger import Ledger, RoundView
from node.training.loop import RoundLoop
from node.training.start import assembled
from node.training.work import Workshop
from tests.conftest import Network

if TYPE_CHECKING:
    from node.chain.devnet import Running

PATIENT = replace(DEVNET, train_time=Seconds(60), window=Seconds(60), response=Seconds(180), thaw=Seconds(6000))
"""The chain's clock also runs by itself: a busy machine must get its work done between two jumps of the tests."""
STEPS = 6
STAKE = neuro(500)


class ManualClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """A network with staked accounts, and the nodes that tests run in it."""

    network: Network
    dataset: Dataset
    folder: Path
    times: NetworkParameters = PATIENT
    clock: ManualClock = field(default_factory=ManualClock)
    stack: ExitStack = field(default_factory=ExitStack)
    loops: dict[int, RoundLoop] = field(default_factory=dict)
    stops: dict[int, threading.Event] = field(default_factory=dict)
    closers: dict[int, ExitStack] = field(default_factory=dict)

    def account(self, index: int, stake: int = STAKE) -> Contracts:
        """Fund and stake account number `index`."""
        self.network.contracts(self.network.accounts[0]).token.transfer(self.network.accounts[index].address, stake)
        contracts = self.network.contracts(self.network.accounts[index])
        contracts.staking.stake_with_permit(contracts.token, stake)
        return contracts

    def contracts(self, index: int) -> Contracts:
        """The contracts under account number `index`."""
        return self.network.contracts(self.network.accounts[index])

    def start(self, index: int, make: Callable[[Settings], Workshop] = workshop, **settings: object) -> RoundLoop:
        """Start (or start again) the node of account `index`, staked before; `make` builds what it trains with."""
        home = self.folder / f"node{index}"
        options = {"data_dir": self.dataset.folder, "listen_port": 0, "round_steps": STEPS, "threads": 1}
        loaded = config.load(home, **(options | settings))
        stop, closer = threading.Event(), ExitStack()
        first = self.network.deployment.block
        node = assembled(loaded, self.contracts(index), first, stop, clock=self.clock, make_workshop=make)
        self.loops[index] = closer.enter_context(node)
        self.stops[index], self.closers[index] = stop, closer
        self.stack.push(closer.__exit__)
        return self.loops[index]

    def stop(self, index: int) -> None:
        """End a node in good order."""
        self.closers.pop(index).close()
        del self.loops[index], self.stops[index]

    @property
    def view(self) -> RoundView:
        """The chain as it is now."""
        return Ledger(self.contracts(0), self.network.deployment.block).look()

    def tick(self, *only: int) -> RoundView:
        """Let nodes look once each, and a moment pass for whose turn is later."""
        for index in only or tuple(self.loops):
            self.loops[index].tick()
        self.clock.now += 2.5
        return self.view

    def until(self, wanted: Callable[[RoundView], bool], ticks: int = 30) -> RoundView:
        """Tick all nodes until the chain is as wanted."""
        for _ in range(ticks):
            view = self.view
            if wanted(view):
                return view
            self.tick()
        raise AssertionError(f"not so after {ticks} ticks: round {view.number}, {view.phase.name}, {view.claims}")

    def to(self, phase: Phase) -> RoundView:
        """Tick until the newest round is in `phase`."""
        return self.until(lambda view: view.phase is phase)

    def close_training(self) -> None:
        """Move the chain past the claim deadline."""
        self.network.advance(self.times.train_time + 1)

    def close_window(self) -> None:
        """Move the chain past the end of a window."""
        self.network.advance(self.times.window + 1)

    def pass_response(self) -> None:
        """Move the chain past the deadline of an answer."""
        self.network.advance(self.times.response + 1)

    def finish_round(self) -> RoundView:
        """From claims posted to the round's end, with everything honest."""
        self.close_training()
        nodes = self.loops.values()
        self.until(lambda view: all(len(node.parts.audits.done) >= len(view.trains) - 1 for node in nodes))
        self.close_window()
        self.to(Phase.OUTER_WINDOW)
        self.close_window()
        return self.to(Phase.CLOSED)

    def settled(self) -> RoundView:
        """Make every claim final by hand, so that no node has taken the outer step yet."""
        registry = self.contracts(0).registry
        for claim in self.view.trains:
            registry.finalise(claim.claim)
        return self.view

    def invent(self, index: int, **fields: object) -> Claim:
        """A TRAIN claim of account `index` for the round under way, of the right form."""
        view, parameters = self.view, self.contracts(index).registry.parameters()
        values: dict[str, object] = {
            "kind": ClaimKind.TRAIN,
            "round": view.number,
            "node": bytes.fromhex(self.network.accounts[index].address[2:]),
            "program_hash": parameters.program_hash,
            "data_root": parameters.data_root,
            "start_root": view.info.start_root,
            "end_root": b"\x01" * 32,
            "trace_root": b"\x02" * 32,
            "update_root": b"\x03" * 32,
            "steps": STEPS,
            "tokens": STEPS * parameters.tokens_per_step,
            "first_layer": 0,
            "layer_count": parameters.layers,
            "base": view.number,
        }
        return Claim(**(values | fields))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The shipped books, tokenised once."""
    return ensure_default(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def shop(corpus: Dataset) -> Workshop:
    """The tiny preset on this machine's best kernel."""
    return Workshop(PRESETS["tiny"], choose_engine(threads=1), corpus)


@pytest.fixture(scope="session")
def trained(anvil: Running, shop: Workshop) -> Network:
    """A network that really trains `tiny`."""
    return deployed(anvil, shop, PATIENT)


def deployed(anvil: Running, shop: Workshop, times: NetworkParameters) -> Network:
    """A network of these times that trains what `shop` does."""
    from node.chain.client import ChainClient
    from node.chain.devnet import dev_accounts
    from node.chain.transport import RetryingProvider

    accounts, genesis = dev_accounts(6), shop.genesis()
    client = ChainClient(RetryingProvider(anvil.rpc_url, 20), accounts[0])
    return Network(anvil, deploy(client, times, genesis, client.address), genesis, accounts)


@pytest.fixture
def world(trained: Network, corpus: Dataset, tmp_path: Path) -> Iterator[World]:
    """A network in which nobody has staked; the chain is as it was when the test ends."""
    snapshot = trained.rpc("evm_snapshot")
    made = World(trained, corpus, tmp_path)
    with made.stack:
        yield made
    trained.rpc("evm_revert", snapshot)
