"""A payer that speaks the protocol by hand, so that a test can say anything at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from node.chain.contracts import Contracts
from node.inference.paid.journal import Record
from node.inference.paid.messages import (
    Accepted,
    Begin,
    End,
    Refused,
    Stop,
    Token,
    Voucher,
    read_from_server,
)
from tests.payment.conftest import Market

RECEIVE_SECONDS = 20
Message = Token | End | Accepted | Refused


class Driver:
    """One connection for one request."""

    def __init__(self, market: Market, record: Record, socket: Connection) -> None:
        self.market, self.record, self.socket = market, record, socket
        self.tokens: list[int] = []

    def begin(self, *, signer: Contracts | None = None) -> None:
        """Say what is wanted; `signer` signs the voucher that proves who asks."""
        proof = self.signature(0, signer)
        offer, block = self.record.offer, self.record.block
        begin = Begin(asked=self.record.asked, quote=offer.quote, signature=offer.signature, voucher=proof, block=block)
        self.socket.send(begin.model_dump_json())

    def signature(self, tokens: int, signer: Contracts | None = None, request: bytes | None = None) -> str:
        """A voucher's signature by the payer, or by another account, or for another request."""
        contracts = signer or self.market.contracts(1)
        domain = self.market.escrow(1).domain
        return "0x" + domain.sign_voucher(contracts.client, request or self.record.id, tokens).hex()

    def pay(self, tokens: int, signature: str | None = None) -> None:
        self.socket.send(Voucher(tokens=tokens, signature=signature or self.signature(tokens)).model_dump_json())

    def stop(self) -> None:
        self.socket.send(Stop().model_dump_json())

    def next(self) -> Message:
        message = read_from_server(self.socket.recv(timeout=RECEIVE_SECONDS))
        if isinstance(message, Token):
            assert message.index == len(self.tokens)
            self.tokens.append(message.id)
        return message

    def take(self, count: int) -> None:
        """Receive tokens until there are `count` in all."""
        while len(self.tokens) < count:
            message = self.next()
            assert isinstance(message, Token), message

    def nothing_more(self, seconds: float = 0.3) -> bool:
        """Whether the server waits: no further message comes for a while."""
        try:
            self.socket.recv(timeout=seconds)
        except TimeoutError:
            return True
        return False

    def refusal(self) -> str:
        """The reason why the server goes no further; any tokens before it are taken."""
        try:
            while not isinstance(message := self.next(), Refused):
                pass
        except ConnectionClosed:
            return "closed"
        return message.reason


@contextmanager
def driving(market: Market, uri: str, record: Record, *, begin: bool = True) -> Iterator[Driver]:
    """A connection of the payer's for a request that is open on chain."""
    address = uri.replace("http://", "ws://") + f"/ponw/v1/answers/{record.request}"
    with connect(address, proxy=None) as socket:
        driver = Driver(market, record, socket)
        if begin:
            driver.begin()
        yield driver
