"""A peer network in memory, and members of a cohort on it: real threads, sockets and signatures, no processes."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from bench.accounts import NumberedAccount
from consensus.aggregation.compression import Int8
from consensus.commitments.tensors import global_root
from consensus.model.config import ModelConfig
from consensus.model.init import init_weights
from consensus.quorum.parts import Span, part_count
from consensus.quorum.proposal import Proposal, Seat
from consensus.training.outer import GlobalState
from economics.networks import DEVNET_TIMES
from economics.units import Seconds
from node.cohort.contribution import Opening, names_of
from node.cohort.deciding import Deadlines, Decides
from node.cohort.log import Log
from node.cohort.member import Cohort, Place, Settled
from node.cohort.sealing import Seals
from node.cohort.standing import Standing
from node.errors import PeerError
from node.net.wire.common_pb2 import Versions
from node.net.wire.gossip_pb2 import Heartbeat
from node.quorum.census import Census
from node.quorum.plan import Plan

CONFIG = ModelConfig("micro", layers=2, width=16, heads=2, seq_len=32, batch=4)
NETWORK = bytes(range(32))
REGISTRY = "0x" + "11" * 20
WHOLE = Span(0, part_count(CONFIG.layers))
STEPS = 100
TIMES = replace(DEVNET_TIMES, heartbeat=Seconds(1000), offline=Seconds(1_000_000))


class Clock:
    """Unix seconds, moved by the test."""

    def __init__(self) -> None:
        self.at = 1_800_000_000

    def __call__(self) -> int:
        return self.at


class Incoming:
    """Streams that wait to be accepted."""

    def __init__(self) -> None:
        self.queue: queue.Queue[tuple[str, socket.socket]] = queue.Queue()

    def accept(self, timeout: float | None = None) -> tuple[str, socket.socket]:
        try:
            return self.queue.get(timeout=min(timeout or 0.05, 0.05))
        except queue.Empty as error:
            raise TimeoutError from error

    def close(self) -> None:
        """Streams that nobody takes any more are cut off."""
        while not self.queue.empty():
            self.queue.get()[1].close()


class Hub:
    """Who listens for what, and who hears what; ``away`` are cut off."""

    def __init__(self) -> None:
        self.listening: dict[tuple[str, str], Incoming] = {}
        self.heard: dict[tuple[str, str], queue.Queue[tuple[str, bytes]]] = {}
        self.away: set[str] = set()
        self.deaf: set[str] = set()


class Wire:
    """One peer's view of the hub: a PeerNet."""

    def __init__(self, hub: Hub, me: str) -> None:
        self.hub, self.me = hub, me

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        if {peer, self.me} & self.hub.away or (peer, protocol) not in self.hub.listening:
            raise PeerError(f"{peer} is away.")
        ours, theirs = socket.socketpair()
        ours.settimeout(timeout)
        self.hub.listening[peer, protocol].queue.put((self.me, theirs))
        return ours

    def listen(self, protocol: str) -> Incoming:
        incoming = self.hub.listening[self.me, protocol] = Incoming()
        return incoming

    def publish(self, topic: str, body: bytes) -> int:
        if self.me in self.hub.away:
            raise PeerError("This node is away.")
        for (peer, followed), news in list(self.hub.heard.items()):
            if followed == topic and peer not in self.hub.away | self.hub.deaf and peer != self.me:
                news.put((self.me, body))
        return len(self.hub.heard)

    @contextmanager
    def subscribe(self, topic: str, timeout: float | None = None) -> Iterator[Iterator[tuple[str, bytes]]]:
        news = self.hub.heard.setdefault((self.me, topic), queue.Queue())

        def each() -> Iterator[tuple[str, bytes]]:
            while True:
                try:
                    yield news.get(timeout=0.05)
                except queue.Empty:
                    return

        yield each()

    def account_of(self, peer: str) -> bytes | None:
        return NumberedAccount(int(peer)).account


@dataclass
class Member:
    """A member of the cohort and what it trains: updates from its number and the round, without a model."""

    number: int
    span: Span
    cohort: Cohort
    stack: ExitStack
    plan: Plan | None = None
    banned: list[bytes] = field(default_factory=list)

    @property
    def account(self) -> bytes:
        return NumberedAccount(self.number).account

    def contribute(self, base: int | None = None) -> dict[str, Tensor]:
        """Put an update for a round, by default the open one, into the outbox; what it was before it was encoded."""
        base = self.cohort.standing.number if base is None else base
        start = dict(self.cohort.standing.state.weights)
        update = update_of(self.number if self.plan is None else 1000, base, self.span)
        end = {name: tensor - update[name] for name, tensor in start.items()}
        self.cohort.contribute(base, start, end, STEPS, self.plan)
        return {name: start[name] - end[name] for name in start}

    def close(self) -> None:
        self.stack.close()


def update_of(seed: int, base: int, span: Span) -> dict[str, Tensor]:
    """Some numbers, the same for all members of a quorum in the same tensor."""
    made = {}
    for at, (name, shape) in enumerate(sorted(CONFIG.shapes().items())):
        draw = torch.Generator().manual_seed(seed * 1000 + base * 50 + at)
        if name in names_of(CONFIG, span):
            made[name] = torch.randn(shape, generator=draw) * 0.01
    return made


class Cluster:
    """Members on one hub. ``spans`` by number; quorums by plan."""

    def __init__(
        self,
        folder: Path,
        spans: dict[int, Span],
        plans: dict[int, Plan] | None = None,
        decides: Callable[[Log], Decides] | None = None,
    ) -> None:
        self.decides = decides
        self.folder, self.spans, self.plans = folder, spans, plans or {}
        self.hub, self.clock = Hub(), Clock()
        weights = init_weights(CONFIG, b"cohort")
        self.start = GlobalState.start(weights)
        self.opening = Opening(global_root(self.start.weights, self.start.velocity), self.clock.at)
        self.voters = tuple(sorted(NumberedAccount(number).account for number in spans))
        self.censuses: dict[int, Census] = {}
        self.members = {number: self.member(number) for number in spans}

    def member(self, number: int) -> Member:
        """A member, on what is in its folder already if it was there before."""
        span = self.spans[number]
        census = self.censuses[number] = Census(TIMES, self.clock)
        for other in self.spans:
            if other != number:
                beat = Heartbeat(mode="async", layer_us=1, link_us=1, part_count=len(span), memory=1)
                census.hear(NumberedAccount(other).account, str(other), beat)
        names = names_of(CONFIG, span)
        own = GlobalState(*({n: part[n] for n in names} for part in (self.start.weights, self.start.velocity)))
        deadlines = Deadlines(collect=20.0, view=2.0, ask=0.3, round=40.0)
        place = Place(CONFIG, span, Versions(network=NETWORK), Int8(), self.folder / str(number), deadlines)
        seals = Seals(NumberedAccount(number), NETWORK, 31337, REGISTRY)
        first = Standing(1, own, {1: self.opening}, self.voters)
        banned: list[bytes] = []
        wire = Wire(self.hub, str(number))
        stack = ExitStack()
        made = Cohort(
            place, wire, census, seals, first, lambda account, _: banned.append(account), self.clock, self.decides
        )
        stack.enter_context(made)
        return Member(number, span, made, stack, self.plans.get(number), banned)

    def rounds(self, *numbers: int) -> dict[int, Settled]:
        """Everyone, or these, see the open round through, each in a thread."""
        some = numbers or tuple(self.members)
        with ThreadPoolExecutor(len(some)) as pool:
            done = {number: pool.submit(self.members[number].cohort.settle) for number in some}
            return {number: future.result(60) for number, future in done.items()}

    def settle(self, *numbers: int) -> dict[int, bytes]:
        """The same; roots by number."""
        return {number: settled.root for number, settled in self.rounds(*numbers).items()}

    def close(self) -> None:
        for member in self.members.values():
            member.close()


def quorum(*seats: tuple[int, Span]) -> Plan:
    """A quorum of the numbered accounts."""
    accounts = tuple(Seat(NumberedAccount(number).account, span) for number, span in seats)
    proposal = Proposal(accounts[0].account, accounts, 0, 0, 1_800_000_000, 3600)
    return Plan(NETWORK, proposal, tuple(bytes([number]) * 38 for number, _ in seats), STEPS)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Poll; fails the test where it does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)
