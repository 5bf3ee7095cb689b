"""Ending a request at its payer, after success, a crash of either side, or silence: the next step the chain allows."""

from __future__ import annotations

from dataclasses import dataclass

from node.chain.contracts import Contracts
from node.chain.escrow import InferenceEscrow, RequestState, RequestView
from node.chain.units import format_time
from node.inference.paid.journal import Journal, Record, Step


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a request stands and what its payer can do: `wait_until` is a timestamp, 0 where nothing is waited for."""

    view: RequestView
    words: str
    wait_until: int = 0
    over: bool = False


@dataclass(frozen=True, slots=True)
class Closer:
    """Brings requests to their end, one step a call."""

    contracts: Contracts
    escrow: InferenceEscrow
    journal: Journal

    def look(self, record: Record) -> Standing:
        """Where the request stands now; what the chain says is over becomes so on record."""
        view, now = self.escrow.request_of(record.id), self.contracts.client.block().timestamp
        if view.over:
            words = f"{view.state.name.lower()}: {view.tokens} tokens paid"
            self._over(record, words)
            return Standing(view, words, over=True)
        if view.state is RequestState.NONE:
            if now > record.quote.valid_until:
                self._over(record, "never opened")
                return Standing(view, "never opened: nothing was locked", over=True)
            return Standing(view, "not opened", record.quote.valid_until + 1)
        if view.state is RequestState.OPEN:
            words = f"open, {record.tokens} tokens paid for; it can be cancelled from {format_time(view.deadline)}"
            return Standing(view, words, view.deadline)
        words = f"cancelled after {view.tokens} tokens; the rest comes back after {format_time(view.deadline)}"
        return Standing(view, words, view.deadline + 1)

    def step(self, record: Record) -> Standing:
        """Cancel or refund if the chain's clock allows it now.

        Raises:
            RevertError and its kin: see ChainClient.send.
        """
        standing = self.look(record)
        if standing.over or self.contracts.client.block().timestamp < standing.wait_until:
            return standing
        if standing.view.state is RequestState.OPEN:
            self.escrow.cancel(record.quote, record.tokens)
        elif standing.view.state is RequestState.CANCELLED:
            self.escrow.refund(record.quote)
        return self.look(record)

    def _over(self, record: Record, words: str) -> None:
        if record.step is not Step.OVER:
            record.step, record.outcome = Step.OVER, words
            self.journal.save(record)
