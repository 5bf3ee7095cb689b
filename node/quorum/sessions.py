"""The sessions on chain as its events tell them: who is in which, whose claim is whose, what is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from economics.constants import SESSION_TIME_MAX
from node.chain import quorum_events as events
from node.chain.contracts import Contracts
from node.chain.event import Event
from node.chain.quorums import Member

REORGANISED: Final = 64
"""Blocks that are read again at every look, in case the chain has others now."""
KEPT_SECONDS: Final = 4 * int(SESSION_TIME_MAX)
"""A session whose end is as long ago, and that has nothing open, is forgotten."""


@dataclass
class SessionRow:
    """One session; addresses checksummed, times Unix seconds. ``left``: members that have their bonds back."""

    number: int
    leader: str
    until: int
    members_hash: bytes
    members: tuple[Member, ...]
    ended: bool = False
    left: set[str] = field(default_factory=set)

    def has(self, account: str) -> bool:
        """Whether an account is a member."""
        return any(member.account == account for member in self.members)

    def place_of(self, account: str) -> int:
        """The number of a member's seat. Raises ValueError for a stranger."""
        return [member.account for member in self.members].index(account)

    def owner_of(self, layer: int) -> str:
        """Who answers for a layer; the leader for what is of none."""
        found = (m.account for m in self.members if m.first_layer <= layer < m.first_layer + m.layer_count)
        return next(found, self.leader)


class Sessions:
    """Read by one thread, which calls ``look`` first."""

    def __init__(self, contracts: Contracts, first_block: int) -> None:
        self._contracts, self._first = contracts, first_block
        self._next = first_block
        self.rows: dict[int, SessionRow] = {}
        self.claims: dict[bytes, int] = {}
        """The session of every quorum's claim, by its hash."""
        self.due: set[bytes] = set()
        self.faults: dict[bytes, events.FaultFound] = {}

    def look(self, head: int, now: int) -> None:
        """Read on to block `head`, whose time is `now`. Raises RpcError."""
        for event in self._contracts.quorums.events(self._next, head):
            self._take(event)
        self._next = max(self._first, head - REORGANISED)
        used = {self.claims.get(claim, 0) for claim in self.due | self.faults.keys()}
        self.rows = {n: row for n, row in self.rows.items() if n in used or row.until + KEPT_SECONDS > now}
        self.claims = {claim: n for claim, n in self.claims.items() if n in self.rows}

    def of_claim(self, claim_hash: bytes) -> SessionRow | None:
        """The session of a claim; None where it is a node's alone."""
        return self.rows.get(self.claims.get(claim_hash, 0))

    def shares(self, claim_hash: bytes, account: str) -> bool:
        """Whether a claim is of a session that `account` is or was in."""
        row = self.of_claim(claim_hash)
        return row is not None and row.has(account)

    def of(self, account: str) -> list[SessionRow]:
        """Sessions that hold a bond of an account, the newest last."""
        return [row for row in self.rows.values() if row.has(account) and account not in row.left]

    def settled(self, claim_hash: bytes) -> None:
        """The contract has nothing to do about a claim any more, whatever was read before."""
        self.due.discard(claim_hash)
        self.faults.pop(claim_hash, None)

    def _take(self, event: Event) -> None:
        match event:
            case events.Registered():
                members = tuple(Member(*one) for one in event.members)
                row = SessionRow(event.session, event.leader, event.until, event.members_hash, members)
                self.rows.setdefault(event.session, row)
            case events.ClaimBound():
                self.claims[event.claim_hash] = event.session
            case events.ClaimDue():
                self.due.add(event.claim_hash)
            case events.MemberPaid():
                self.due.discard(event.claim_hash)
            case events.FaultFound():
                self.faults[event.claim_hash] = event
            case events.Blamed():
                self.faults.pop(event.claim_hash, None)
            case events.Ended() if event.session in self.rows:
                self.rows[event.session].ended = True
            case events.MemberLeft() if event.session in self.rows:
                self.rows[event.session].left.add(event.account)
