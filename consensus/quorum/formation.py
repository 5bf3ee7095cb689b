"""Forming a quorum: greedy by new parts covered over latency, among nodes of matched speed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consensus.quorum.capacity import Layout, holds_truly
from consensus.quorum.chain import shortest
from consensus.quorum.covering import Holder, cover, pieces
from consensus.quorum.parts import part_name
from consensus.quorum.peers import Peer
from consensus.quorum.placing import place, stage_time
from consensus.quorum.proposal import Proposal, Seat
from consensus.quorum.sizes import members_min, session_seconds
from consensus.quorum.tiers import groups
from economics.constants import QUORUM_MEMBERS_MAX
from economics.networks import MAINNET_TIMES, QuorumTimes


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
    others = {peer.account: (peer, peer.held) for peer in free if peer.held is not None and holds_truly(peer, layout)}
    others.pop(initiator.account, None)
    ranked = [others[account] for account in sorted(others)]
    first = (initiator, initiator.held)
    tried = [_form(first, [one for one in ranked if one[0].tier in tiers], layout, nodes) for tiers in choices]
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


def _form(first: Holder, candidates: Sequence[Holder], layout: Layout, nodes: int) -> Formed:
    least = members_min(nodes)
    chosen = cover(first, candidates, layout.parts)
    members, placed = chosen.members, None if chosen.gap is not None else place(chosen.members, layout)
    if placed is None and (line := shortest(first, candidates, layout.parts)) is not None:
        members, placed = line, place(line, layout)
    if placed is None and chosen.gap is not None:
        full = len(chosen.members) == QUORUM_MEMBERS_MAX
        reason = f"no quorum of {QUORUM_MEMBERS_MAX} members" if full else "no free node of matching speed"
        return Formed(why_not=f"{reason} can run the {part_name(chosen.gap, layout.parts)}")
    if placed is not None and len(placed) < least:
        placed = _fill(members, candidates, layout, least)
    if placed is None:
        return Formed(why_not=f"fewer than {least} free nodes of matching speed can share the model")
    seats = tuple(Seat(peer.account, span) for peer, span in placed)
    return Formed(seats, bottleneck=max(stage_time(peer, span, layout) for peer, span in placed))


def _fill(chosen: Sequence[Holder], candidates: Sequence[Holder], layout: Layout, least: int) -> list[Holder] | None:
    """Add the quickest nodes that can share the work until there are enough; None when there are not.

    One that finds no place may find it after another has come, so the first is looked for anew each time.
    """
    placed, members = None, list(chosen)
    ranked = sorted(candidates, key=lambda one: (one[0].latency_us, one[0].account))
    while len(members) < least:
        seated = {peer.account for peer, _ in members}
        fresh = [holder for holder in ranked if holder[0].account not in seated]
        for option in ((peer, span) for peer, held in fresh for span in pieces(held, members)):
            placed = place([*members, option], layout)
            if placed is not None:
                members.append(option)
                break
        else:
            return None
    return placed
