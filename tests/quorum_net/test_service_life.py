"""A node's life among quorums: it forms one, goes on in it, leaves it when a member is gone; over real sockets, with a
clock that the test moves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bench.accounts import NumberedAccount
from consensus.quorum.capacity import uniform_layout
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from economics.networks import DEVNET_TIMES as TIMES
from node.net.hotkey import peer_text
from node.quorum.consent import Consents
from node.quorum.doors import Doors
from node.quorum.plan import Plan
from node.quorum.service import Offer, QuorumService
from node.quorum.team import Around
from node.quorum.teams import Teams

KEYS = sorted((NumberedAccount(n) for n in range(1, 4)), key=lambda key: key.account)
LAYOUT = uniform_layout(4, 100, 150)
HALVES = (Span(0, 4), Span(2, 6), Span(2, 6))
START = 1_000_000


@dataclass
class World:
    """Services of one process, one time for all, and a chain that numbers sessions."""

    folder: Path
    now: int = START
    sessions: int = 0
    round: int = 1
    services: dict[str, QuorumService] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)

    def add(self, number: int, **offer: object) -> QuorumService:
        key, name = KEYS[number], peer_text(bytes([18, 32, number]) * 5)
        net = Net(self, name)
        held = HALVES[number]
        node = Peer(key.account, 5_000, 0, held, LAYOUT.bytes_of(held))
        teams = Teams(key.account, Around(net, Doors(net)), self.folder / str(number))
        told = replace(Offer(node, bytes(32), LAYOUT, 12), **offer)  # type: ignore[arg-type]
        service = QuorumService(net, teams, Chained(self, key), lambda: told, TIMES, Almanac(self), lambda: self.now)
        self.services[name] = service
        return service

    def beat(self, *silent: QuorumService) -> None:
        for service in self.services.values():
            if service not in silent:
                service.beat()

    def look(self, service: QuorumService) -> None:
        service.look()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()


@dataclass
class Net:
    """One peer's view of the others."""

    world: World
    me: str

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=self.world.services[peer]._answer, args=(self.me, theirs))
        self.world.threads.append(thread)
        thread.start()
        return ours

    def listen(self, protocol: str) -> Net:
        return self

    def accept(self, timeout: float | None = None) -> tuple[str, socket.socket]:
        raise TimeoutError

    def close(self) -> None:
        """Nothing to close."""

    def publish(self, topic: str, body: bytes) -> int:
        others = [service for name, service in self.world.services.items() if name != self.me]
        for service in others:
            service._note(self.me, body)
        return len(others)

    def subscribe(
        self, topic: str, timeout: float | None = None
    ) -> AbstractContextManager[Iterator[tuple[str, bytes]]]:
        return nullcontext(iter(()))

    def account_of(self, peer: str) -> bytes | None:
        return self.world.services[peer].teams.me

    def charge(self, peer: str, reason: str) -> None:
        raise AssertionError(f"{peer}: {reason}")


class Chained(Consents):
    """Consents of one account, and sessions that count up."""

    def __init__(self, world: World, key: NumberedAccount) -> None:
        super().__init__(key, 31337, "0x" + "11" * 20)
        self.world = world

    def nonce(self) -> int:
        return self.world.sessions

    def register(self, plan: Plan, consents: tuple[bytes, ...]) -> int:
        self.world.sessions += 1
        return self.world.sessions


@dataclass
class Almanac:
    """The world's time; a round is always open."""

    world: World

    def now(self) -> int:
        return self.world.now

    def current(self) -> int:
        return self.world.round

    def first_round(self, starts: int, ends: int, after: int) -> int | None:
        return max(self.world.round, after + 1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def formed(world: World) -> tuple[QuorumService, QuorumService]:
    """Two services in one quorum; the first, whose account is the smallest, leads."""
    pair = world.add(0), world.add(1)
    world.beat()
    world.look(pair[1])
    assert pair[1].teams.plan is None, "it is the other one's turn"
    world.look(pair[0])
    plans = [service.teams.plan for service in pair]
    assert plans[0] == plans[1] is not None
    return pair


def test_two_halves_make_a_quorum_and_its_session_is_known_to_both(world: World) -> None:
    pair = formed(world)
    bindings = [service.teams.binding for service in pair]
    assert [b.number for b in bindings if b] == [1, 1]
    plan = pair[0].teams.plan
    assert plan is not None
    assert (plan.leader, plan.round, plan.steps) == (pair[0].teams.me, 1, 12)
    assert [(first, count) for _, first, count in plan.layers] in ([(0, 2), (2, 2)], [(0, 1), (1, 3)], [(0, 3), (3, 1)])


def test_it_is_known_after_a_restart(world: World) -> None:
    leader, _ = formed(world)
    again = Teams(leader.teams.me, leader.teams.around, world.folder / "0")
    assert again.plan == leader.teams.plan
    assert again.holds(1)
    assert not again.holds(2)


def decided(world: World) -> int:
    return TIMES.session * 8 // 10


def test_a_quorum_that_works_is_renewed_as_a_new_session_of_the_same_seats(world: World) -> None:
    leader, member = formed(world)
    before = leader.teams.plan
    assert before is not None
    for service in (leader, member):
        binding = service.teams.binding
        assert binding is not None
        binding.batches = TIMES.batches_min
    world.now += decided(world) - 1
    world.beat()
    world.look(leader)
    assert leader.teams.plan == before
    world.now += 1
    world.beat()
    world.look(leader)
    for service in (leader, member):
        binding = service.teams.binding
        assert binding is not None
        assert binding.plan.renews(before)
        assert (binding.number, binding.began, binding.plan.round) == (2, START, 2)
        assert service.teams.holds(1)  # the first one's last claim may still have to be posted


def test_one_that_did_too_little_is_not_renewed_and_ends(world: World) -> None:
    leader, member = formed(world)
    world.now += decided(world)
    world.beat()
    world.look(leader)
    assert world.sessions == 1
    world.now += TIMES.session
    world.beat()
    for service in (leader, member):
        service.teams.expire(world.now)
        assert service.teams.plan is None


def test_a_member_that_falls_silent_ends_the_quorum_unless_a_round_shows_it(world: World) -> None:
    leader, member = formed(world)
    world.now += 10 * TIMES.heartbeat
    world.beat(member)
    with leader.teams.training():
        world.look(leader)
        assert leader.teams.plan is not None
    world.look(leader)
    assert leader.teams.plan is None
    # And with the third, which holds the same, there is another one.
    third = world.add(2)
    world.beat(member)
    world.look(leader)
    assert leader.teams.plan == third.teams.plan is not None
    assert world.sessions == 2


def test_a_member_that_says_it_left_ends_the_quorum(world: World) -> None:
    leader, member = formed(world)
    plan = leader.teams.plan
    assert plan is not None
    world.beat()
    world.look(leader)  # from here on it counts what members say
    member.teams.leave(plan, "its machine is busy")
    world.now += 3 * TIMES.heartbeat
    world.beat()
    world.look(leader)
    assert leader.teams.plan == plan  # there was hardly time to say it
    world.now += 1
    world.beat()
    world.look(leader)
    assert leader.teams.plan is None


def test_who_takes_no_seat_is_not_asked_and_refuses(world: World) -> None:
    leader, member = world.add(0), world.add(1, aside="the operator chose async")
    world.beat()
    world.look(leader)
    assert (leader.teams.plan, world.threads) == (None, [])
    assert "no free node" in leader.why_not
    world.look(member)
    assert member.why_not == "the operator chose async"


def test_a_round_that_somebody_began_alone_is_left_out(world: World) -> None:
    leader, member = world.add(0), world.add(1)
    member.teams.begin_alone(1)
    world.beat()
    world.look(leader)
    plan = leader.teams.plan
    assert plan is not None
    assert plan.round == 2
    assert member.teams.plan == plan
