"""Who takes the seat of a member that left, and when a better partner is worth a change."""

from collections.abc import Iterable, Mapping, Sequence

from consensus.quorum.capacity import Layout, holds_truly
from consensus.quorum.peers import Peer
from consensus.quorum.placing import stage_time
from consensus.quorum.proposal import Seat
from consensus.quorum.tiers import match, partners
from economics.constants import SWITCH_GAIN
from economics.units import BPS


def substitute(
    seats: Sequence[Seat], lost: bytes, peers: Mapping[bytes, Peer], free: Iterable[Peer], layout: Layout
) -> Peer | None:
    """The quickest free node that holds the lost member's parts and whose tier matches every other member's.

    ``free``: nodes in no session. None when there is none: then the quorum dissolves.
    """
    seat = next(one for one in seats if one.account == lost)
    tiers = {peers[one.account].tier for one in seats if one.account != lost and one.account in peers}
    members = {one.account for one in seats}
    fitting = [
        peer for peer in free if peer.account not in members and _fits(peer, seat, tiers) and holds_truly(peer, layout)
    ]
    return min(fitting, key=lambda peer: (peer.latency_us, peer.account), default=None)


def worth_switching(now_us: int, then_us: int) -> bool:
    """Whether a change gains more than 20%: the old time is over 1.2 times the new one."""
    return now_us * BPS > then_us * (BPS + SWITCH_GAIN)


def better_partner(
    seats: Sequence[Seat], peers: Mapping[bytes, Peer], free: Iterable[Peer], layout: Layout
) -> tuple[bytes, Peer] | None:
    """(member, its better) where a change of the slowest stage makes the whole pipeline over 20% faster; else None."""
    stages = {s.account: stage_time(peers[s.account], s.span, layout) for s in seats if s.account in peers}
    if len(stages) < len(seats) or not stages:
        return None
    slowest = max(stages, key=lambda account: (stages[account], account))
    found = substitute(seats, slowest, peers, free, layout)
    if found is None:
        return None
    seat = next(one for one in seats if one.account == slowest)
    rest = max((time for account, time in stages.items() if account != slowest), default=0)
    after = max(rest, stage_time(found, seat.span, layout))
    return (slowest, found) if worth_switching(stages[slowest], after) else None


def _fits(peer: Peer, seat: Seat, tiers: set[int]) -> bool:
    held = peer.held is not None and peer.held.holds(seat.span)
    return held and bool(partners(peer.tier)) and all(match(peer.tier, tier) for tier in tiers)
