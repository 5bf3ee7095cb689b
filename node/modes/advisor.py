"""Rules, this machine and the network put together: the mode of this node and why, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from consensus.quorum.capacity import Layout, choose_span
from consensus.quorum.coverage import count_holders
from consensus.quorum.formation import Terms, propose
from consensus.quorum.modes import Choice, Mode, Situation, choose
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from consensus.quorum.proposal import Proposal, Seat
from consensus.quorum.replacement import substitute
from consensus.quorum.tiers import SLOWEST, match, tier_of
from economics.networks import MAINNET_TIMES, QuorumTimes
from node.modes.view import NetworkView, NodeRow, QuorumRow

KEPT = frozenset({Mode.VERIFY.value, Mode.DATA.value, Mode.INFERENCE.value})
"""Modes whose nodes are not asked for a seat."""


@dataclass(frozen=True)
class Machine:
    """What this node is and has."""

    account: str
    layer_us: int
    memory: int
    link_us: int = 0
    shards: int = 0
    storage: int = 0
    shard_bytes: int = 1
    staked: bool = True
    forced: Mode | None = None


@dataclass(frozen=True)
class Advice:
    """The choice, the parts to hold, and a proposal where the choice is to form a quorum."""

    choice: Choice
    span: Span | None
    proposal: Proposal | None = None


@dataclass
class Advisor:
    """Remembers since when the node has looked for a quorum; all else is the rules'. ``clock`` in Unix seconds."""

    layout: Layout
    clock: Callable[[], float]
    times: QuorumTimes = MAINNET_TIMES
    held: Span | None = None
    """The parts that this node holds; chosen at the first advice, and again when they are no longer of the model."""
    offline: str = ""
    """Why there is no quorum to look for, in words; "" where there may be."""
    _since: int | None = field(default=None, repr=False)

    def advise(self, machine: Machine, view: NetworkView | None, nodes: int | None = None) -> Advice:
        """The mode that follows from what is known.

        ``nodes``: of the network, this one included, where something else than the view knows better (the chain).
        """
        now = int(self.clock())
        others = [row for row in view.online() if row.account.lower() != machine.account.lower()] if view else []
        online = 1 + len(others) if nodes is None else max(1, nodes)
        own = view.quorum_of(machine.account) if view else None
        self._since = None if own else now if self._since is None else self._since
        span = self._hold(machine, view, online)
        me = Peer(bytes.fromhex(machine.account[2:]), machine.layer_us, machine.link_us, span, machine.memory)
        searched = 0 if self._since is None else now - self._since
        if self.offline:
            searched = self.times.join + self.times.form
        proposal, why_not = self._propose(me, view, online, now, searched)
        situation = Situation(
            nodes=online,
            tier=me.tier,
            layer_us=me.layer_us,
            holds=span is not None,
            staked=machine.staked,
            forced=machine.forced,
            in_quorum=_named(own),
            joinable=_named(self._open_seat(me, view)),
            formable=proposal is not None,
            why_not=why_not,
            searched=searched,
            shards=machine.shards,
            storage=machine.storage,
            shard_bytes=machine.shard_bytes,
            verifiers=_others(view, machine, Mode.VERIFY),
            providers=_others(view, machine, Mode.DATA),
            times=self.times,
        )
        return Advice(choose(situation), span, proposal)

    def _hold(self, machine: Machine, view: NetworkView | None, nodes: int) -> Span | None:
        fits = self.held is not None and self.held.stop <= self.layout.parts
        counts = view.counts(without=machine.account) if view else [0] * self.layout.parts
        if fits and view is not None and (crowd := self._crowd(machine, view)) is not None:
            fits, counts = False, crowd
        if not fits or self.held is None or self.layout.bytes_of(self.held) > machine.memory:
            account = bytes.fromhex(machine.account[2:])
            self.held = choose_span(self.layout, machine.memory, counts, nodes, account)
        return self.held

    def _crowd(self, machine: Machine, view: NetworkView) -> list[int] | None:
        """How many of the nodes that could share a quorum with this one hold each part, where it should hold other
        parts for them: a part is nobody's among them, while they hold all of what it holds. None where it should not.

        Nodes that came at once may have chosen alike, and look for a quorum in vain. Only the one with the largest
        account among the holders of its parts chooses anew, so that not all of them do.
        """
        own = self.held
        if own is None or self._since is None or int(self.clock()) - self._since < self.times.join:
            return None
        held = [(row.account.lower(), row.held.span) for row in view.online() if row.held and _fits(machine, row)]
        counts = count_holders((span for _, span in held), self.layout.parts)
        nobodys = any(count == 0 and part not in own for part, count in enumerate(counts))
        if not nobodys or any(counts[part] == 0 for part in own.parts() if part < len(counts)):
            return None
        alike = [account for account, span in held if span.start < own.stop and own.start < span.stop]
        return counts if all(account < machine.account.lower() for account in alike) else None

    def _propose(
        self, me: Peer, view: NetworkView | None, nodes: int, now: int, searched: int
    ) -> tuple[Proposal | None, str]:
        if self.offline:
            return None, self.offline
        if view is None or me.tier >= SLOWEST or me.held is None or searched < self.times.join:
            return None, ""
        taken = {seat.account.lower() for one in view.quorums if one.state != "dissolved" for seat in one.seats}
        rows = [n for n in view.online() if n.layer_us and n.mode not in KEPT and n.account.lower() not in taken]
        terms = Terms(now, nodes, view.arch_version, view.vocab_version, self.times)
        found = propose(me, [row.peer for row in rows], self.layout, terms)
        if not isinstance(found, Proposal):
            return None, found.why_not
        if len(found.seats) == 1:
            return None, "it holds the whole model, and no other node is needed"
        return found, ""

    def _open_seat(self, me: Peer, view: NetworkView | None) -> QuorumRow | None:
        """A running quorum one of whose members is gone, and whose seat this node could take."""
        rows: dict[str, NodeRow] = {row.account.lower(): row for row in view.nodes} if view else {}
        for one in view.quorums if view else ():
            if one.state not in {"active", "renewing"}:
                continue
            seats = seats_of(one)
            peers = {seat.account: rows[_hex(seat.account)].peer for seat in seats if _hex(seat.account) in rows}
            for seat in seats:
                row = rows.get(_hex(seat.account))
                gone = row is None or row.presence != "online"
                if gone and substitute(seats, seat.account, peers, [me], self.layout) is not None:
                    return one
        return None


def _fits(machine: Machine, row: NodeRow) -> bool:
    """Whether another node takes seats, and is of matching speed."""
    other = row.account.lower() != machine.account.lower() and row.layer_us > 0
    return other and not row.aside and row.mode not in KEPT and match(tier_of(machine.layer_us), row.tier)


def seats_of(row: QuorumRow) -> tuple[Seat, ...]:
    """A quorum's seats as the rules take them."""
    return tuple(Seat(bytes.fromhex(seat.account[2:]), seat.parts.span) for seat in row.seats)


def _named(row: QuorumRow | None) -> str:
    return "" if row is None else f"quorum {row.id[:10]}"


def _hex(account: bytes) -> str:
    return "0x" + account.hex()


def _others(view: NetworkView | None, machine: Machine, mode: Mode) -> int:
    rows = view.online() if view else []
    return sum(row.mode == mode.value and row.account.lower() != machine.account.lower() for row in rows)
