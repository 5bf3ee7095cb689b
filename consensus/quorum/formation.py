"""Forming a quorum: greedy by new parts covered over latency, among nodes of matched speed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consensus.quorum.capacity import Layout, holds_truly
from consensus.quorum.coverage import count_holders, is_covered, uncovered
from consensus.quorum.parts import Span, part_name
from consensus.quorum.peers import Peer
from consensus.quorum.placing import place, stage_time
from consensus.quorum.proposal import Proposal, Seat
from consensus.quorum.sizes import members_min, session_seconds
from consensus.quorum.tiers import groups
from economics.constants import QUORUM_MEMBERS_MAX
from economics.networks import MAINNET_TIMES, QuorumTimes

_SCALE = 10**15
Chosen = list[tuple[Peer, Span]]


@dataclass(frozen=True, slots=True)
class Formed:
    """What forming gave: a quorum's seats, or the reason why there is none in words."""

    seats: tuple[Seat, ...] = ()
    why_not: str = ""
    bottleneck: int = 0
    """Time of the slowest stage (``placing.stage_time``); what two quorums are compared by."""

    @property
    def ok(self) -> bool:
        """Whether there is a quorum."""
        return bool(self.seats)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a proposal names beside its members. ``now`` in Unix seconds; ``nodes`` of the whole network."""

    now: int
    nodes: int
    arch_version: int = 0
    vocab_version: int = 0
    times: QuorumTimes = MAINNET_TIMES


def form(initiator: Peer, free: Iterable[Peer], layout: Layout, nodes: int) -> Formed:
    """The best quorum around ``initiator`` from nodes that are in no session.

    Each set of matching tiers that holds the initiator's is tried; the one whose slowest stage is fastest is taken,
    then the one with fewer members, then by accounts. The order of ``free`` does not matter.
    """
    if initiator.held is None or not holds_truly(initiator, layout):
        return Formed(why_not="this node holds no part of the model")
    choices = groups(initiator.tier)
    if not choices:
        return Formed(why_not=f"tier T{initiator.tier} joins no quorum")
    others = {peer.account: peer for peer in free if peer.account != initiator.account and holds_truly(peer, layout)}
    ranked = [others[account] for account in sorted(others)]
    tried = [_form(initiator, [p for p in ranked if p.tier in tiers], layout, nodes) for tiers in choices]
    formed = [one for one in tried if one.ok]
    if not formed:
        return tried[0]
    return min(formed, key=lambda one: (one.bottleneck, len(one.seats), one.seats))


def propose(initiator: Peer, free: Iterable[Peer], layout: Layout, terms: Terms) -> Proposal | Formed:
    """A proposal that ``validity.refusals`` accepts, or why there is none."""
    formed = form(initiator, free, layout, terms.nodes)
    if not formed.ok:
        return formed
    return Proposal(
        initiator=initiator.account,
        seats=formed.seats,
        arch_version=terms.arch_version,
        vocab_version=terms.vocab_version,
        starts=terms.now,
        seconds=session_seconds(terms.nodes, terms.times),
    )


def _form(initiator: Peer, candidates: Sequence[Peer], layout: Layout, nodes: int) -> Formed:
    least = members_min(nodes)
    chosen = _cover(initiator, candidates, layout.parts)
    if not is_covered((span for _, span in chosen), layout.parts):
        gap = uncovered(count_holders((span for _, span in chosen), layout.parts))[0]
        reason = "no free node of matching speed" if len(chosen) < QUORUM_MEMBERS_MAX else "no quorum of 16 members"
        return Formed(why_not=f"{reason} holds the {part_name(gap, layout.parts)}")
    placed = place(chosen, layout)
    if placed is not None and len(chosen) < least:
        placed = _fill(chosen, candidates, layout, least)
    if placed is None:
        return Formed(why_not=f"fewer than {least} free nodes of matching speed can share the model")
    seats = tuple(Seat(peer.account, span) for peer, span in placed)
    return Formed(seats, bottleneck=max(stage_time(peer, span, layout) for peer, span in placed))


def _cover(initiator: Peer, candidates: Sequence[Peer], parts: int) -> Chosen:
    """Members whose ranges cover as much as they can, the initiator first; no range strictly inside another."""
    assert initiator.held is not None  # noqa: S101 - form() has looked
    chosen: Chosen = [(initiator, _within(initiator.held, parts))]
    missing = set(range(parts)) - set(chosen[0][1].parts())
    left = [peer for peer in candidates if peer.held is not None and peer.held.start < parts]
    while missing and len(chosen) < QUORUM_MEMBERS_MAX:
        offers = [(peer, _usable(peer, chosen, missing, parts)) for peer in left]
        scored = [(_new(span, missing) * _SCALE // peer.latency_us, peer, span) for peer, span in offers if span]
        score, peer, span = max(scored, key=lambda one: (one[0], _reversed(one[1].account)), default=(0, None, None))
        if peer is None or span is None or score == 0:
            break
        chosen.append((peer, span))
        missing -= set(span.parts())
        left.remove(peer)
    return chosen


def _fill(chosen: Chosen, candidates: Sequence[Peer], layout: Layout, least: int) -> Chosen | None:
    """Add the quickest nodes that can share the work until there are enough; None when there are not.

    One that finds no place may find it after another has come, so the first is looked for anew each time.
    """
    placed, members = None, list(chosen)
    ranked = [peer for peer in candidates if peer.held is not None and peer.held.start < layout.parts]
    ranked.sort(key=lambda one: (one.latency_us, one.account))
    while len(members) < least:
        seated = {peer.account for peer, _ in members}
        options = (
            (peer, span)
            for peer in ranked
            if peer.account not in seated
            for span in _pieces(peer, members, layout.parts)
        )
        for option in options:
            placed = place([*members, option], layout)
            if placed is not None:
                members.append(option)
                break
        else:
            return None
    return placed


def _pieces(peer: Peer, members: Chosen, parts: int) -> list[Span]:
    """The ranges that a node may run beside the members, longest first."""
    assert peer.held is not None  # noqa: S101 - callers have looked
    pieces = [_within(peer.held, parts)]
    for _, member in members:
        cut = []
        for span in pieces:
            if span.start < member.start and member.stop < span.stop:
                cut += [Span(span.start, member.stop), Span(member.start, span.stop)]
            else:
                cut.append(span)
        pieces = sorted(set(cut))
    return sorted(pieces, key=lambda span: (-len(span), span))


def _usable(peer: Peer, members: Chosen, missing: set[int], parts: int) -> Span | None:
    """The range of a node with the most new parts that no member's range lies strictly inside; None if nothing new."""
    best = max(_pieces(peer, members, parts), key=lambda span: (_new(span, missing), len(span), -span.start))
    return best if _new(best, missing) else None


def _new(span: Span, missing: set[int]) -> int:
    return sum(part in missing for part in span.parts())


def _within(span: Span, parts: int) -> Span:
    return Span(span.start, min(span.stop, parts))


def _reversed(account: bytes) -> bytes:
    """Turns "greatest" into "first by account bytes"."""
    return bytes(255 - byte for byte in account)
