"""The payer's side: asks for a quote, locks the fee, and takes tokens against vouchers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from economics.constants import VOUCHER_TOKENS
from node.chain.contracts import Contracts
from node.chain.escrow import InferenceEscrow, seed_of
from node.chain.units import format_units
from node.errors import FundsError
from node.inference.paid.errors import AnswerError, OfferError
from node.inference.paid.fetch import post
from node.inference.paid.journal import Journal, Record, Step
from node.inference.paid.messages import (
    Accepted,
    Asked,
    Begin,
    End,
    MessageError,
    Offer,
    Refused,
    Stop,
    Token,
    Voucher,
    read_from_server,
    read_offer,
    unhex,
)
from node.inference.paid.terms import Terms, check_offer

CONNECT_TIMEOUT_S = 20.0
_RESUME = "`ponw infer --resume` takes back what was not served."


@dataclass(frozen=True, slots=True)
class Payer:
    """One account that pays for answers; `contracts` can sign for it."""

    contracts: Contracts
    escrow: InferenceEscrow
    journal: Journal

    @property
    def address(self) -> str:
        """The account."""
        return self.contracts.client.address

    def question(self, prompt: str, max_tokens: int, temperature_milli: int, top_p_bps: int) -> Asked:
        """What is asked of a server. Raises OfferError on a value out of its range."""
        try:
            return Asked(
                payer=self.address,
                signer=self.address,
                prompt=prompt,
                max_tokens=max_tokens,
                temperature_milli=temperature_milli,
                top_p_bps=top_p_bps,
            )
        except ValidationError as error:
            first = error.errors()[0]
            raise OfferError(f"{first['loc'][0]}: {first['msg']}.", "Correct the request; nothing was sent.") from error

    def ask(self, uri: str, asked: Asked) -> Offer:
        """A server's offer, not checked yet.

        Raises:
            OfferError: no answer, or a refusal with its reason. MessageError: an answer that is no offer.
        """
        return read_offer(post(f"{uri}/ponw/v1/quotes", asked.model_dump_json()))

    def accept(self, uri: str, asked: Asked, offer: Offer, terms: Terms) -> Record:
        """Check an offer and put the request on record; nothing is locked yet.

        Raises:
            OfferError: see check_offer. DiskError: the record cannot be written.
        """
        quote = check_offer(self.contracts, self.escrow, asked, offer, terms)
        return self.journal.prepare(self.escrow.domain.quote_hash(quote), uri, asked, offer)

    def open(self, record: Record) -> None:
        """Lock the fee, adding to the deposit what is missing of it.

        Raises:
            FundsError: the account does not hold the fee. RevertError and its kin: see ChainClient.send.
        """
        quote = record.quote
        missing = quote.most - self.escrow.deposit_of(self.address)
        if missing > 0:
            held = self.contracts.token.balance_of(self.address)
            if held < missing:
                raise FundsError(
                    f"{self.address} holds {format_units(held)}, but {format_units(missing)} more must be deposited.",
                    "Get NEURO first, or lower --max-tokens.",
                )
            self.escrow.deposit_with_permit(self.contracts.token, missing)
        receipt = self.escrow.open(quote, unhex(record.salt), unhex(record.offer.signature))
        record.block, record.step = int(receipt["blockNumber"]), Step.OPEN
        record.seed = "0x" + seed_of(record.id, unhex(record.salt)).hex()
        self.journal.save(record)

    def answer(self, record: Record, stop: Callable[[], bool] = lambda: False) -> Iterator[str]:
        """The answer's text as it comes, paid for as it comes. `stop` is asked after every token.

        Raises:
            AnswerError: the server broke off, refused or broke the protocol; the record says how far it came.
        """
        silence = float(self.escrow.progress_time())
        try:
            with connect(_socket_uri(record), open_timeout=CONNECT_TIMEOUT_S, max_size=1 << 16, proxy=None) as socket:
                socket.send(self._begin(record))
                yield from self._take(socket, record, silence, stop)
        except (ConnectionClosed, InvalidHandshake, InvalidURI, OSError) as error:
            raise AnswerError(f"The server broke off after {len(record.ids)} tokens.", _RESUME) from error
        except MessageError as error:
            raise AnswerError(f"The server broke the protocol: {error.message}", _RESUME) from error

    def _take(self, socket: Connection, record: Record, silence: float, stop: Callable[[], bool]) -> Iterator[str]:
        stopping = False
        while True:
            message = _next(socket, record, silence)
            if isinstance(message, Token):
                self._receive(record, message)
                if len(record.ids) % VOUCHER_TOKENS == 0:
                    self._pay(socket, record)
                yield message.text
                if not stopping and stop():
                    stopping = True
                    socket.send(Stop().model_dump_json())
            elif isinstance(message, End):
                yield message.text
                self._finish(socket, record, message, silence)
                return
            else:
                raise _broken(message)

    def _receive(self, record: Record, token: Token) -> None:
        if token.index != len(record.ids) or token.index >= record.quote.max_tokens:
            raise AnswerError(f"The server sent token {token.index} where {len(record.ids)} comes next.", _RESUME)
        record.ids.append(token.id)
        record.text += token.text

    def _pay(self, socket: Connection, record: Record) -> None:
        """Sign for all tokens received; on record before it leaves, so that no cancellation names fewer."""
        record.tokens = len(record.ids)
        self.journal.save(record)
        signature = self.escrow.domain.sign_voucher(self.contracts.client, record.id, record.tokens)
        socket.send(Voucher(tokens=record.tokens, signature="0x" + signature.hex()).model_dump_json())

    def _finish(self, socket: Connection, record: Record, end: End, silence: float) -> None:
        if end.tokens != len(record.ids):
            raise AnswerError(f"The server counts {end.tokens} tokens, but sent {len(record.ids)}.", _RESUME)
        record.text += end.text
        record.reason = end.reason
        if record.tokens == len(record.ids):
            self.journal.save(record)
            return
        self._pay(socket, record)
        while not isinstance(message := _next(socket, record, silence), Accepted):
            raise _broken(message)

    def _begin(self, record: Record) -> str:
        offer, signature = record.offer, self.escrow.domain.sign_voucher(self.contracts.client, record.id, 0)
        begin = Begin(
            asked=record.asked,
            quote=offer.quote,
            signature=offer.signature,
            voucher="0x" + signature.hex(),
            block=record.block,
        )
        return begin.model_dump_json()


def _next(socket: Connection, record: Record, silence: float) -> Token | End | Accepted | Refused:
    try:
        return read_from_server(socket.recv(timeout=silence))
    except TimeoutError as error:
        raise AnswerError(
            f"The server has been silent for {silence:g} s after {len(record.ids)} tokens.", _RESUME
        ) from error


def _broken(message: Token | End | Accepted | Refused) -> AnswerError:
    if isinstance(message, Refused):
        return AnswerError(f"The server does not go on: {message.reason}", _RESUME)
    return AnswerError(f"The server sent a message of type '{message.type}' out of turn.", _RESUME)


def _socket_uri(record: Record) -> str:
    scheme, _, rest = record.server.partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ponw/v1/answers/{record.request}"
