"""Rounds and the steps run in them."""

from __future__ import annotations

from sqlmodel import col, select

from node.storage.errors import LeafConflictError
from node.storage.sessions import Sessions
from node.storage.tables import Leaf, Phase, Round


class RoundMethods(Sessions):
    """Part of Store."""

    def save_round(self, record: Round) -> None:
        """Insert or replace a round by its number."""
        with self._write() as session:
            session.merge(Round(**record.model_dump()))

    def round(self, number: int) -> Round | None:
        """One round."""
        with self._read() as session:
            return session.get(Round, number)

    def rounds(self) -> list[Round]:
        """Every round, oldest first."""
        with self._read() as session:
            return list(session.exec(select(Round).order_by(col(Round.number))))

    def latest_round(self) -> Round | None:
        """The round with the highest number."""
        with self._read() as session:
            return session.exec(select(Round).order_by(col(Round.number).desc()).limit(1)).first()

    def set_phase(self, number: int, phase: Phase) -> None:
        """Record where a round stands.

        Raises:
            KeyError: there is no such round.
        """
        with self._write() as session:
            _existing(session.get(Round, number), number).phase = phase

    def close_round(self, number: int, end_root: bytes) -> None:
        """Record the root that a round ended with (32 bytes) and that it is closed.

        Raises:
            KeyError: there is no such round.
        """
        with self._write() as session:
            record = _existing(session.get(Round, number), number)
            record.phase, record.end_root = Phase.CLOSED, end_root

    def append_leaf(self, leaf: Leaf) -> bool:
        """Record a step; True if it is new, False if exactly this leaf was there (a resumed node recomputes some).

        Raises:
            LeafConflictError: another result is on record for the step.
        """
        with self._write() as session:
            known = session.get(Leaf, (leaf.round, leaf.step))
            if known is None:
                session.add(Leaf(**leaf.model_dump()))
                return True
            if known.model_dump() != leaf.model_dump():
                raise LeafConflictError(
                    f"Step {leaf.step} of round {leaf.round} was recomputed with a different result.",
                    "This machine does not compute exactly: run `ponw doctor`, and check its memory.",
                )
            return False

    def leaves(self, round_number: int) -> list[Leaf]:
        """The steps of a round on record, in order."""
        query = select(Leaf).where(Leaf.round == round_number).order_by(col(Leaf.step))
        with self._read() as session:
            return list(session.exec(query))


def _existing(record: Round | None, number: int) -> Round:
    if record is None:
        raise KeyError(f"round {number} is not on record")
    return record
