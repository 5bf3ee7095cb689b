"""Whether a proposed quorum may be: the same answer on every node that has the same records."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import combinations, pairwise

from consensus.quorum.capacity import Layout
from consensus.quorum.parts import part_name, span_name
from consensus.quorum.peers import Peer
from consensus.quorum.presence import Presence
from consensus.quorum.proposal import Proposal
from consensus.quorum.sizes import members_min
from consensus.quorum.tiers import match, partners
from economics.constants import QUORUM_MEMBERS_MAX
from economics.networks import MAINNET_TIMES, QuorumTimes


class Reason(StrEnum):
    """Why a proposal is refused."""

    VERSION = "other version"
    TIME = "wrong time"
    LENGTH = "wrong session length"
    TOO_MANY = "too many members"
    TOO_FEW = "too few members"
    DUPLICATE = "member named twice"
    INITIATOR = "initiator is no member"
    UNKNOWN = "unknown member"
    AWAY = "member not online"
    BUSY = "member in another quorum"
    TIER = "tiers do not match"
    GAP = "part not covered"
    OVERLAP = "part covered twice"
    EMPTY = "seat without a layer"
    NOT_HELD = "member does not hold its parts"
    MEMORY = "member has too little memory"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One broken rule, and where."""

    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a proposal is checked against: the records that every honest node has. ``now`` in Unix seconds."""

    peers: Mapping[bytes, Peer]
    layout: Layout
    nodes: int
    now: int
    arch_version: int = 0
    vocab_version: int = 0
    busy: Mapping[bytes, bytes] = field(default_factory=dict)
    """Session (id) of each account that is in one."""
    absent: Mapping[bytes, Presence] = field(default_factory=dict)
    """Accounts that are stale or offline."""
    times: QuorumTimes = MAINNET_TIMES


def refusals(proposal: Proposal, facts: Facts) -> list[Refusal]:
    """Every rule that a proposal breaks, in a fixed order; empty when it is valid."""
    first = [*_frame(proposal, facts)]
    if first:
        return first
    rules: tuple[Callable[[Proposal, Facts], Iterator[Refusal]], ...] = (_members, _speeds, _cover, _holdings)
    return [refusal for rule in rules for refusal in rule(proposal, facts)]


def _frame(proposal: Proposal, facts: Facts) -> Iterator[Refusal]:
    wanted = (facts.arch_version, facts.vocab_version)
    if (proposal.arch_version, proposal.vocab_version) != wanted:
        found = f"{proposal.arch_version}.{proposal.vocab_version}"
        yield Refusal(Reason.VERSION, f"model {found}, the network's is {wanted[0]}.{wanted[1]}")
    if abs(proposal.starts - facts.now) > facts.times.accept:
        yield Refusal(Reason.TIME, f"starts {proposal.starts - facts.now:+d} s from now, at most {facts.times.accept}")
    if proposal.seconds not in {facts.times.session, facts.times.session_small}:
        yield Refusal(Reason.LENGTH, f"{proposal.seconds} s")
    if len(proposal.seats) > QUORUM_MEMBERS_MAX:
        yield Refusal(Reason.TOO_MANY, f"{len(proposal.seats)} of {QUORUM_MEMBERS_MAX}")
    if len(proposal.seats) < (least := members_min(facts.nodes)):
        yield Refusal(Reason.TOO_FEW, f"{len(proposal.seats)} of {least} in a network of {facts.nodes}")


def _members(proposal: Proposal, facts: Facts) -> Iterator[Refusal]:
    accounts = proposal.accounts
    if proposal.initiator not in accounts:
        yield Refusal(Reason.INITIATOR, _short(proposal.initiator))
    for at, account in enumerate(accounts):
        if account in accounts[:at]:
            yield Refusal(Reason.DUPLICATE, _short(account))
        if account not in facts.peers:
            yield Refusal(Reason.UNKNOWN, _short(account))
        away = facts.absent.get(account, Presence.ONLINE)
        if away is not Presence.ONLINE:
            yield Refusal(Reason.AWAY, f"{_short(account)} is {away}")
        if facts.busy.get(account, proposal.id) != proposal.id:
            yield Refusal(Reason.BUSY, f"{_short(account)} is in {_short(facts.busy[account])}")


def _speeds(proposal: Proposal, facts: Facts) -> Iterator[Refusal]:
    known = [(account, facts.peers[account].tier) for account in proposal.accounts if account in facts.peers]
    for account, tier in known:
        if not partners(tier):
            yield Refusal(Reason.TIER, f"{_short(account)} is T{tier}, which joins no quorum")
    for (one, a), (other, b) in combinations(known, 2):
        if not match(a, b) and partners(a) and partners(b):
            yield Refusal(Reason.TIER, f"{_short(one)} is T{a}, {_short(other)} is T{b}")


def _cover(proposal: Proposal, facts: Facts) -> Iterator[Refusal]:
    parts = facts.layout.parts
    ends = [0, *(seat.span.stop for seat in proposal.seats)]
    starts = [*(seat.span.start for seat in proposal.seats), parts]
    for stop, start in zip(ends, starts, strict=True):
        name = part_name(min(stop, start, parts - 1), parts)
        if stop < start:
            yield Refusal(Reason.GAP, f"the {name} is nobody's")
        elif stop > start:
            yield Refusal(Reason.OVERLAP, f"the {name} comes twice, or lies beyond the model")
    for seat in proposal.seats:
        if (seat.span.start, seat.span.stop) in {(0, 1), (parts - 1, parts)}:
            yield Refusal(Reason.EMPTY, f"{_short(seat.account)} runs the {span_name(seat.span, parts)} alone")
    for before, after in pairwise(proposal.seats):
        if after.span.start < before.span.start:
            yield Refusal(Reason.OVERLAP, f"{_short(after.account)} stands out of order")


def _holdings(proposal: Proposal, facts: Facts) -> Iterator[Refusal]:
    for seat in proposal.seats:
        peer = facts.peers.get(seat.account)
        if peer is None:
            continue
        if peer.held is None or not peer.held.holds(seat.span):
            yield Refusal(Reason.NOT_HELD, f"{_short(seat.account)}: {span_name(seat.span, facts.layout.parts)}")
        if peer.memory < (needed := facts.layout.bytes_of(seat.span)):
            yield Refusal(Reason.MEMORY, f"{_short(seat.account)} gives {peer.memory} bytes, its parts take {needed}")


def _short(key: bytes) -> str:
    return "0x" + key[:4].hex()
