"""The node's own wallet behind a page: one paid answer at a time, as `ponw infer` does it, told as events."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

from node.chain.units import format_units
from node.dashboard.market import Market
from node.dashboard.schemas import Question
from node.errors import FundsError, PonwError
from node.inference.paid.closing import Closer
from node.inference.paid.journal import Record
from node.inference.paid.payer import Payer
from node.inference.paid.signing import AnswerChecker
from node.inference.versions import shape_of

SETTLE_POLL_SECONDS = 0.25
Event = tuple[str, dict[str, object]]


class BusyError(PonwError):
    """Another answer is being paid for."""


class Till:
    """Pays for answers up to `max_fee` wei each. Threads may share it."""

    def __init__(self, payer: Payer, market: Market, max_fee: int) -> None:
        self._market, self._max_fee = market, max_fee
        settings = market.chain.settings
        _, first = market.chain.connected()
        shape = shape_of(settings, payer.contracts, first)
        self._payer = replace(payer, check=AnswerChecker(payer.contracts, shape).check)
        self._busy = threading.Lock()

    def offer(self, question: Question) -> Record:
        """A checked offer on record; nothing is locked yet.

        Raises:
            FundsError: it may cost more than the operator allows. OfferError, MessageError, ChainError, DiskError.
        """
        fee = int(question.max_fee_wei)
        if fee > self._max_fee:
            raise FundsError(
                f"An answer may cost {format_units(self._max_fee)} at most here.",
                "Lower the fee, or start `ponw dashboard --wallet` with a higher --max-fee.",
            )
        server = self._market.server()
        asked = self._payer.question(question.prompt, question.max_tokens, question.temperature_milli, 10_000)
        offer = self._payer.ask(server.uri, asked)
        return self._payer.accept(server.uri, asked, offer, self._market.terms(server, fee))

    def answer(self, record: Record) -> Iterator[Event]:
        """Everything that happens to a request, to its settlement.

        A failure is the last event; it says what takes the rest back. Ending the iteration stops the answer and pays
        for what came so far.
        """
        if not self._busy.acquire(blocking=False):
            yield _failed(BusyError("The wallet is paying for another answer.", "Ask again when that is over."))
            return
        try:
            yield from self._answer(record)
        except PonwError as error:
            yield _failed(error)
        finally:
            self._busy.release()

    def _answer(self, record: Record) -> Iterator[Event]:
        quote = record.quote
        yield "quote", {"request": record.request, "price_wei": str(quote.price), "most_wei": str(quote.most)}
        with self._payer.journal.hold(record):
            self._payer.open(record)
            yield "open", {"block": record.block}
            for text in self._payer.answer(record):
                yield "token", {"text": text, "tokens": len(record.ids), "paid": record.tokens}
        yield "end", {"reason": record.reason, "tokens": len(record.ids), "signed": record.signed is not None}
        yield "settled", self._settled(record)

    def _settled(self, record: Record) -> dict[str, object]:
        """What the server took, waiting as long as it may take at most."""
        closer, pause = Closer(self._payer.contracts, self._payer.escrow, self._payer.journal), threading.Event()
        quote = record.quote
        for _ in range(int(self._payer.escrow.progress_time() / SETTLE_POLL_SECONDS)):
            standing = closer.look(record)
            if standing.over:
                tokens = standing.view.tokens
                return {"tokens": tokens, "paid_wei": str(tokens * quote.price), "over": True}
            pause.wait(SETTLE_POLL_SECONDS)
        return {"tokens": record.tokens, "paid_wei": str(record.tokens * quote.price), "over": False}


def _failed(error: PonwError) -> Event:
    return "failed", {"title": error.message, "detail": error.hint}
