"""Answers that this node signed as their server, for as long as they can be disputed."""

from __future__ import annotations

from sqlalchemy import Delete
from sqlmodel import col, delete, select

from node.storage.sessions import Sessions
from node.storage.tables import SignedAnswer


class AnswerMethods(Sessions):
    """Part of Store."""

    def keep_answer(self, answer: SignedAnswer, forget: int) -> None:
        """Put an answer on record before its signature leaves; those signed before the timestamp `forget` go."""
        with self._write() as session:
            session.exec(_older(forget))
            session.merge(answer)

    def signed_answer(self, claim_hash: bytes) -> SignedAnswer | None:
        """One signed answer."""
        with self._read() as session:
            return session.get(SignedAnswer, claim_hash)

    def drop_answers(self, before: int) -> set[bytes]:
        """Forget answers signed before a timestamp; the roots of the weights that the others were given by."""
        with self._write() as session:
            session.exec(_older(before))
            return set(session.exec(select(SignedAnswer.weights_root).distinct()))


def _older(before: int) -> Delete:
    return delete(SignedAnswer).where(col(SignedAnswer.signed_at) < before)
