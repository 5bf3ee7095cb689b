"""A node's life among quorums: it says who it is, hears who others are, answers proposals, makes one when it is its
turn, and asks its own quorum to go on. Threads around blocking calls; what is decided, the rules decide."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol, Self

from google.protobuf.message import DecodeError

from consensus.errors import ConsensusError
from consensus.quorum.formation import Terms, propose
from consensus.quorum.peers import Peer
from consensus.quorum.proposal import Proposal
from consensus.quorum.session import decision_time, faults, renewal_refused
from consensus.quorum.tiers import partners
from economics.networks import QuorumTimes
from node.errors import PonwError
from node.logs import get_logger
from node.net.accepting import Threads, accept_each
from node.net.hotkey import peer_of
from node.net.wire.gossip_pb2 import Heartbeat
from node.quorum import agreement, assembly
from node.quorum.agreement import Objection, Seats, Signer
from node.quorum.bound import Binding
from node.quorum.census import Census, Seen
from node.quorum.doors import Listener
from node.quorum.errors import QuorumError
from node.quorum.judging import Judge, as_session
from node.quorum.offer import Almanac, Offer
from node.quorum.plan import Plan
from node.quorum.teams import Teams

__all__ = ["Offer", "PeerNet", "QuorumService"]

log = get_logger("quorum")
TOPIC: Final = "heartbeats"
HEAR_SECONDS: Final = 1.0
ANSWERS_MAX: Final = 8
"""Proposals that are answered at a time; one of a peer."""
SAY_BEATS: Final = 3
"""Heartbeats in which a member of a new quorum has said that it is in it."""
SERVED_MAX: Final = 4
"""Streams over which stages are given at a time: the leaders of two quorums, each once more after a lost stream."""
SERVED_EACH: Final = 2


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

    def charge(self, peer: str, reason: str) -> None:
        """A peer sent malformed bytes on a stream that this node serves; enough of them ban it. Must not raise."""

    def account_of(self, peer: str) -> bytes | None:
        """The staked account that a peer speaks for, 20 bytes; None where none is known."""


class QuorumService:
    """Runs within the block. ``offer`` is asked whenever it is needed; sessions go by the almanac's time, heartbeats by
    this machine's (``wall``, Unix seconds)."""

    def __init__(
        self,
        net: PeerNet,
        teams: Teams,
        signer: Signer,
        offer: Callable[[], Offer],
        times: QuorumTimes,
        almanac: Almanac,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._net, self.teams, self._signer, self._offer = net, teams, signer, offer
        self._times, self._almanac = times, almanac
        self._unix = wall
        self.census = Census(times, self._wall)
        self.why_not = "has not looked for a quorum yet"
        self._began = self._searching = self._wall()
        self._decided: Plan | None = None
        self._kept: tuple[Plan | None, int] = (None, 0)
        self._judge = Judge(net.me, teams, self.census, almanac, times)
        self._seats = Seats(teams.me, signer, self._objection, teams.started, net.charge)
        self._closing = threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        proposals, stages = self._net.listen(agreement.PROTOCOL), self._net.listen(assembly.PROTOCOL)
        answering = self._stack.enter_context(Threads("quorum-answer", self._answer, ANSWERS_MAX))
        serving = self._stack.enter_context(Threads("quorum-stage", self.teams.serve, SERVED_MAX, SERVED_EACH))
        for name, work in (
            ("quorum-proposals", lambda: accept_each(proposals, self._closing, answering.start)),
            ("quorum-stages", lambda: accept_each(stages, self._closing, serving.start)),
            ("quorum-census", self._hear),
            ("quorum-beats", lambda: self._often(self.beat)),
            ("quorum-life", lambda: self._often(self.look)),
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

    def _wall(self) -> int:
        return int(self._unix())

    @property
    def searched(self) -> int:
        """Seconds since this node was last in a quorum, or began to look for one."""
        return 0 if self.teams.plan is not None else self._wall() - self._searching

    @property
    def agreeing(self) -> bool:
        """Whether this node is winning others for a quorum, or being won, right now."""
        return self._seats.busy

    def look(self) -> None:
        """Propose a quorum where this node is free, finds one, and it is its turn; else note why not. In a quorum, see
        that its members are there, and ask them to go on when that is due.

        Raises:
            PonwError: the chain does not answer.
        """
        now = self._almanac.now()
        self.teams.expire(now)
        binding = self.teams.binding
        if binding is not None:
            self._searching = self._wall()
            self._keep(binding, now)
            return
        offer = self._offer()
        if offer.aside:
            self.why_not = offer.aside
            return
        free = self._free(offer.node)
        if not self._is_my_turn(offer.node, free):
            self.why_not = "waits for another node to propose a quorum"
            return
        found = propose(offer.node, [seen.node for seen in free.values()], offer.layout, self._terms(offer, now))
        if not isinstance(found, Proposal):
            self.why_not = found.why_not
        elif len(found.seats) == 1:
            self.why_not = "it holds the whole model, and no other node is needed"
        else:
            after = max([self.teams.alone, *(free[a].alone for a in found.accounts if a in free)])
            names = [self._net.me if a == offer.node.account else free[a].peer for a in found.accounts]
            self._propose(found, tuple(peer_of(name) for name in names), offer, after)

    def beat(self) -> None:
        """Tell the network what this node is and does. Raises NetworkError."""
        offer, plan = self._offer(), self.teams.plan
        node = offer.node
        beat = Heartbeat(
            mode=offer.mode,
            tier=node.tier,
            layer_us=node.layer_us,
            link_us=node.link_us,
            round=offer.round,
            step=offer.step,
            memory=node.memory,
            quorum=b"" if plan is None else plan.id,
            aside=bool(offer.aside),
            alone=self.teams.alone,
        )
        if node.held is not None:
            beat.first_part, beat.part_count = node.held.start, len(node.held)
        self._net.publish(TOPIC, beat.SerializeToString())

    # --- proposing ---

    def _is_my_turn(self, me: Peer, free: dict[bytes, Seen]) -> bool:
        """The smallest account among the free proposes; after the time to join, whoever still searches."""
        waited = self._wall() - self._searching >= self._times.join
        able = [account for account, seen in free.items() if partners(seen.node.tier)]
        return waited or all(me.account < account for account in able)

    def _free(self, me: Peer) -> dict[bytes, Seen]:
        online = self.census.online().items()
        return {a: s for a, s in online if a != me.account and not s.quorum and s.node.held and not s.aside}

    def _terms(self, offer: Offer, now: int) -> Terms:
        nodes = len(self.census.online().keys() | {offer.node.account})
        return Terms(now, nodes, offer.arch_version, offer.vocab_version, self._times)

    def _propose(self, proposal: Proposal, peers: tuple[bytes, ...], offer: Offer, after: int) -> bool:
        """Win the seats; False, and why in words, where that fails. Rounds up to `after` are not for it."""
        first = self._almanac.first_round(proposal.starts, proposal.starts + proposal.seconds, after)
        if first is None:
            self.why_not = "a session begun now would be over before the next round has time"
            return False
        plan = Plan(offer.network, proposal, peers, offer.steps, self._signer.nonce(), first)
        objection = self._signer.objection(plan)
        if objection is not None:
            self.why_not = objection[1]
            return False
        with self._seats.proposing() as free:
            bound = self.teams.plan
            if not free or not (bound is None or plan.renews(bound)):
                return False  # it was won for another one meanwhile
            self.teams.proposing = True
            self.teams.expecting()
            try:
                self.teams.started(plan, agreement.propose(plan, self.teams.me, self._net, self._signer))
            except QuorumError as error:
                self.why_not = error.message
                log.info("no quorum came to be", reason=error.message)
                return False
            finally:
                self.teams.proposing = False
        self.beat()
        return True

    # --- keeping ---

    def _keep(self, binding: Binding, now: int) -> None:
        """Leave a quorum one of whose members is gone, unless a round is under way: then that shows it. Renew it."""
        session, plan = as_session(binding), binding.plan
        health = self._judge.health(plan, now, self._wall(), self._began)
        ill = faults(session, health, now, self._times)
        ill |= self._gone(plan)
        if ill and not self.teams.busy:
            account = min(ill)
            self.teams.leave(plan, f"0x{account[:4].hex()} {ill[account]}")
            return
        if plan.leader != self.teams.me or plan == self._decided or now < decision_time(session):
            return
        refused = renewal_refused(session, health, now, self._times)
        if refused:
            self._decided = plan
            log.info("the quorum is not renewed", quorum=plan.id.hex()[:16], reason=refused)
            return
        # Once a renewal is refused it is not asked for again: the members may form another quorum when this one ends.
        again = replace(plan.proposal, starts=now)
        if self._almanac.first_round(now, now + again.seconds, self._almanac.current()) is None:
            return
        self._decided = plan
        self._propose(again, plan.peers, self._offer(), self._almanac.current())

    def _gone(self, plan: Plan) -> dict[bytes, str]:
        """Members that say that they are in this quorum no more, once there was time for all to say that they are."""
        if plan != self._kept[0]:
            self._kept = (plan, self._wall())
        said = self._kept[1] + SAY_BEATS * self._times.heartbeat
        known = self.census.all()
        others = [known[a] for a in plan.proposal.accounts if a != self.teams.me and a in known]
        return {s.node.account: "left the quorum" for s in others if s.at > said and s.quorum != plan.id}

    # --- answering ---

    def _objection(self, plan: Plan) -> Objection | None:
        objection = self._judge.objection(plan, self._offer())
        if objection is None:
            self.teams.expecting()
        return objection

    def _answer(self, peer: str, stream: socket.socket) -> None:
        self._seats.answer(stream, peer)

    # --- threads ---

    def _often(self, act: Callable[[], None]) -> None:
        while not self._closing.is_set():
            try:
                act()
            except (PonwError, ConsensusError) as error:
                # The chain or the peer process does not answer, or heartbeats make no sense together: again later.
                log.info("a quorum's chore has to wait", reason=error.message)
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
        if account is None:
            return
        try:
            self.census.hear(account, peer, Heartbeat.FromString(body))
        except DecodeError:
            log.info("a heartbeat is none", peer=peer)
