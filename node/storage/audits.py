"""Peers, what was found out about their claims, and open challenges."""

from __future__ import annotations

from sqlmodel import col, select

from node.storage.sessions import Sessions
from node.storage.tables import Audit, Challenge, Peer


class AuditMethods(Sessions):
    """Part of Store."""

    def save_peer(self, peer: Peer) -> None:
        """Insert or replace a peer by its address."""
        with self._write() as session:
            session.merge(Peer(**peer.model_dump()))

    def peer(self, address: str) -> Peer | None:
        """One peer."""
        with self._read() as session:
            return session.get(Peer, address)

    def peers(self) -> list[Peer]:
        """Every peer, by address."""
        with self._read() as session:
            return list(session.exec(select(Peer).order_by(col(Peer.address))))

    def save_audit(self, audit: Audit) -> None:
        """Insert or replace the audit of a claim."""
        with self._write() as session:
            session.merge(Audit(**audit.model_dump()))

    def audit(self, claim_hash: bytes) -> Audit | None:
        """The audit of a claim, if this node made one."""
        with self._read() as session:
            return session.get(Audit, claim_hash)

    def audits(self, round_number: int | None = None) -> list[Audit]:
        """Audits of one round, or all, by round."""
        query = select(Audit).order_by(col(Audit.round), col(Audit.claim_hash))
        if round_number is not None:
            query = query.where(Audit.round == round_number)
        with self._read() as session:
            return list(session.exec(query))

    def save_challenge(self, challenge: Challenge) -> None:
        """Insert or replace a challenge by its id on chain."""
        with self._write() as session:
            session.merge(Challenge(**challenge.model_dump()))

    def challenges(self, *, state: str | None = None, claim_hash: bytes | None = None) -> list[Challenge]:
        """Challenges that match every given filter, the most urgent first."""
        query = select(Challenge).order_by(col(Challenge.deadline), col(Challenge.id))
        if state is not None:
            query = query.where(Challenge.state == state)
        if claim_hash is not None:
            query = query.where(Challenge.claim_hash == claim_hash)
        with self._read() as session:
            return list(session.exec(query))
