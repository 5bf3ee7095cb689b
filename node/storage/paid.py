"""Paid requests at their server: what was accepted, and the newest voucher of each."""

from __future__ import annotations

from collections.abc import Collection

from sqlmodel import Session, col, select

from node.storage.errors import TransitionError
from node.storage.sessions import Sessions
from node.storage.tables import PaidRequest, PaidState


class PaidMethods(Sessions):
    """Part of Store."""

    def accept_paid(self, request: bytes, quote: str) -> bool:
        """Put a request on record before its first token; False if it was on record already (it is left as it is)."""
        with self._write() as session:
            if session.get(PaidRequest, request) is not None:
                return False
            session.add(PaidRequest(request=request, quote=quote, state=PaidState.SERVING, tokens=0))
            return True

    def keep_voucher(self, request: bytes, tokens: int, voucher: bytes) -> bool:
        """Keep a voucher whose signature was checked; False if one for as many tokens or more is kept already.

        Raises:
            KeyError: there is no such request.
            TransitionError: its settlement has begun.
        """
        with self._write() as session:
            record = _existing(session, request)
            if record.state != PaidState.SERVING:
                raise TransitionError(f"Request 0x{request.hex()} is {record.state}: it takes no voucher.")
            if tokens <= record.tokens:
                return False
            record.tokens, record.voucher = tokens, voucher
            return True

    def end_paid(self, request: bytes) -> None:
        """No more tokens go out for it; what its newest voucher covers is to be settled.

        Raises:
            KeyError: there is no such request.
        """
        with self._write() as session:
            record = _existing(session, request)
            if record.state == PaidState.SERVING:
                record.state = PaidState.ENDED

    def finish_paid(self, request: bytes, outcome: str) -> None:
        """The chain says that it is over.

        Raises:
            KeyError: there is no such request.
        """
        with self._write() as session:
            record = _existing(session, request)
            record.state, record.outcome = PaidState.DONE, outcome

    def end_all_paid(self) -> int:
        """After a start: whatever was being served then was broken off. The number of such requests."""
        with self._write() as session:
            found = list(session.exec(select(PaidRequest).where(col(PaidRequest.state) == PaidState.SERVING)))
            for record in found:
                record.state = PaidState.ENDED
            return len(found)

    def paid(self, request: bytes) -> PaidRequest | None:
        """One paid request."""
        with self._read() as session:
            return session.get(PaidRequest, request)

    def paid_in(self, states: Collection[PaidState]) -> list[PaidRequest]:
        """Paid requests in these states, by id."""
        query = select(PaidRequest).where(col(PaidRequest.state).in_(list(states))).order_by(col(PaidRequest.request))
        with self._read() as session:
            return list(session.exec(query))


def _existing(session: Session, request: bytes) -> PaidRequest:
    record = session.get(PaidRequest, request)
    if record is None:
        raise KeyError(f"request 0x{request.hex()} is not on record")
    return record
