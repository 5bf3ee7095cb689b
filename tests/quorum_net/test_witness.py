"""Members check a challenged step before they sign it, and the leader finds their signatures again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.accounts import NumberedAccount
from consensus.quorum.parts import Span
from consensus.quorum.proposal import Proposal, Seat
from node.chain.quorums import Work
from node.chain.signatures import packed
from node.errors import PeerError, PonwError
from node.net.hotkey import peer_text
from node.quorum.consent import address_of
from node.quorum.plan import Plan
from node.quorum.witness import PROTOCOL, Witness, Works

KEYS = [NumberedAccount(n) for n in range(1, 4)]
PEERS = [bytes([18, 32, n]) * 5 for n in range(3)]
PLACE = (31337, "0x" + "11" * 20)
WORK = Work(b"\x01" * 32, 3, b"\x02" * 32)


def plan_of() -> Plan:
    seats = tuple(Seat(KEYS[i].account, Span(2 * i, 2 * i + 2)) for i in range(3))
    return Plan(bytes(32), Proposal(seats[0].account, seats, 0, 0, 1_000, 1_800), tuple(PEERS), 10)


class Wire:
    """Streams to members of one process; `leader` is the peer that they believe to talk to."""

    def __init__(self, leader: str = peer_text(PEERS[0])) -> None:
        self.leader = leader
        self.members: dict[str, Witness] = {}
        self.asked: list[str] = []

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        assert protocol == PROTOCOL
        self.asked.append(peer)
        if peer not in self.members:
            raise PeerError(f"{peer} is not there.")
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        threading.Thread(target=self.members[peer].serve, args=(self.leader, theirs), daemon=True).start()
        return ours

    def member(self, number: int, check: Callable[[Plan, Work], str], signer: int | None = None) -> None:
        key = KEYS[number if signer is None else signer]
        led = {peer_text(PEERS[0]): [plan_of()]}
        sign = lambda work: packed(key.sign_typed(work.message(*PLACE)))  # noqa: E731
        self.members[peer_text(PEERS[number])] = Witness(lambda peer: led.get(peer, []), check, sign)


def right(_: Plan, work: Work) -> str:
    return "" if work == WORK else "another trace"


def test_signatures_are_gathered_once_and_found_by_what_the_fault_names(tmp_path: Path) -> None:
    wire = Wire()
    wire.member(1, right)
    wire.member(2, right)
    works = Works(wire, tmp_path, PLACE, 30)
    assert works.gather(plan_of(), KEYS[0].account, WORK).keys() == {KEYS[1].address, KEYS[2].address}
    found = Works(wire, tmp_path, PLACE, 30).find(WORK.claim_hash, WORK.digest(*PLACE), KEYS[2].address)
    assert WORK.signer(found, *PLACE) == address_of(KEYS[2].account)
    assert works.find(WORK.claim_hash, b"\x07" * 32, KEYS[2].address) == b""
    assert works.find(b"\x09" * 32, WORK.digest(*PLACE), KEYS[2].address) == b""
    asked = len(wire.asked)
    works.gather(plan_of(), KEYS[0].account, WORK)
    assert len(wire.asked) == asked


def failing(*_: object) -> str:
    raise PonwError("The round's start is not here yet.")


@pytest.mark.parametrize("check", [lambda *_: "step 3 has another trace", failing])
def test_who_does_not_agree_signs_nothing(tmp_path: Path, check: Callable[[Plan, Work], str]) -> None:
    wire = Wire()
    wire.member(1, check)
    works = Works(wire, tmp_path, PLACE, 30)  # the third is away
    assert works.gather(plan_of(), KEYS[0].account, WORK) == {}
    wire.member(1, right)
    assert works.gather(plan_of(), KEYS[0].account, WORK).keys() == {KEYS[1].address}


def test_another_accounts_signature_is_none(tmp_path: Path) -> None:
    wire = Wire()
    wire.member(1, right, signer=2)
    assert Works(wire, tmp_path, PLACE, 30).gather(plan_of(), KEYS[0].account, WORK) == {}


def test_only_the_leader_is_given_a_word(tmp_path: Path) -> None:
    wire = Wire(leader=peer_text(PEERS[2]))
    wire.member(1, right)
    assert Works(wire, tmp_path, PLACE, 30).gather(plan_of(), KEYS[0].account, WORK) == {}
