"""Who sent what does not count: reasons and scores by account, and a ban at the network's limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from node.cohort.errors import InvalidError
from node.logs import get_logger
from node.net.score import Ledger, Offence

log = get_logger("cohort")
_OFFENCES: Final = {"signature": Offence.FORGED, "update": Offence.FORGED, "twice": Offence.FORGED}
KEPT_MAX: Final = 256


class Faults:
    """The scores of `node.net.score`, for accounts. `ban(account, reason)` is told when one reaches the limit; `now`:
    Unix seconds. Threads may share it."""

    def __init__(self, ban: Callable[[bytes, str], None], now: Callable[[], int]) -> None:
        self._ban, self._now = ban, now
        self._ledger, self._lock = Ledger(), threading.Lock()
        self.reasons: list[tuple[bytes, str, str]] = []
        """The newest (account, code, reason)."""

    def note(self, error: InvalidError) -> None:
        """A message or contribution was left out."""
        log.warning("left out", account="0x" + error.account.hex(), code=error.code, reason=error.message)
        with self._lock:
            self.reasons = [*self.reasons[-KEPT_MAX:], (error.account, error.code, error.message)]
            offence = _OFFENCES.get(error.code, Offence.MALFORMED)
            banned = self._ledger.charge(error.account.hex(), offence, error.message, self._now())
        if banned:
            self._ban(error.account, error.message)

    def score(self, account: bytes) -> int:
        """0 for a clean record, below for faults."""
        with self._lock:
            return self._ledger.score(account.hex(), self._now())
