"""All consent or none does: real sockets, real signatures, members that refuse, lie, vanish and send junk."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.accounts import NumberedAccount
from consensus.model.config import PRESETS
from consensus.quorum.parts import Span
from consensus.quorum.proposal import Proposal, Seat
from node.chain.quorums import check_members
from node.errors import PeerError
from node.net.frames import FrameSocket, SilentError
from node.net.hotkey import peer_text
from node.net.wire import common_pb2, quorum_pb2
from node.quorum.agreement import PROTOCOL, Seats, propose
from node.quorum.consent import Consents, consent_of
from node.quorum.errors import ConsentError, QuorumError, RefusedError
from node.quorum.plan import Plan, PlanError

KEYS = [NumberedAccount(n) for n in range(1, 6)]
REGISTRY = "0x" + bytes(range(20)).hex()


def address(key: NumberedAccount) -> bytes:
    return key.account


def consents(key: NumberedAccount, chain: int = 31337) -> Consents:
    return Consents(key, chain, REGISTRY)


PEERS = [bytes([18, 32, n]) * 5 for n in range(5)]
NAMES = [peer_text(peer) for peer in PEERS]


def plan_of(members: int = 3, starts: int = 1_000) -> Plan:
    cuts = [0, *(2 + 2 * i for i in range(members - 1)), 6]
    seats = tuple(Seat(address(KEYS[i]), Span(cuts[i], cuts[i + 1])) for i in range(members))
    return Plan(bytes(32), Proposal(seats[0].account, seats, 0, 0, starts, 1_800), tuple(PEERS[:members]), 10)


class Wire:
    """Streams between members of one process: real sockets, and a thread for each answered stream."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[socket.socket, str], None]] = {}
        self.threads: list[threading.Thread] = []

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        assert protocol == PROTOCOL
        assert timeout > 0
        if peer not in self.handlers:
            raise PeerError(f"{peer} is not there.")
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=self.handlers[peer], args=(theirs, NAMES[0]))
        thread.start()
        self.threads.append(thread)
        return ours

    def join(self) -> None:
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


class Member:
    """One that answers proposals."""

    def __init__(self, wire: Wire, number: int, objection: tuple[int, str] | None = None) -> None:
        self.started: list[Plan] = []
        self.sessions: list[int] = []
        self.seats = Seats(
            address(KEYS[number]),
            consents(KEYS[number]),
            lambda _: objection,
            self._take,
        )
        wire.handlers[NAMES[number]] = self.seats.answer

    def _take(self, plan: Plan, session: int) -> None:
        self.started.append(plan)
        self.sessions.append(session)


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.join()


class Booked(Consents):
    """A leader's consents, with a chain that gives numbers to sessions, or refuses them."""

    def __init__(self, number: int) -> None:
        super().__init__(KEYS[0], 31337, REGISTRY)
        self.number, self.signatures = number, tuple[bytes, ...]()

    def register(self, plan: Plan, consents: tuple[bytes, ...]) -> int:
        if not self.number:
            raise QuorumError("the session was not begun on chain: no stake")
        self.signatures = consents
        return self.number


def start(wire: Wire, plan: Plan, number: int = 1) -> int:
    return propose(plan, address(KEYS[0]), wire, Booked(number))


def test_all_consent_and_all_start(wire: Wire) -> None:
    members, plan = [Member(wire, 1), Member(wire, 2)], plan_of()
    leader = Booked(7)
    assert propose(plan, address(KEYS[0]), wire, leader) == 7
    wire.join()
    assert [member.started for member in members] == [[plan], [plan]]
    assert [member.sessions for member in members] == [[7], [7]]
    signers = [consents(KEYS[0]).signed_by(plan, signature) for signature in leader.signatures]
    assert signers == list(plan.proposal.accounts)


def test_a_session_that_the_chain_refuses_begins_nowhere(wire: Wire) -> None:
    members = [Member(wire, 1), Member(wire, 2)]
    with pytest.raises(QuorumError, match="no stake"):
        start(wire, plan_of(), 0)
    wire.join()
    assert [member.started for member in members] == [[], []]


class Doubting(Consents):
    """A member whose chain knows better."""

    def __init__(self, number: int, objection: tuple[int, str] | None = None, *, stands: bool = True) -> None:
        super().__init__(KEYS[number], 31337, REGISTRY)
        self.found, self.stands = objection, stands

    def objection(self, plan: Plan) -> tuple[int, str] | None:
        return self.found

    def confirm(self, plan: Plan, session: int) -> None:
        if not self.stands:
            raise ConsentError("session 7 on chain is another one than was agreed on")


def test_a_member_asks_the_chain_before_it_signs_and_before_it_starts(wire: Wire) -> None:
    started: list[Plan] = []
    doubts = Doubting(2, (common_pb2.Refusal.NOT_STAKED, "its free stake does not reach"))
    wire.handlers[NAMES[1]] = Seats(
        address(KEYS[2]), doubts, lambda _: None, lambda plan, _: started.append(plan)
    ).answer
    plan = Plan(bytes(32), replace(plan_of(2).proposal, seats=_second(2)), tuple(PEERS[:2]), 10)
    with pytest.raises(RefusedError, match="does not reach"):
        start(wire, plan)
    unsure = Doubting(2, stands=False)
    wire.handlers[NAMES[1]] = Seats(
        address(KEYS[2]), unsure, lambda _: None, lambda plan, _: started.append(plan)
    ).answer
    with pytest.raises(QuorumError, match="closed the stream"):
        start(wire, plan)
    wire.join()
    assert started == []


def _second(number: int) -> tuple[Seat, ...]:
    return Seat(address(KEYS[0]), Span(0, 2)), Seat(address(KEYS[number]), Span(2, 6))


def test_one_refusal_and_nobody_starts(wire: Wire) -> None:
    willing = Member(wire, 1)
    Member(wire, 2, (common_pb2.Refusal.BUSY, "in another quorum until 17:00"))
    with pytest.raises(RefusedError, match="in another quorum until 17:00") as refused:
        start(wire, plan_of())
    wire.join()
    assert (refused.value.peer, refused.value.code) == (NAMES[2], common_pb2.Refusal.BUSY)
    assert willing.started == []
    # It is free for the next plan.
    Member(wire, 2)
    start(wire, plan_of(starts=1_001))
    wire.join()
    assert len(willing.started) == 1


def test_a_peer_that_is_away(wire: Wire) -> None:
    willing = Member(wire, 1)
    with pytest.raises(QuorumError, match="is not there"):
        start(wire, plan_of())
    wire.join()
    assert willing.started == []


def test_a_consent_by_another_account_is_none(wire: Wire) -> None:
    willing = Member(wire, 1)
    wire.handlers[NAMES[2]] = Seats(address(KEYS[2]), consents(KEYS[4]), lambda _: None, lambda *_: None).answer
    with pytest.raises(ConsentError, match="did not consent"):
        start(wire, plan_of())
    wire.join()
    assert willing.started == []


def test_a_consent_for_another_chain_is_none() -> None:
    plan = plan_of()
    assert consents(KEYS[1], 1).signed_by(plan, consents(KEYS[1]).consent(plan)) != address(KEYS[1])
    assert consents(KEYS[1]).signed_by(replace(plan, nonce=1), consents(KEYS[1]).consent(plan)) != address(KEYS[1])


def test_a_consent_is_the_contracts_own() -> None:
    consent = consent_of(plan_of())
    assert [(member.first_layer, member.layer_count) for member in consent.members] == [(0, 1), (1, 2), (3, 1)]
    check_members(consent.members, consent.leader, PRESETS["tiny"].layers)
    assert (consent.nonce, consent.until) == (0, 2_800)


def test_only_the_leader_proposes(wire: Wire) -> None:
    member, plan = Member(wire, 1), plan_of()
    ours, theirs = socket.socketpair()
    answering = threading.Thread(target=member.seats.answer, args=(theirs, NAMES[2]))
    answering.start()
    line = FrameSocket(ours, NAMES[1])
    line.send(plan.message(), 5)
    assert line.receive(quorum_pb2.Reply, 8192, 5).refusal.code == common_pb2.Refusal.NOT_STAKED
    answering.join()
    ours.close()


def test_a_leader_that_forges_a_consent_starts_nothing(wire: Wire) -> None:
    member, plan = Member(wire, 1), plan_of()
    ours = wire.dial(NAMES[1], PROTOCOL, 1)
    line = FrameSocket(ours, NAMES[1])
    line.send(plan.message(), 5)
    honest = line.receive(quorum_pb2.Reply, 8192, 5).consent.signature
    forged = [consents(KEYS[0]).consent(plan), honest, consents(KEYS[0]).consent(plan)]
    outcome = quorum_pb2.Outcome(start=quorum_pb2.Start(plan=plan.digest, signatures=forged))
    line.send(outcome, 5)
    with pytest.raises(SilentError, match="closed the stream"):
        line.receive(quorum_pb2.Ready, 8192, 5)
    ours.close()
    wire.join()
    assert member.started == []


def test_a_leader_that_vanishes_frees_its_seats(wire: Wire) -> None:
    member, plan = Member(wire, 1), plan_of()
    ours = wire.dial(NAMES[1], PROTOCOL, 1)
    line = FrameSocket(ours, NAMES[1])
    line.send(plan.message(), 5)
    line.receive(quorum_pb2.Reply, 8192, 5)
    ours.close()
    wire.join()
    assert member.started == []
    Member(wire, 2)
    start(wire, plan_of())
    wire.join()
    assert len(member.started) == 1


def test_two_that_propose_to_each_other_do_not_wait_for_each_other(wire: Wire) -> None:
    member = Member(wire, 1)
    with member.seats.proposing() as free:
        assert free
        with pytest.raises(RefusedError, match="under way"):
            start(wire, plan_of(2))
    wire.join()
    start(wire, plan_of(2))


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_junk_ends_in_a_log_line(junk: bytes) -> None:
    wire = Wire()
    member = Member(wire, 1)
    ours = wire.dial(NAMES[1], PROTOCOL, 1)
    ours.sendall(junk)
    ours.shutdown(socket.SHUT_WR)
    wire.join()
    ours.close()
    assert member.started == []


def test_a_message_that_is_too_long_is_not_read(wire: Wire) -> None:
    member = Member(wire, 1)
    ours = wire.dial(NAMES[1], PROTOCOL, 1)
    ours.sendall(struct.pack(">I", 1 << 31))
    wire.join()
    ours.close()
    assert member.started == []


def test_a_plan_travels_whole() -> None:
    plan = plan_of()
    assert Plan.of(quorum_pb2.Plan.FromString(plan.message().SerializeToString())) == plan


def test_seats_become_stages() -> None:
    stages = plan_of().stages(PRESETS["tiny"])
    assert [(stage.first, stage.count) for stage in stages] == [(0, 1), (1, 2), (3, 1)]
    with pytest.raises(PlanError, match="do not cover"):
        plan_of().stages(PRESETS["small"])


@pytest.mark.parametrize("cut", [1, 5])
def test_a_seat_without_a_layer_is_no_stage(cut: int) -> None:
    seats = (Seat(address(KEYS[0]), Span(0, cut)), Seat(address(KEYS[1]), Span(cut, 6)))
    plan = Plan(bytes(32), Proposal(seats[0].account, seats, 0, 0, 1_000, 1_800), tuple(PEERS[:2]), 10)
    with pytest.raises(PlanError, match="holds no layer"):
        plan.stages(PRESETS["tiny"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"peers": PEERS[:2]}, "each with a peer"),
        ({"peers": (PEERS[0],) * 3}, "one seat"),
        ({"peers": (*PEERS[:2], bytes(65))}, "up to 64 bytes"),
        ({"network": b"short"}, "32 bytes"),
        ({"steps": 0}, "up to 1000 steps"),
        ({"steps": 1_001}, "up to 1000 steps"),
        ({"proposal": replace(plan_of().proposal, seats=())}, "1 to 16 members"),
        ({"proposal": replace(plan_of().proposal, initiator=bytes(20))}, "no seat"),
        ({"proposal": replace(plan_of().proposal, starts=0)}, "Unix seconds"),
        ({"proposal": replace(plan_of().proposal, seconds=1_000_000)}, "a session up to"),
    ],
)
def test_plans_that_are_none(change: dict[str, object], reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        replace(plan_of(), **change)  # type: ignore[arg-type]


def test_everything_is_in_the_digest() -> None:
    plan = plan_of()
    others = [
        replace(plan, steps=11),
        replace(plan, nonce=1),
        replace(plan, round=2),
        replace(plan, network=bytes(31) + b"1"),
        replace(plan, peers=tuple(reversed(plan.peers))),
        replace(plan, proposal=replace(plan.proposal, starts=1_001)),
        replace(plan, proposal=replace(plan.proposal, vocab_version=1)),
    ]
    assert len({one.digest for one in [plan, *others]}) == 8
