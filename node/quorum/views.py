"""The network as this node's peers tell it, for the rules of modes and for the commands that show it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from economics.networks import QuorumTimes
from node.modes.sources import RecordSource
from node.modes.view import NetworkView, NodeRow, QuorumRow, Range, SeatRow
from node.quorum.census import Census, Seen
from node.quorum.consent import address_of
from node.quorum.sessions import SessionRow, Sessions
from node.quorum.teams import Teams


@dataclass(frozen=True)
class NetworkSource:
    """Makes a view of heartbeats and of the sessions on chain. Called by the thread that reads the sessions.

    ``layers``: of the model at hand; ``version``: of the vocabulary; ``unix``: Unix seconds by this machine.
    """

    me: str
    census: Census
    teams: Teams
    sessions: Sessions
    times: QuorumTimes
    layers: Callable[[], int]
    version: Callable[[], int]
    unix: Callable[[], float] = field(default=time.time)

    def view(self) -> NetworkView:
        """See ``node.modes.sources.ViewSource``."""
        seen = {address_of(account): one for account, one in self.census.all().items()}
        return RecordSource(
            layers=self.layers(),
            nodes=lambda: [_node(address, one) for address, one in seen.items()],
            clock=self.unix,
            quorums=lambda: [*self._others(seen), *self._own()],
            account=self.me,
            vocab_version=self.version(),
            times=self.times,
        ).view()

    def _own(self) -> Iterator[QuorumRow]:
        binding = self.teams.binding
        if binding is None:
            return
        plan = binding.plan
        seats = [
            SeatRow(account=address_of(seat.account), parts=Range(start=seat.span.start, stop=seat.span.stop))
            for seat in plan.proposal.seats
        ]
        rounds = f"trains from round {plan.round} on" + (f", session {binding.number}" if binding.number else "")
        yield QuorumRow(
            id="0x" + plan.id.hex(),
            initiator=address_of(plan.leader),
            state="active",
            why=rounds,
            began=plan.proposal.starts,
            ends=plan.ends,
            batches=binding.batches,
            renewals=max(0, (plan.proposal.starts - binding.began) // max(1, plan.proposal.seconds)),
            seats=seats,
        )

    def _others(self, seen: dict[str, Seen]) -> Iterator[QuorumRow]:
        """Sessions on chain whose members all say that they are in one quorum."""
        for row in self.sessions.rows.values():
            members = [seen.get(member.account) for member in row.members]
            names = {one.quorum for one in members if one is not None}
            if not row.ended and None not in members and len(names) == 1 and (name := names.pop()):
                yield _session(row, name, self.layers())


def _session(row: SessionRow, name: bytes, layers: int) -> QuorumRow:
    seats = []
    for member in row.members:
        start, stop = member.first_layer + 1, member.first_layer + member.layer_count + 1
        # The embedding goes with the first layer, the head with the last.
        parts = Range(start=start if member.first_layer else 0, stop=stop + (stop == layers + 1))
        seats.append(SeatRow(account=member.account, parts=parts))
    why = f"session {row.number}"
    return QuorumRow(id="0x" + name.hex(), initiator=row.leader, state="active", why=why, ends=row.until, seats=seats)


def _node(address: str, one: Seen) -> NodeRow:
    held = one.node.held
    return NodeRow(
        account=address,
        peer_id=one.peer[:300],
        mode=one.mode[:300],
        layer_us=one.node.layer_us,
        link_us=one.node.link_us,
        memory=one.node.memory,
        held=None if held is None else Range(start=held.start, stop=held.stop),
        last_heartbeat=one.at,
        aside=one.aside,
    )
