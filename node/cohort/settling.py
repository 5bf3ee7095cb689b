"""How voters agree on one outcome of a round: each says what it holds, one proposes, a majority takes it.

Paxos (Lamport 1998) over one value, with its views in rotating hands. A ballot of view v is the promise to take nothing
of an earlier view, and tells what was taken before. View 0 needs no other preparation, because a round has one first
proposer. So two outcomes of one round are impossible while voters stop, come back or are slow, whatever is lost; the
round ends while a majority is there. A voter that signs two things in one place is named in ``twice``. Pure: no clock,
no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from consensus.quorum.parts import Span
from node.cohort.sealing import Sealed
from node.net.wire.cohort_pb2 import Accept, Ballot, Body, Outcome, Proposal

VOTERS_MAX: Final = 64
HELD_MAX: Final = 144
"""Contributions that one ballot names: with VOTERS_MAX accounts they fit into one announcement."""
VIEWS_MAX: Final = 1 << 16


def majority(count: int) -> int:
    """More than half."""
    return count // 2 + 1


def digest_of(outcome: Outcome) -> bytes:
    """What an acceptance names, 32 bytes."""
    return hashlib.sha256(b"ponw/outcome/1\x00" + outcome.SerializeToString(deterministic=True)).digest()


def outcome_of(number: int, opened: int, ballots: Sequence[Ballot], spans: Mapping[bytes, Span]) -> Outcome:
    """What a round comes to by its ballots: the same from the same ballots, in whichever order.

    What was taken in the latest view before stands. Otherwise a contribution counts where more than half of those
    ballots vouch for it whose voters hold any of its parts; who is heard by more than half of the ballots votes in the
    next round; and it closes at the ballots' median time, not before ``opened`` (Unix seconds). ``spans``: parts of
    every contribution by id; one that is not known does not count.
    """
    taken = max((b for b in ballots if b.accepted_view), key=lambda b: b.accepted_view, default=None)
    if taken is not None:
        return taken.accepted
    held = sorted({one for ballot in ballots for one in ballot.held} & spans.keys())
    heard = sorted({one for ballot in ballots for one in ballot.online})
    times = sorted(ballot.time for ballot in ballots)
    return Outcome(
        round=number,
        contributions=[one for one in held if _vouched(one, spans[one], ballots)],
        voters=[one for one in heard if 2 * sum(one in b.online for b in ballots) > len(ballots)][:VOTERS_MAX],
        closed=max(opened, times[(len(times) - 1) // 2]),
    )


def _vouched(one: bytes, span: Span, ballots: Iterable[Ballot]) -> bool:
    holders = [ballot for ballot in ballots if _overlaps(ballot, span)]
    return 2 * sum(one in ballot.held for ballot in holders) > len(holders)


def _overlaps(ballot: Ballot, span: Span) -> bool:
    return ballot.first_part < span.stop and span.start < ballot.first_part + ballot.part_count


def well_formed(body: Body) -> bool:
    """Whether a ballot, proposal or acceptance is one that this code could have made."""
    match body.WhichOneof("kind"):
        case "ballot":
            ballot = body.ballot
            return (
                len(ballot.held) <= HELD_MAX
                and len(ballot.online) <= VOTERS_MAX
                and ballot.part_count > 0
                and ballot.view < VIEWS_MAX
                and ballot.accepted_view <= ballot.view
                and (not ballot.accepted_view or ballot.accepted.round == body.round)
                and all(len(one) == 32 for one in ballot.held)
                and all(len(one) == 20 for one in ballot.online)
            )
        case "proposal":
            return body.proposal.outcome.round == body.round and len(body.proposal.ballots) <= VOTERS_MAX
        case "accept":
            return len(body.accept.outcome) == 32
        case _:
            return False


@dataclass
class Settling:
    """One member's view of the agreement on round ``number``, opened at ``opened``. ``voters``: accounts, rising."""

    number: int
    opened: int
    voters: tuple[bytes, ...]
    me: bytes
    view: int = 0
    twice: dict[bytes, str] = field(default_factory=dict)
    """Voters that signed two things in one place, and where."""
    _taken: tuple[int, Outcome] | None = None
    _voted: int = -1
    _ballots: dict[tuple[int, bytes], Sealed] = field(default_factory=dict)
    _proposals: dict[int, Sealed] = field(default_factory=dict)
    _accepts: dict[tuple[int, bytes], Sealed] = field(default_factory=dict)

    def proposer(self, view: int) -> bytes:
        """Whose turn it is."""
        return self.voters[(self.number + view) % len(self.voters)]

    def add(self, message: Sealed) -> None:
        """Note a voter's well-formed message; of two in one place the first stands. After a stop, add our own first."""
        body = message.body
        if body.account not in self.voters or body.round != self.number or not well_formed(body):
            return
        kept: Sealed | None = None
        if message.kind == "ballot":
            kept = self._ballots.setdefault((body.ballot.view, body.account), message)
        elif message.kind == "accept":
            kept = self._accepts.setdefault((body.accept.view, body.account), message)
        elif body.account == self.proposer(body.proposal.view):
            kept = self._proposals.setdefault(body.proposal.view, message)
        if kept is not None and kept.digest != message.digest:
            self.twice[bytes(body.account)] = f"two of kind {message.kind} in round {self.number}"
        if body.account == self.me and kept is message:
            self._resume(message)

    def _resume(self, message: Sealed) -> None:
        body = message.body
        if message.kind == "ballot":
            self._voted = max(self._voted, body.ballot.view)
            self.view = max(self.view, body.ballot.view)
            if body.ballot.accepted_view:
                self._take(body.ballot.accepted_view - 1, body.ballot.accepted)
        elif message.kind == "accept":
            proposal = self._proposals.get(body.accept.view)
            if proposal is not None:
                self._take(body.accept.view, proposal.body.proposal.outcome)

    def _take(self, view: int, outcome: Outcome) -> None:
        if self._taken is None or view > self._taken[0]:
            self._taken = (view, outcome)

    def next_view(self) -> None:
        """The view took too long."""
        self.view += 1

    @property
    def begun(self) -> bool:
        """Whether this member has cast any ballot of the round."""
        return self._voted >= 0

    @property
    def voted(self) -> bool:
        """Whether this member's ballot of the view is out."""
        return self._voted >= self.view

    def ballot(self, span: Span, held: Iterable[bytes], online: Iterable[bytes], now: int) -> Body:
        """This member's ballot of its view, to be signed and added."""
        ballot = Ballot(
            view=self.view,
            first_part=span.start,
            part_count=len(span),
            held=sorted(held)[:HELD_MAX],
            online=sorted({self.me, *online})[:VOTERS_MAX],
            time=now,
        )
        if self._taken is not None:
            ballot.accepted_view = self._taken[0] + 1
            ballot.accepted.CopyFrom(self._taken[1])
        return Body(round=self.number, ballot=ballot)

    def propose(self, spans: Mapping[bytes, Span], patient: bool) -> Body | None:
        """The view's proposal where it is this member's turn: with all ballots, or once it is not ``patient`` any more
        with those of a majority. None for nothing yet."""
        if self.proposer(self.view) != self.me or self.view in self._proposals:
            return None
        found = [b for (view, _), b in sorted(self._ballots.items()) if view == self.view]
        if len(found) < (len(self.voters) if patient else majority(len(self.voters))):
            return None
        outcome = outcome_of(self.number, self.opened, [one.body.ballot for one in found], spans)
        names = [one.digest for one in found]
        return Body(round=self.number, proposal=Proposal(view=self.view, outcome=outcome, ballots=names))

    def accept(self, spans: Mapping[bytes, Span]) -> Body | None:
        """This member's acceptance of the newest proposal that it may take and has not taken; None for none."""
        for view in sorted((view for view in self._proposals if view >= self.view), reverse=True):
            proposal = self._proposals[view].body.proposal
            if (view, self.me) not in self._accepts and self._follows(view, proposal, spans):
                self.view = view
                self._take(view, proposal.outcome)
                return Body(round=self.number, accept=Accept(view=view, outcome=digest_of(proposal.outcome)))
        return None

    def _follows(self, view: int, proposal: Proposal, spans: Mapping[bytes, Span]) -> bool:
        """Whether a proposal is what a majority's ballots of its view come to, as far as they are known here."""
        known = {b.digest: b.body.ballot for (at, _), b in self._ballots.items() if at == view}
        names = set(proposal.ballots)
        if len(names) < majority(len(self.voters)) or not names <= known.keys():
            return False
        return outcome_of(self.number, self.opened, [known[n] for n in proposal.ballots], spans) == proposal.outcome

    def outcome(self) -> Outcome | None:
        """What a majority of the voters has taken in one view; None while there is none."""
        counts: dict[tuple[int, bytes], int] = {}
        for message in self._accepts.values():
            accept = message.body.accept
            place = (accept.view, bytes(accept.outcome))
            counts[place] = counts.get(place, 0) + 1
        for (view, digest), count in counts.items():
            proposal = self._proposals.get(view)
            if count >= majority(len(self.voters)) and proposal is not None:
                outcome = proposal.body.proposal.outcome
                if digest_of(outcome) == digest:
                    return outcome
        return None
