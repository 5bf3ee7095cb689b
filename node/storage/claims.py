"""Claims: this node's own, at most one a round and kind, and those of peers."""

from __future__ import annotations

from collections.abc import Collection

from sqlmodel import Session, col, select

from node.storage.errors import ClaimConflictError, TransitionError
from node.storage.sessions import Sessions
from node.storage.tables import ClaimRecord, ClaimState

NEXT_STATES: dict[ClaimState, frozenset[ClaimState]] = {
    ClaimState.PLANNED: frozenset({ClaimState.SENT, ClaimState.DROPPED}),
    ClaimState.SENT: frozenset({ClaimState.CHALLENGED, ClaimState.FINAL, ClaimState.LOST}),
    ClaimState.CHALLENGED: frozenset({ClaimState.SENT, ClaimState.FINAL, ClaimState.LOST}),
    ClaimState.FINAL: frozenset({ClaimState.PAID}),
    ClaimState.PAID: frozenset(),
    ClaimState.LOST: frozenset(),
    ClaimState.DROPPED: frozenset(),
}
"""What may follow each state; a challenge that the prover answered puts its claim back to SENT."""


class ClaimMethods(Sessions):
    """Part of Store."""

    def plan_claim(self, claim: ClaimRecord) -> ClaimRecord:
        """Put this node's claim on record before anything is sent; the one on record if it is the same.

        Ask `own_claim` first after a restart: what it returns is what must be posted.

        Raises:
            ClaimConflictError: a different claim is on record for this round and kind. Nothing is changed.
        """
        with self._write() as session:
            known = _own(session, claim.round, claim.kind)
            if known is None:
                planned = {**claim.model_dump(), "own": True, "state": ClaimState.PLANNED}
                record = ClaimRecord(**planned)
                session.add(record)
                return record
            if known.hash != claim.hash or known.body != claim.body:
                raise ClaimConflictError(
                    f"A different claim of this node is on record for round {claim.round} (0x{known.hash.hex()}).",
                    "The recorded claim stands; two claims for one round would be slashed.",
                )
            return known

    def own_claim(self, round_number: int, kind: int) -> ClaimRecord | None:
        """This node's claim for a round and kind, in whatever state."""
        with self._read() as session:
            return _own(session, round_number, kind)

    def record_peer_claim(self, claim: ClaimRecord) -> bool:
        """Put a claim seen on chain on record; False if its hash is known already (it is left as it is)."""
        with self._write() as session:
            if session.get(ClaimRecord, claim.hash) is not None:
                return False
            session.add(ClaimRecord(**{**claim.model_dump(), "own": False}))
            return True

    def claim(self, claim_hash: bytes) -> ClaimRecord | None:
        """One claim by its 32-byte hash."""
        with self._read() as session:
            return session.get(ClaimRecord, claim_hash)

    def claims(
        self,
        *,
        round_number: int | None = None,
        own: bool | None = None,
        states: Collection[ClaimState] | None = None,
    ) -> list[ClaimRecord]:
        """Claims that match every given filter, by round, kind and node."""
        query = select(ClaimRecord).order_by(col(ClaimRecord.round), col(ClaimRecord.kind), col(ClaimRecord.node))
        if round_number is not None:
            query = query.where(ClaimRecord.round == round_number)
        if own is not None:
            query = query.where(col(ClaimRecord.own) == own)
        if states is not None:
            query = query.where(col(ClaimRecord.state).in_(list(states)))
        with self._read() as session:
            return list(session.exec(query))

    def set_claim_state(
        self, claim_hash: bytes, state: ClaimState, *, tx_hash: str | None = None, reason: str | None = None
    ) -> ClaimRecord:
        """Move a claim to `state`; asking for the state it is in only updates `tx_hash` and `reason`.

        Raises:
            KeyError: there is no such claim.
            TransitionError: `state` cannot follow the state it is in.
        """
        with self._write() as session:
            record = session.get(ClaimRecord, claim_hash)
            if record is None:
                raise KeyError(f"claim 0x{claim_hash.hex()} is not on record")
            current = ClaimState(record.state)
            if state not in {current, *NEXT_STATES[current]}:
                raise TransitionError(f"A claim that is {current} cannot become {state}.")
            record.state = state
            record.tx_hash = record.tx_hash if tx_hash is None else tx_hash
            record.reason = record.reason if reason is None else reason
            return record


def _own(session: Session, round_number: int, kind: int) -> ClaimRecord | None:
    query = select(ClaimRecord).where(
        ClaimRecord.round == round_number,
        ClaimRecord.kind == kind,
        col(ClaimRecord.own) == True,  # noqa: E712
    )
    return session.exec(query).first()
