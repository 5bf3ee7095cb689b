"""Claims of quorums in whole nodes: shared out once final, audited by others only, and answered for by whoever lied.

The quorum's leader is a whole node that posts for its session; what the pipeline adds is tried in tests/quorum_net and
tests/process.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from web3.types import TxReceipt

from consensus.commitments.claim import Claim, ClaimKind
from consensus.quorum.parts import Span
from consensus.quorum.proposal import Proposal, Seat
from economics import Steps, member_shares
from economics.constants import CLAIM_BOND
from economics.units import Seconds
from node.chain.quorums import BoundState, Work
from node.chain.types import ClaimState, Phase
from node.config import Settings
from node.data.dataset import Dataset
from node.demo.liar import lying
from node.errors import PeerError
from node.genesis import workshop
from node.net.hotkey import peer_text
from node.net.wire.common_pb2 import Refusal
from node.quorum.calendar import Calendar
from node.quorum.consent import consent_of
from node.quorum.doors import Doors
from node.quorum.pipeline.link import Timeouts
from node.quorum.plan import Plan
from node.quorum.registrar import Registrar
from node.quorum.sessions import Sessions
from node.quorum.team import Around
from node.quorum.teams import Teams
from node.quorum.witness import Witness, Works
from node.training.loop import RoundLoop
from node.training.prover import claim_of
from node.training.quorum_chores import QuorumChores
from node.training.work import Workshop
from tests.conftest import Network
from tests.training.conftest import PATIENT, STAKE, STEPS, World, deployed

if TYPE_CHECKING:
    from node.chain.devnet import Running

pytestmark = pytest.mark.process
LEADER, MEMBER, OTHER = 1, 2, 3
PEERS = [bytes([18, 32, n]) * 5 for n in range(2)]
SECONDS = 1_800
LONG = replace(PATIENT, train_time=Seconds(3_000), window=Seconds(3_000), thaw=Seconds(36_000))
"""Whole nodes and a game before the judge take their time on a busy machine; only the tests' jumps end a phase."""


@pytest.fixture(scope="module")
def patient(anvil: Running, shop: Workshop) -> Network:
    """A network with long phases."""
    return deployed(anvil, shop, LONG)


@pytest.fixture
def world(patient: Network, corpus: Dataset, tmp_path: Path) -> Iterator[World]:
    """That network, in which nobody has staked; the chain is as it was when the test ends."""
    snapshot = patient.rpc("evm_snapshot")
    made = World(patient, corpus, tmp_path, LONG)
    with made.stack:
        yield made
    patient.rpc("evm_revert", snapshot)


class Quorum:
    """A session of two accounts on chain; the leader holds layers 0 and 1, the member 2, 3 and the head."""

    def __init__(self, world: World, check: Callable[[Plan, Work], str] = lambda *_: "") -> None:
        self.world = world
        self.lead, self.other = world.account(LEADER), world.account(MEMBER)
        accounts = [bytes.fromhex(one.client.address[2:]) for one in (self.lead, self.other)]
        seats = (Seat(accounts[0], Span(0, 3)), Seat(accounts[1], Span(3, 6)))
        now = self.lead.client.block().timestamp
        self.plan = Plan(bytes(32), Proposal(accounts[0], seats, 0, 0, now, SECONDS), tuple(PEERS), STEPS)
        both = [Registrar(self.lead), Registrar(self.other)]
        assert [one.objection(self.plan) for one in both] == [None, None]
        self.session = both[0].register(self.plan, tuple(one.consent(self.plan) for one in both))
        both[1].confirm(self.plan, self.session)
        self.members = consent_of(self.plan).members
        place = (self.lead.client.chain_id, self.lead.quorums.address)
        self.works = Works(self, world.folder / "works", place, 60)
        sign = self.other.quorums.sign_work
        self.witness = Witness(lambda peer: [self.plan] if peer == peer_text(PEERS[0]) else [], check, sign)

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        if peer != peer_text(PEERS[1]):
            raise PeerError(f"{peer} is not there.")
        ours, theirs = socket.socketpair()
        threading.Thread(target=self.witness.serve, args=(peer_text(PEERS[0]), theirs), daemon=True).start()
        return ours

    def start(self, make: Callable[[Settings], Workshop] = workshop) -> RoundLoop:
        """The leader's node; its TRAIN claims are the session's."""
        loop = self.world.start(LEADER, make)
        parts, registry = loop.parts, loop.parts.contracts.registry
        alone = registry.post

        def post(claim: Claim) -> TxReceipt:
            return registry.post_for(claim, self.session) if claim.kind is ClaimKind.TRAIN else alone(claim)

        registry.post = post  # type: ignore[method-assign]
        me, first = self.plan.leader, self.world.network.deployment.block
        sessions = Sessions(parts.contracts, first)

        def claim(claim_hash: bytes) -> Claim | None:
            record = parts.store.claim(claim_hash)
            return None if record is None else claim_of(record)

        holds: Callable[[int], bool] = lambda number: number == self.session  # noqa: E731
        parts.quorum_chores = QuorumChores(parts.contracts, sessions, parts.chores, claim, holds, self.works.find)
        parts.watcher._before_answer = lambda *work: self.works.gather(self.plan, me, Work(*work))
        return loop

    def bound(self) -> BoundState:
        """Where the quorum's claim of the round stands."""
        claim = next(c for c in self.world.view.trains if c.node == self.lead.client.address)
        return self.lead.quorums.claim_of(claim.hash).state

    def active(self) -> list[int]:
        """The stakes of leader and member, against what they staked."""
        found = [one.staking.account_of(one.client.address).active for one in (self.lead, self.other)]
        return [stake - STAKE for stake in found]


def posted(world: World, count: int) -> None:
    world.until(lambda view: len(view.trains) == count)


def test_a_quorums_reward_is_shared_and_its_bonds_come_back(world: World) -> None:
    quorum = Quorum(world)
    quorum.start()
    world.account(OTHER)
    world.start(MEMBER, mode="verify")
    world.start(OTHER)
    posted(world, 2)
    world.close_training()
    audits = {index: world.loops[index].parts.audits for index in (MEMBER, OTHER)}
    world.until(lambda _: len(audits[OTHER].done) == 1 and len(audits[MEMBER].done) == 1)
    claim = next(c for c in world.view.trains if c.node == quorum.lead.client.address)
    assert claim.hash in audits[OTHER].done
    assert claim.hash not in audits[MEMBER].done  # nobody judges its own quorum's work
    world.close_window()
    world.until(lambda _: quorum.bound() is BoundState.PAID)
    shares = member_shares(Steps(STEPS), [(2, STAKE), (2, STAKE)])
    paid = [one.emission.accrued_of(one.client.address) for one in (quorum.lead, quorum.other)]
    assert paid == list(shares) and all(shares)
    world.network.advance(SECONDS)
    sessions = Sessions(world.contracts(0), world.network.deployment.block)

    def left() -> bool:
        block = world.contracts(0).client.block()
        sessions.look(block.number, block.timestamp)
        return sessions.rows[quorum.session].left == {m.account for m in quorum.members}

    world.until(lambda _: left())
    assert quorum.lead.quorums.session_of(quorum.session).freed == 0b11


@pytest.fixture
def colluding(world: World) -> Iterator[Callable[[Callable[[Plan, Work], str]], Quorum]]:
    """A quorum whose leader's node lies about the head in its claim, audited by another node and challenged."""

    def begin(check: Callable[[Plan, Work], str]) -> Quorum:
        quorum = Quorum(world, check)
        world.account(OTHER)
        quorum.start(lambda loaded: lying(loaded, quorum.lead.client.address, every=1))
        world.start(OTHER)
        posted(world, 2)
        world.close_training()
        world.until(lambda view: any(claim.challenges for claim in view.trains))
        return quorum

    yield begin


def play(world: World) -> None:
    """Let both watchers move until the game is over."""
    while sum(loop.parts.watcher.look() for loop in world.loops.values()):
        pass


def test_a_quorum_that_agrees_on_a_false_trace_is_caught_by_another_node(
    world: World, colluding: Callable[[Callable[[Plan, Work], str]], Quorum]
) -> None:
    quorum = colluding(lambda *_: "")  # the member signs whatever its leader sends
    play(world)
    assert quorum.bound() is BoundState.FAULTY
    world.until(lambda _: quorum.bound() is BoundState.LOST)
    # The head is the member's, and it had signed the trace: its bond is gone, the leader's are free.
    assert quorum.active() == [0, -2 * CLAIM_BOND]
    auditor = world.contracts(OTHER)
    assert auditor.staking.credit_of(auditor.client.address) == CLAIM_BOND
    lost = next(c for c in world.view.trains if c.node == quorum.lead.client.address)
    assert lost.state is ClaimState.LOST
    world.close_window()
    finals = world.to(Phase.OUTER).finals
    assert [claim.node for claim in finals] == [auditor.client.address]


def test_a_member_that_signed_nothing_leaves_the_leader_to_answer(
    world: World, colluding: Callable[[Callable[[Plan, Work], str]], Quorum]
) -> None:
    quorum = colluding(lambda *_: "the step has another trace")
    play(world)
    world.tick()
    assert quorum.bound() is BoundState.FAULTY
    world.network.advance(LONG.window + 1)
    world.until(lambda _: quorum.bound() is BoundState.LOST)
    assert quorum.active() == [-2 * CLAIM_BOND, 0]


def test_what_a_member_checks_before_it_signs(world: World) -> None:
    quorum = Quorum(world)
    member = Registrar(quorum.other)
    again = Plan(bytes(32), quorum.plan.proposal, tuple(PEERS), STEPS, nonce=0)
    objection = member.objection(again)
    assert objection is not None and "another number" in objection[1]
    late = Plan(bytes(32), quorum.plan.proposal, tuple(PEERS), STEPS, nonce=1)
    assert member.objection(late) is None
    world.network.advance(SECONDS + 1)
    objection = member.objection(late)
    assert objection is not None and objection[0] == Refusal.OTHER_QUORUM


def test_rounds_that_a_session_could_train(world: World) -> None:
    contracts = world.account(LEADER)
    calendar, train = Calendar(contracts), LONG.train_time
    now = calendar.now()
    assert calendar.first_round(now, now + train, 0) == 1
    contracts.registry.open_round()
    opened = contracts.registry.round_of(1).opened_at
    assert calendar.first_round(opened, opened + train, 0) == 1
    assert calendar.first_round(opened, opened + train, 1) is None  # over before the next one has time
    assert calendar.first_round(opened, opened + 10 * train, 1) == 2
    world.close_training()
    now = calendar.now()
    assert calendar.first_round(now, now + train, 0) is None
    world.close_window()
    assert calendar.first_round(now := calendar.now(), now + 2 * train + 2 * LONG.window, 0) == 2


def test_a_stake_that_does_not_reach_signs_nothing(world: World) -> None:
    quorum = Quorum(world)
    poor = world.account(OTHER, 2 * CLAIM_BOND)
    account = bytes.fromhex(poor.client.address[2:])
    seats = (quorum.plan.proposal.seats[0], Seat(account, Span(3, 6)))
    now = poor.client.block().timestamp
    leads = Plan(bytes(32), Proposal(account, seats, 0, 0, now, SECONDS), tuple(PEERS), STEPS)
    objection = Registrar(poor).objection(leads)  # a member's bond and the claim's
    assert objection is not None and objection[0] == Refusal.NOT_STAKED
    follows = Plan(bytes(32), Proposal(seats[0].account, seats, 0, 0, now, SECONDS), tuple(PEERS), STEPS, nonce=1)
    assert Registrar(poor).objection(follows) is None


class Nobody:
    """A network in which no peer answers and none calls."""

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        raise PeerError(f"{peer} is not there.")

    def accept(self, timeout: float | None = None) -> tuple[str, socket.socket]:
        raise TimeoutError

    def close(self) -> None:
        """Nothing to close."""


def teams_of(world: World, quorum: Quorum) -> Teams:
    """The leader's quorums, of which no other member can be reached."""
    around = Around(Nobody(), Doors(Nobody()), Timeouts(1, 1, 1), 0.2)
    return Teams(quorum.plan.leader, around, world.folder / "quorums")


def test_a_quorum_that_breaks_leaves_the_round_to_its_members_alone(world: World) -> None:
    quorum = Quorum(world)
    loop = world.start(LEADER)
    teams = loop.parts.teams = teams_of(world, quorum)
    teams.started(quorum.plan, quorum.session)
    parts = loop.parts
    parts.quorum_chores = QuorumChores(
        parts.contracts, Sessions(parts.contracts, 0), parts.chores, lambda _: None, teams.holds
    )
    posted(world, 1)
    assert teams.plan is None
    assert teams.alone == 1
    claim = world.view.trains[0]
    assert quorum.lead.quorums.claim_of(claim.hash).state is BoundState.NONE  # the node's own, and it alone answers
    assert claim.claim.steps == STEPS
    # Its session is over for the other member as well, whose bond comes back.
    world.until(lambda _: quorum.lead.quorums.session_of(quorum.session).ended)
    quorum.other.quorums.leave(quorum.session, quorum.members)
    assert quorum.other.staking.account_of(quorum.other.client.address).locked == 0


def test_a_claim_trained_before_a_crash_is_the_sessions_after_it(world: World) -> None:
    quorum = Quorum(world)
    loop = world.start(LEADER)
    teams = teams_of(world, quorum)
    teams.started(quorum.plan, quorum.session)
    loop.parts.quorum_chores = QuorumChores(
        loop.parts.contracts, Sessions(loop.parts.contracts, 0), loop.parts.chores, lambda _: None, teams.holds
    )
    world.to(Phase.TRAIN)
    team = teams.of_round(1, world.view.info, loop.parts.workshop)
    assert team is not None
    assert team.leads
    # What the pipeline leaves on the leader's disk: every leaf, and the checkpoints of the whole model.
    loop.parts.records.sync(world.view)
    loop.parts.inner.run(loop._work(world.view), lambda _: None, lambda: True)
    teams.trained(team, 1)
    world.stop(LEADER)
    again = world.start(LEADER)
    parts, known = again.parts, teams_of(world, quorum)
    parts.teams = known
    parts.quorum_chores = QuorumChores(
        parts.contracts, Sessions(parts.contracts, 0), parts.chores, lambda _: None, known.holds
    )
    posted(world, 1)
    assert quorum.bound() is BoundState.OPEN
    assert known.plan == quorum.plan
