"""The events of Quorums.sol; like `events`, whose table they stand in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.chain.event import Event


@dataclass(frozen=True)
class Registered(Event):
    """A session begins; each member is (account, first layer, layer count)."""

    session: int
    leader: str
    until: int
    members_hash: bytes
    members: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class ClaimBound(Event):
    """A claim is a session's."""

    session: int
    claim_hash: bytes


@dataclass(frozen=True)
class ClaimDue(Event):
    """A session's claim is final; its reward can be shared out."""

    session: int
    claim_hash: bytes
    steps: int


@dataclass(frozen=True)
class MemberPaid(Event):
    """A member earned `reward` wei for its layers in a claim."""

    session: int
    claim_hash: bytes
    account: str
    reward: int


@dataclass(frozen=True)
class FaultFound(Event):
    """An op of a session's claim was ruled wrong; its owner can be named until `deadline`."""

    session: int
    claim_hash: bytes
    challenger: str
    op: int
    deadline: int


@dataclass(frozen=True)
class Blamed(Event):
    """An account answered for a session's lost claim."""

    session: int
    claim_hash: bytes
    account: str


@dataclass(frozen=True)
class Ended(Event):
    """A session takes no claims any more."""

    session: int


@dataclass(frozen=True)
class MemberLeft(Event):
    """A member has its bond back."""

    session: int
    account: str


QUORUM_EVENTS: Final[tuple[type[Event], ...]] = (
    Registered,
    ClaimBound,
    ClaimDue,
    MemberPaid,
    FaultFound,
    Blamed,
    Ended,
    MemberLeft,
)
