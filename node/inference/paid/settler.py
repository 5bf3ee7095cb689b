"""Fetching the money: settles what ended, also after a restart, and stops what its payer has cancelled.

A request on record is SERVING while tokens go out, then ENDED until the chain says that it is over. Whatever was being
served when a process died is ENDED at the next start and settled with the newest voucher on record.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from pydantic_core import from_json

from node.chain.client import ChainClient
from node.chain.escrow import InferenceEscrow, Quote, RequestState, RequestView
from node.errors import ChainError, DatabaseError
from node.logs import get_logger
from node.storage.store import Store
from node.storage.tables import PaidRequest, PaidState

WORKERS = 16
"""Settlements under way at a time: many payers may cancel at once, and each has its own deadline."""
LOOKS = 6
"""Times that the chain is looked at within the time that a server has to settle."""
LOOK_SECONDS_MAX = 5.0

log = get_logger("settler")


class Settler:
    """Use as a context manager: a thread works inside the block; leaving it waits for what is under way."""

    def __init__(self, store: Store, client: ChainClient, escrow: InferenceEscrow) -> None:
        self._store, self._client, self._escrow = store, client, escrow
        self._interval = min(LOOK_SECONDS_MAX, escrow.settle_time() / LOOKS)
        self._live: dict[bytes, Callable[[], None]] = {}
        self._busy: set[bytes] = set()
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(WORKERS, "settle")
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)

    def __enter__(self) -> Self:
        broken = self._store.end_all_paid()
        if broken:
            log.info("answers were broken off by the last stop", requests=broken)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join()
        self._try_look()  # what ended while the server went down
        self._pool.shutdown(wait=True)

    def begin(self, request: bytes, quote: Quote, cancelled: Callable[[], None]) -> bool:
        """Put an open request on record; `cancelled` is called from another thread when it is no longer open.

        False if it was on record already: no request is answered twice.
        """
        document = _render(quote)
        if not self._store.accept_paid(request, document):
            return False
        with self._lock:
            self._live[request] = cancelled
        return True

    def end(self, request: bytes) -> None:
        """No more tokens go out: settle with the newest voucher, or release if there is none."""
        with self._lock:
            self._live.pop(request, None)
        self._store.end_paid(request)
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._try_look()
            self._wake.wait(self._interval)
            self._wake.clear()

    def _try_look(self) -> None:
        try:
            self._look()
        except (ChainError, DatabaseError) as error:
            log.warning("cannot look after paid requests now; trying again", reason=error.message)

    def _look(self) -> None:
        for record in self._store.paid_in([PaidState.ENDED]):
            with self._lock:
                fresh = record.request not in self._busy
                self._busy.add(record.request)
            if fresh:
                self._pool.submit(self._settle, record)
        with self._lock:
            live = dict(self._live)
        for request, cancelled in live.items():
            if self._escrow.request_of(request).state is not RequestState.OPEN:
                cancelled()

    def _settle(self, record: PaidRequest) -> None:
        try:
            outcome = self._close(record, _parse(record.quote))
            if outcome:
                self._store.finish_paid(record.request, outcome)
                log.info("paid request over", request=record.request.hex(), outcome=outcome)
        except (ChainError, DatabaseError) as error:
            log.warning("not settled yet", request=record.request.hex(), reason=error.message)
        finally:
            with self._lock:
                self._busy.discard(record.request)

    def _close(self, record: PaidRequest, quote: Quote) -> str:
        """Do what gets the money; how it ended in words, empty where there is something to wait for."""
        view, now = self._escrow.request_of(record.request), self._client.block().timestamp
        if view.over:
            return f"{view.state.name.lower()} on chain"
        if view.state is RequestState.NONE:  # a reorganisation took the opening; it may come back while the quote lives
            return "never opened" if now > quote.valid_until else ""
        if view.state is RequestState.CANCELLED:
            return self._close_cancelled(record, quote, view, now)
        if record.tokens:
            return self._settle_by_voucher(record, quote)
        self._escrow.release(quote)
        return "released"

    def _close_cancelled(self, record: PaidRequest, quote: Quote, view: RequestView, now: int) -> str:
        in_time = now <= view.deadline
        if in_time and record.tokens:  # the contract pays the voucher or what the payer named, whichever is more
            return self._settle_by_voucher(record, quote)
        if not in_time and view.tokens:  # what the payer named itself
            self._escrow.refund(quote)
            return f"refunded; the payer paid {view.tokens} tokens"
        waiting = in_time and view.tokens
        return "" if waiting else "cancelled by its payer, nothing paid"

    def _settle_by_voucher(self, record: PaidRequest, quote: Quote) -> str:
        self._escrow.settle(quote, record.tokens, record.voucher)
        return f"settled by a voucher for {record.tokens} tokens"


def _render(quote: Quote) -> str:
    return json.dumps(quote.to_json())


def _parse(document: str) -> Quote:
    return Quote.from_json(from_json(document))
