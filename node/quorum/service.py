"""A node's life among quorums: it says who it is, hears who others are, answers proposals, and makes one when it is
its turn. Threads around blocking calls; what is decided, the rules decide."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from consensus.quorum.capacity import Layout
from consensus.quorum.formation import Terms, propose
from consensus.quorum.peers import Peer
from consensus.quorum.proposal import Proposal
from consensus.quorum.tiers import partners
from consensus.quorum.validity import Facts, refusals
from economics.networks import QuorumTimes
from node.errors import PonwError
from node.logs import get_logger
from node.net.accepting import accept_each, accept_several
from node.net.hotkey import peer_of, peer_text
from node.net.wire.common_pb2 import Refusal
from node.net.wire.gossip_pb2 import Heartbeat
from node.quorum import agreement, assembly
from node.quorum.agreement import Objection, Seats, Signer
from node.quorum.census import Census, Seen
from node.quorum.doors import Listener
from node.quorum.errors import QuorumError
from node.quorum.plan import Plan
from node.quorum.teams import Teams

log = get_logger("quorum")
TOPIC: Final = "heartbeats"
HEAR_SECONDS: Final = 1.0
SERVED_MAX: Final = 4
"""Streams over which stages are given at a time: the leaders of two quorums, each once more after a lost stream."""


class PeerNet(Protocol):
    """The part of the peer network that quorums use. Peers are named in base58."""

    @property
    def me(self) -> str: ...

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket: ...

    def listen(self, protocol: str) -> Listener: ...

    def publish(self, topic: str, body: bytes) -> int: ...

    def subscribe(
        self, topic: str, timeout: float | None = None
    ) -> AbstractContextManager[Iterator[tuple[str, bytes]]]: ...

    def account_of(self, peer: str) -> bytes | None:
        """The staked account that a peer speaks for, 20 bytes; None where none is known."""


@dataclass(frozen=True)
class Offer:
    """What this node says about itself and what the network runs. ``steps``: inner steps of a round."""

    node: Peer
    network: bytes
    layout: Layout
    steps: int
    arch_version: int = 0
    vocab_version: int = 0
    mode: str = ""
    round: int = 0


class QuorumService:
    """Runs within the block. ``offer`` is asked whenever it is needed; ``now`` gives Unix seconds."""

    def __init__(
        self,
        net: PeerNet,
        teams: Teams,
        signer: Signer,
        offer: Callable[[], Offer],
        times: QuorumTimes,
        now: Callable[[], int],
    ) -> None:
        self._net, self.teams, self._signer, self._offer = net, teams, signer, offer
        self._times, self._now = times, now
        self.census = Census(times, now)
        self.why_not = "has not looked for a quorum yet"
        self._searching = now()
        self._seats = Seats(teams.me, signer, self._objection, teams.started)
        self._closing = threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        proposals, stages = self._net.listen(agreement.PROTOCOL), self._net.listen(assembly.PROTOCOL)
        for name, work in (
            ("quorum-proposals", lambda: accept_each(proposals, self._closing, self._answer)),
            ("quorum-stages", lambda: accept_several(stages, self._closing, self._serve, SERVED_MAX)),
            ("quorum-census", self._hear),
            ("quorum-life", self._live),
        ):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._stack.callback(thread.join)
        self._stack.callback(proposals.close)
        self._stack.callback(stages.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._stack.close()

    def look(self) -> None:
        """Propose a quorum where this node is free, finds one, and it is its turn; else note why not."""
        self.teams.expire(self._now())
        if self.teams.plan is not None:
            self._searching = self._now()
            return
        offer = self._offer()
        free = self._free(offer.node)
        if not self._is_my_turn(offer.node, free):
            self.why_not = "waits for another node to propose a quorum"
            return
        found = propose(offer.node, [seen.node for seen in free.values()], offer.layout, self._terms(offer))
        if not isinstance(found, Proposal):
            self.why_not = found.why_not
            return
        self._propose(self._plan(found, free, offer))

    def beat(self) -> None:
        """Tell the network what this node is and does."""
        offer, plan = self._offer(), self.teams.plan
        node = offer.node
        beat = Heartbeat(
            mode=offer.mode,
            tier=node.tier,
            layer_us=node.layer_us,
            link_us=node.link_us,
            round=offer.round,
            memory=node.memory,
            quorum=b"" if plan is None else plan.id,
        )
        if node.held is not None:
            beat.first_part, beat.part_count = node.held.start, len(node.held)
        try:
            self._net.publish(TOPIC, beat.SerializeToString())
        except PonwError as error:
            log.info("no heartbeat went out", reason=error.message)

    # --- proposing ---

    def _is_my_turn(self, me: Peer, free: dict[bytes, Seen]) -> bool:
        """The smallest account among the free proposes; after the time to join, whoever still searches."""
        waited = self._now() - self._searching >= self._times.join
        able = [account for account, seen in free.items() if partners(seen.node.tier)]
        return waited or all(me.account < account for account in able)

    def _free(self, me: Peer) -> dict[bytes, Seen]:
        return {a: s for a, s in self.census.online().items() if a != me.account and not s.quorum and s.node.held}

    def _terms(self, offer: Offer) -> Terms:
        nodes = len(self.census.online().keys() | {offer.node.account})
        return Terms(self._now(), nodes, offer.arch_version, offer.vocab_version, self._times)

    def _plan(self, proposal: Proposal, free: dict[bytes, Seen], offer: Offer) -> Plan:
        names = [self._net.me if a == offer.node.account else free[a].peer for a in proposal.accounts]
        return Plan(offer.network, proposal, tuple(peer_of(name) for name in names), offer.steps)

    def _propose(self, plan: Plan) -> None:
        with self._seats.proposing() as free:
            if not free:
                return
            try:
                consents = agreement.propose(plan, self.teams.me, self._net, self._signer)
            except QuorumError as error:
                self.why_not = error.message
                log.info("no quorum came to be", reason=error.message)
                return
        self.teams.started(plan, consents)
        self.beat()

    # --- answering ---

    def _objection(self, plan: Plan) -> Objection | None:
        offer = self._offer()
        if plan.network != offer.network:
            return Refusal.OTHER_NETWORK, "this node is in another network"
        if self.teams.plan is not None and self.teams.plan.ends > self._now():
            return Refusal.BUSY, "this node is in a quorum"
        if plan.steps != offer.steps:
            return Refusal.OTHER_QUORUM, f"a round has {offer.steps} steps here, not {plan.steps}"
        known = self.census.all()
        for account, peer in zip(plan.proposal.accounts, plan.peers, strict=True):
            name = self._net.me if account == self.teams.me else known[account].peer if account in known else ""
            if peer_text(peer) != name:
                return Refusal.OTHER_QUORUM, f"0x{account.hex()} is reached elsewhere"
        broken = refusals(plan.proposal, self._facts(offer))
        return (Refusal.OTHER_QUORUM, "; ".join(str(one) for one in broken)) if broken else None

    def _facts(self, offer: Offer) -> Facts:
        known = self.census.all()
        peers = {account: seen.node for account, seen in known.items()} | {offer.node.account: offer.node}
        away = {account: self.census.presence_of(account) for account in known if account != offer.node.account}
        return Facts(
            peers,
            offer.layout,
            self._terms(offer).nodes,
            self._now(),
            offer.arch_version,
            offer.vocab_version,
            {a: s.quorum for a, s in known.items() if s.quorum and a != offer.node.account},
            away,
            self._times,
        )

    # --- threads ---

    def _answer(self, peer: str, stream: socket.socket) -> None:
        self._seats.answer(stream, peer)

    def _serve(self, peer: str, stream: socket.socket) -> None:
        self.teams.serve(peer, stream)

    def _live(self) -> None:
        while not self._closing.is_set():
            self.beat()
            self.look()
            self._closing.wait(self._times.heartbeat)

    def _hear(self) -> None:
        while not self._closing.is_set():
            try:
                with self._net.subscribe(TOPIC, HEAR_SECONDS) as beats:
                    for peer, body in beats:
                        self._note(peer, body)
                        if self._closing.is_set():
                            return
            except TimeoutError:
                continue
            except PonwError as error:
                log.debug("no heartbeats now", reason=error.message)
                self._closing.wait(HEAR_SECONDS)

    def _note(self, peer: str, body: bytes) -> None:
        account = self._net.account_of(peer)
        if account is not None:
            self.census.hear(account, peer, Heartbeat.FromString(body))
