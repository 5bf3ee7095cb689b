"""`ponw run` on a real chain: processes form a quorum over libp2p, are paid for its claim, and outlive a member."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from consensus.arithmetic import choose_engine
from consensus.commitments.claim import ClaimKind
from consensus.commitments.trace import StepLeaf, Trace
from consensus.model.config import PRESETS
from consensus.training.step import TrainState
from economics.networks import DEVNET
from economics.units import Seconds
from node import config
from node.chain import events, keeper, quorum_events
from node.chain.contracts import Contracts
from node.chain.devnet import Running
from node.chain.event import Event
from node.chain.types import Phase
from node.data.dataset import Dataset
from node.demo.network import DemoNetwork, Member
from node.errors import PonwError
from node.modes.view import read_view
from node.net.link import Control
from node.training.ledger import Ledger, RoundView
from node.training.snapshot import read_snapshot
from node.training.work import Task, Workshop

pytestmark = pytest.mark.process

STEPS = 8
PATIENCE_SECONDS = 400
HALF_MIB = 50
"""Room for three of the four layers of `tiny` and one end of it, of the 67 MiB that all take."""
LONG = replace(DEVNET, train_time=Seconds(900), window=Seconds(180), thaw=Seconds(36_000))
"""No phase ends while processes start, however slow the machine: the test moves the chain's clock."""


@dataclass
class World:
    """Two nodes that hold half a model each, and one that trains alone and audits."""

    network: DemoNetwork
    running: Running
    contracts: Contracts
    ledger: Ledger
    shop: Workshop
    nodes: dict[str, Member]

    def wait(self, what: str, condition: Callable[[], bool], *running: str) -> None:
        """Until the processes have done something; those in `running` must stay alive meanwhile."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            for name in running or tuple(self.nodes):
                process = self.nodes[name].process
                assert process is not None
                assert process.poll() is None, f"{name} ended before {what}:\n{self.logs()}"
            assert time.monotonic() < deadline, f"no {what} in {PATIENCE_SECONDS} s:\n{self.logs()}"
            time.sleep(0.1)  # the pace of asking, not a wait for a fixed time

    def logs(self) -> str:
        return "\n".join(f"--- {n}\n{(m.home / 'node.log').read_text()[-2500:]}" for n, m in self.nodes.items())

    def found(self, *kinds: type[Event]) -> list[Event]:
        """Events of registry and quorums of these kinds, in order within each contract."""
        head, first = self.contracts.client.block().number, self.ledger.first
        both = [*self.contracts.registry.events(first, head), *self.contracts.quorums.events(first, head)]
        return [event for event in both if isinstance(event, kinds)]

    def claims(self, number: int) -> list[events.ClaimPosted]:
        """The TRAIN claims posted in a round."""
        posts = [e for e in self.found(events.ClaimPosted) if isinstance(e, events.ClaimPosted)]
        return [e for e in posts if e.claim.kind is ClaimKind.TRAIN and e.claim.round == number]

    def bound(self, number: int) -> tuple[events.ClaimPosted, int]:
        """The claim of a quorum in a round, as soon as it stands, and its session."""
        found: list[tuple[events.ClaimPosted, int]] = []

        def stands() -> bool:
            marks = [e for e in self.found(quorum_events.ClaimBound) if isinstance(e, quorum_events.ClaimBound)]
            sessions = {e.claim_hash: e.session for e in marks}
            found.extend((e, sessions[e.claim_hash]) for e in self.claims(number) if e.claim_hash in sessions)
            return bool(found)

        self.wait(f"a claim of a quorum in round {number}", stands)
        return found[0]

    def view(self) -> RoundView:
        return self.ledger.look()

    def pass_deadline(self, phase: Phase) -> None:
        """Move the chain's clock past the end of the newest round's phase, if it is still in that one."""
        view = self.view()
        ends = {
            Phase.TRAIN: view.info.claim_deadline,
            Phase.WINDOW: view.info.claim_deadline + LONG.window,
            Phase.OUTER_WINDOW: view.info.outer_deadline,
        }
        if view.phase is phase:
            keeper.rpc(self.running.port, "evm_increaseTime", max(1, ends[phase] + 1 - view.block.timestamp))

    def close_round(self, number: int, *running: str) -> None:
        """Move the chain's clock until a round is over and the next one open."""
        for phase in (Phase.TRAIN, Phase.WINDOW, Phase.OUTER_WINDOW):
            self.wait(f"{phase.name} of round {number}", lambda p=phase: self._past(number, p), *running)  # type: ignore[misc]
            if self.view().number == number:
                self.pass_deadline(phase)
        self.wait(f"round {number + 1}", lambda: self.view().number > number, *running)

    def _past(self, number: int, phase: Phase) -> bool:
        view = self.view()
        return view.number > number or view.phase >= phase

    def truth(self, claim: events.ClaimPosted) -> bytes:
        """The trace root that one process alone computes for a claim of the first round."""
        info = self.contracts.registry.round_of(claim.claim.round)
        state = TrainState.start(self.shop.genesis_state().weights)
        leaves: list[StepLeaf] = list(
            self.shop.steps(state, Task(info.randomness, claim.claim.node), claim.claim.steps)
        )
        return Trace(leaves).root()


def address_of(member: Member) -> str:
    try:
        return Control(member.home / "net" / "control.sock").addresses()[0]
    except PonwError:
        return ""


def start(member: Member) -> None:
    """Start a node that tells all it does."""
    member.command.insert(member.command.index("--home"), "--debug")
    member.start()


def _speaks(member: Member) -> bool:
    """Whether a node has opened a round and can be reached."""
    now = read_snapshot(member.home)
    return now is not None and now.round > 0 and bool(address_of(member))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with DemoNetwork(tmp_path / "net", rounds=9) as network:
        running = network.start_chain()
        network.build_data()
        shop = Workshop(PRESETS["tiny"], choose_engine(threads=1), Dataset.open(network.data))
        contracts = network.deploy(running, shop.genesis(), LONG)
        common = {"p2p": True, "round_steps": STEPS, "audit_share_bps": 10_000}
        nodes = {
            # These two train in a quorum or not at all.
            "first": network.add("first", "honest", running, memory_mib=HALF_MIB, mode="pipeline", **common),
            "second": network.add("second", "honest", running, memory_mib=HALF_MIB, mode="pipeline", **common),
            "third": network.add("third", "honest", running, mode="async", **common),
        }
        network.stake(contracts)
        made = World(network, running, contracts, Ledger(contracts, network.deployment().block), shop, nodes)
        start(nodes["first"])
        made.wait("the first node", lambda: _speaks(nodes["first"]), "first")
        for name in ("second", "third"):
            config.save(nodes[name].home, p2p_bootstrap=address_of(nodes["first"]))
            start(nodes[name])
        yield made


def test_a_quorum_is_paid_and_outlives_a_members_death(world: World) -> None:
    pair = {world.nodes[name].address for name in ("first", "second")}
    # A claim of two nodes that could not hold the model alone, posted for their session.
    posted, session = world.bound(1)
    assert posted.claim.trace_root == world.truth(posted)
    registered = world.found(quorum_events.Registered)[session - 1]
    assert isinstance(registered, quorum_events.Registered)
    assert {account for account, _, _ in registered.members} == pair

    world.wait("the network's view", lambda: _shows(world, registered.members))

    # It is audited by the third node, final, and both are paid.
    world.wait("the third node's claim", lambda: len(world.claims(1)) == 2)
    world.pass_deadline(Phase.TRAIN)
    world.wait("the third node's audit", lambda: _audits(world.nodes["third"]) == 1)
    world.pass_deadline(Phase.WINDOW)
    world.wait("the members' pay", lambda: bool(world.found(quorum_events.MemberPaid)))
    found = world.found(quorum_events.MemberPaid)
    paid = {e.account: e.reward for e in found if isinstance(e, quorum_events.MemberPaid)}
    assert paid.keys() == pair
    assert min(paid.values()) > 0
    world.close_round(1)

    # A member is killed while it trains, and comes back: the round gets its one claim all the same.
    victim = world.nodes["first"]
    world.wait("the quorum's second round", lambda: _trains_in_quorum(victim, 2))
    assert victim.process is not None
    victim.process.kill()
    assert victim.process.wait() == -signal.SIGKILL
    assert not [e for e in world.claims(2) if e.node in pair]
    victim.start()
    world.bound(2)
    world.wait("the third node's claim", lambda: len(world.claims(2)) == 2)
    world.close_round(2)
    claims = [(e.claim.round, e.node) for number in (1, 2) for e in world.claims(number)]
    assert len(set(claims)) == len(claims) == 4
    finals = [e for e in world.found(events.ClaimFinal) if isinstance(e, events.ClaimFinal) and e.round == 2]
    assert {e.node for e in finals} >= {world.nodes["third"].address} and {e.node for e in finals} & pair


def _shows(world: World, members: tuple[tuple[str, int, int], ...]) -> bool:
    """Whether `ponw quorum` shows the members' own, and `ponw network` all nodes, at a member and outside."""
    seats = [account for account, _, _ in members]
    for member in world.nodes.values():
        view = read_view(member.home)
        own = None if view is None else view.quorum_of(seats[0])
        if view is None or own is None or [seat.account for seat in own.seats] != seats or len(view.online()) != 3:
            return False
    return True


def _audits(member: Member) -> int:
    now = read_snapshot(member.home)
    return 0 if now is None else now.audits - now.audits_failed


def _trains_in_quorum(member: Member, number: int) -> bool:
    now = read_snapshot(member.home)
    return now is not None and now.round == number and now.activity.startswith("training layer")
