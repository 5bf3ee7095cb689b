"""The journal of transactions: written before sending, so that a restart never sends the same thing twice."""

from __future__ import annotations

from sqlmodel import Session, col, select

from node.storage.errors import TransitionError
from node.storage.sessions import Sessions
from node.storage.tables import Transaction, TxState

_OPEN = (TxState.PREPARED, TxState.SENT)


class JournalMethods(Sessions):
    """Part of Store."""

    def prepare_tx(self, purpose: str, nonce: int) -> Transaction:
        """Reserve `nonce` for `purpose`; what is on record if the purpose is under way or done.

        A purpose that FAILED may be prepared again, with a new nonce.
        """
        with self._write() as session:
            known = session.get(Transaction, purpose)
            if known is None:
                known = Transaction(purpose=purpose, nonce=nonce, tx_hash="", state=TxState.PREPARED)
                session.add(known)
            elif known.state == TxState.FAILED:
                known.nonce, known.tx_hash, known.state = nonce, "", TxState.PREPARED
            return known

    def tx_sent(self, purpose: str, tx_hash: str) -> None:
        """Record the hash under which it was sent (again).

        Raises:
            KeyError: it was never prepared.
            TransitionError: it is over already.
        """
        with self._write() as session:
            record = _open(session, purpose)
            record.tx_hash, record.state = tx_hash, TxState.SENT

    def tx_done(self, purpose: str, *, ok: bool) -> None:
        """Record that it was mined and succeeded, or that it failed for good.

        Raises:
            KeyError, TransitionError: see tx_sent.
        """
        with self._write() as session:
            _open(session, purpose).state = TxState.CONFIRMED if ok else TxState.FAILED

    def tx(self, purpose: str) -> Transaction | None:
        """The journal's entry for a purpose."""
        with self._read() as session:
            return session.get(Transaction, purpose)

    def open_txs(self) -> list[Transaction]:
        """Transactions prepared or sent whose end is not known, by nonce: what a restart has to look up first."""
        query = select(Transaction).where(col(Transaction.state).in_(_OPEN)).order_by(col(Transaction.nonce))
        with self._read() as session:
            return list(session.exec(query))


def _open(session: Session, purpose: str) -> Transaction:
    record = session.get(Transaction, purpose)
    if record is None:
        raise KeyError(f"no transaction was prepared for '{purpose}'")
    if record.state not in _OPEN:
        raise TransitionError(f"The transaction for '{purpose}' is {record.state} already.")
    return record
