"""All consent or none does: real sockets, real signatures, members that refuse, lie, vanish and send junk."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import PeerError
from node.net.frames import Framed, FrameError
from node.net.wire import common_pb2, quorum_pb2
from node.quorum.agreement import PROTOCOL, Seats, propose
from node.quorum.consent import Consents
from node.quorum.errors import ConsentError, QuorumError, RefusedError
from node.quorum.plan import Plan, PlanError, Seat

KEYS: list[LocalAccount] = [Account.from_key(bytes([n]) * 32) for n in range(1, 6)]
REGISTRY = bytes(range(20))


def address(key: LocalAccount) -> bytes:
    return bytes.fromhex(key.address[2:])


def consents(key: LocalAccount, chain: int = 31337) -> Consents:
    return Consents(key, chain, REGISTRY)


def plan_of(members: int = 3, nonce: int = 1) -> Plan:
    seats = tuple(Seat(address(KEYS[i]), f"peer{i}", 2 * i, 2) for i in range(members))
    return Plan(bytes(32), 0, 0, seats[0].account, seats, 1_000, 2_000, nonce)


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
        thread = threading.Thread(target=self.handlers[peer], args=(theirs, "peer0"))
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
        self.seats = Seats(
            address(KEYS[number]),
            consents(KEYS[number]),
            lambda _: objection,
            lambda plan, _: self.started.append(plan),
        )
        wire.handlers[f"peer{number}"] = self.seats.answer


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.join()


def start(wire: Wire, plan: Plan) -> tuple[bytes, ...]:
    return propose(plan, address(KEYS[0]), wire, consents(KEYS[0]))


def test_all_consent_and_all_start(wire: Wire) -> None:
    members, plan = [Member(wire, 1), Member(wire, 2)], plan_of()
    signatures = start(wire, plan)
    wire.join()
    assert [member.started for member in members] == [[plan], [plan]]
    signers = [consents(KEYS[0]).signed_by(plan, signature) for signature in signatures]
    assert signers == [seat.account for seat in plan.seats]


def test_one_refusal_and_nobody_starts(wire: Wire) -> None:
    willing = Member(wire, 1)
    Member(wire, 2, (common_pb2.Refusal.BUSY, "in another quorum until 17:00"))
    with pytest.raises(RefusedError, match="in another quorum until 17:00") as refused:
        start(wire, plan_of())
    wire.join()
    assert (refused.value.peer, refused.value.code) == ("peer2", common_pb2.Refusal.BUSY)
    assert willing.started == []
    # It is free for the next plan.
    Member(wire, 2)
    start(wire, plan_of(nonce=2))
    wire.join()
    assert len(willing.started) == 1


def test_a_peer_that_is_away(wire: Wire) -> None:
    willing = Member(wire, 1)
    with pytest.raises(QuorumError, match="peer2 is not there"):
        start(wire, plan_of())
    wire.join()
    assert willing.started == []


def test_a_consent_by_another_account_is_none(wire: Wire) -> None:
    willing = Member(wire, 1)
    wire.handlers["peer2"] = Seats(address(KEYS[2]), consents(KEYS[4]), lambda _: None, lambda *_: None).answer
    with pytest.raises(ConsentError, match="did not consent"):
        start(wire, plan_of())
    wire.join()
    assert willing.started == []


def test_a_consent_for_another_chain_is_none() -> None:
    plan = plan_of()
    assert consents(KEYS[1], 1).signed_by(plan, consents(KEYS[1]).consent(plan)) != address(KEYS[1])
    assert consents(KEYS[1]).signed_by(replace(plan, nonce=2), consents(KEYS[1]).consent(plan)) != address(KEYS[1])


def test_only_the_leader_proposes(wire: Wire) -> None:
    member, plan = Member(wire, 1), plan_of()
    ours, theirs = socket.socketpair()
    answering = threading.Thread(target=member.seats.answer, args=(theirs, "peer2"))
    answering.start()
    line = Framed(ours, "peer1")
    line.send(plan.message(), 5)
    assert line.receive(quorum_pb2.Reply, 5).refusal.code == common_pb2.Refusal.NOT_STAKED
    answering.join()
    line.close()


def test_a_leader_that_forges_a_consent_starts_nothing(wire: Wire) -> None:
    member, plan = Member(wire, 1), plan_of()
    line = Framed(wire.dial("peer1", PROTOCOL, 1), "peer1")
    line.send(plan.message(), 5)
    honest = line.receive(quorum_pb2.Reply, 5).consent.signature
    forged = [consents(KEYS[0]).consent(plan), honest, consents(KEYS[0]).consent(plan)]
    outcome = quorum_pb2.Outcome(start=quorum_pb2.Start(plan_id=plan.id, signatures=forged))
    line.send(outcome, 5)
    with pytest.raises(FrameError, match="closed the connection"):
        line.receive(quorum_pb2.Ready, 5)
    line.close()
    wire.join()
    assert member.started == []


def test_a_leader_that_vanishes_frees_its_seats(wire: Wire) -> None:
    member, plan = Member(wire, 1), plan_of()
    line = Framed(wire.dial("peer1", PROTOCOL, 1), "peer1")
    line.send(plan.message(), 5)
    line.receive(quorum_pb2.Reply, 5)
    line.close()
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
@settings(max_examples=200, deadline=None)
def test_junk_ends_in_a_log_line(junk: bytes) -> None:
    wire = Wire()
    member = Member(wire, 1)
    ours = wire.dial("peer1", PROTOCOL, 1)
    ours.sendall(junk)
    ours.shutdown(socket.SHUT_WR)
    wire.join()
    ours.close()
    assert member.started == []


def test_a_message_that_is_too_long_is_not_read(wire: Wire) -> None:
    member = Member(wire, 1)
    ours = wire.dial("peer1", PROTOCOL, 1)
    ours.sendall(struct.pack(">I", 1 << 31))
    wire.join()
    ours.close()
    assert member.started == []


def test_a_plan_travels_whole() -> None:
    plan = plan_of()
    assert Plan.of(quorum_pb2.Plan.FromString(plan.message().SerializeToString())) == plan


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seats": ()}, "1 to 16 members"),
        ({"leader": bytes(20)}, "no seat"),
        ({"ends": 1_000}, "lasts up to"),
        ({"ends": 1_000_000}, "lasts up to"),
        ({"network": b"short"}, "32 bytes"),
        ({"nonce": 2**64}, "64 bits"),
        ({"seats": (plan_of().seats[0], replace(plan_of().seats[1], first=3))}, "layer 2 is held by nobody"),
        ({"seats": (plan_of().seats[0], replace(plan_of().seats[1], first=1))}, "layer 2 is held by nobody, or twice"),
        ({"seats": (plan_of().seats[0], replace(plan_of().seats[1], account=plan_of().leader))}, "one seat"),
        ({"seats": (plan_of().seats[0], replace(plan_of().seats[1], count=0))}, "held by nobody"),
        ({"seats": (replace(plan_of().seats[0], peer="x" * 65),)}, "64 characters"),
    ],
)
def test_plans_that_are_none(change: dict[str, object], reason: str) -> None:
    with pytest.raises(PlanError, match=reason):
        replace(plan_of(), **change)  # type: ignore[arg-type]


@given(
    st.sampled_from(["nonce", "ends", "arch_version", "vocab_version"]),
    st.integers(1, 100),
)
def test_every_field_is_in_the_id(field: str, more: int) -> None:
    plan = plan_of()
    assert replace(plan, **{field: getattr(plan, field) + more}).id != plan.id
