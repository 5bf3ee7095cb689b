"""One paid answer at its server: tokens out, vouchers in, never more than CREDIT_TOKENS apart."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

from pydantic import BaseModel
from starlette.websockets import WebSocket, WebSocketDisconnect

from economics.constants import CREDIT_TOKENS
from node.chain.escrow import EscrowDomain
from node.errors import PonwError
from node.inference.paid.desk import Admitted
from node.inference.paid.errors import RefusalError
from node.inference.paid.messages import (
    Accepted,
    End,
    MessageError,
    Refused,
    Signed,
    Stop,
    Token,
    Voucher,
    read_from_payer,
    unhex,
)
from node.inference.paid.seam import Generation
from node.logs import get_logger
from node.storage.store import Store

SPARE_MESSAGES = 64
"""Messages that a payer may send beyond one for every token."""
Sign = Callable[[Sequence[int]], Signed | None]
"""Signs the ids of a whole answer, in a thread of its own."""
Reason = Literal["eos", "length", "stopped", "cancelled", "failed"]

log = get_logger("paid")


class Ledger:
    """The newest voucher of one request, and the tokens that may be made on credit."""

    def __init__(self, store: Store, domain: EscrowDomain, admitted: Admitted) -> None:
        self._store, self._domain, self._admitted = store, domain, admitted
        self.tokens = 0

    @property
    def allowed(self) -> int:
        """Tokens that may have been sent in all."""
        return min(self._admitted.quote.max_tokens, self.tokens + CREDIT_TOKENS)

    def take(self, voucher: Voucher, sent: int) -> bool:
        """Check a voucher, and have it on disk when this returns True; False: it pays for nothing new.

        Raises:
            RefusalError: it is for tokens that were not sent, or not signed by the request's signer.
        """
        if voucher.tokens <= self.tokens:
            return False
        if voucher.tokens > sent:
            raise RefusalError(f"A voucher for {voucher.tokens} tokens, but {sent} were sent.")
        request, signature = self._admitted.request, unhex(voucher.signature)
        if not self._domain.voucher_is_signed(self._admitted.quote, request, voucher.tokens, signature):
            raise RefusalError("A voucher is not signed by the request's signer.")
        kept = self._store.keep_voucher(request, voucher.tokens, signature)
        self.tokens = max(self.tokens, voucher.tokens)
        return kept


class Session:
    """Streams one admitted request over one socket. Ends by itself; what is owed stands in the store."""

    def __init__(
        self, admitted: Admitted, generation: Generation, ledger: Ledger, patience: float, sign: Sign | None = None
    ) -> None:
        self._most, self._sign = admitted.quote.max_tokens, sign
        self._generation, self._ledger, self._patience = generation, ledger, patience
        self._ids: list[int] = []
        self._ended = False
        self._heard = time.monotonic()
        self._paid = asyncio.Event()
        self._over: Reason | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def _sent(self) -> int:
        return len(self._ids)

    def cancelled(self) -> None:
        """The request is no longer open on chain: stop at once. Any thread."""
        with suppress(RuntimeError):  # the loop is closed: the server is down and nothing flows
            self._loop.call_soon_threadsafe(self._finish, "cancelled")

    async def run(self, socket: WebSocket) -> None:
        """Serve until the answer is over and paid, or the payer is gone, silent or lying."""
        reader = asyncio.create_task(self._read(socket))
        watcher = asyncio.create_task(self._watch())
        try:
            with suppress(WebSocketDisconnect):
                await self._stream(socket)
        finally:
            self._generation.stop()
            for task in (reader, watcher):
                task.cancel()
            await asyncio.gather(reader, watcher, return_exceptions=True)

    async def _stream(self, socket: WebSocket) -> None:
        self._generation.allow(self._ledger.allowed)
        async for piece in self._generation:
            if self._over is not None:
                break
            self._ids.append(piece.id)
            await _send(socket, Token(index=self._sent - 1, id=piece.id, text=piece.text))
        reason = self._over or self._generation.reason
        signed = None
        if self._sign is not None and reason != "cancelled":
            signed = await asyncio.to_thread(self._sign, self._ids)
        self._ended = True
        await _send(socket, End(reason=reason, tokens=self._sent, text=self._generation.tail, signed=signed))
        if reason == "cancelled" or self._ledger.tokens >= self._sent:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._paid.wait(), self._patience)

    async def _read(self, socket: WebSocket) -> None:
        """Take vouchers until the payer is gone or breaks a rule."""
        try:
            await self._listen(socket)
        except WebSocketDisconnect:
            self._hang_up()
        except (RefusalError, MessageError) as error:
            log.info("a payer broke the protocol", reason=error.message)
            await self._refuse(socket, error)
        except PonwError as error:  # the database cannot keep a voucher: not a token more goes out
            log.warning("a voucher could not be kept", reason=error.message)
            await self._refuse(socket, RefusalError("The server cannot go on."))

    async def _listen(self, socket: WebSocket) -> None:
        for _ in range(self._most + SPARE_MESSAGES):
            message = read_from_payer(await _receive(socket))
            if isinstance(message, Stop):
                self._finish("stopped")
            elif await asyncio.to_thread(self._ledger.take, message, self._sent):
                await self._believe(socket)
        raise RefusalError("Too many messages.")

    async def _believe(self, socket: WebSocket) -> None:
        self._heard = time.monotonic()
        self._generation.allow(self._ledger.allowed)
        if self._ended and self._ledger.tokens >= self._sent:
            await _send(socket, Accepted(tokens=self._ledger.tokens))
            self._paid.set()

    async def _refuse(self, socket: WebSocket, error: PonwError) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # it may be gone already
            await _send(socket, Refused(reason=error.message[:300]))
        self._hang_up()

    async def _watch(self) -> None:
        """A payer that holds the newest tokens and says nothing has no more coming."""
        while True:
            await asyncio.sleep(self._patience / 4)
            waiting = self._sent >= self._ledger.allowed
            if not waiting:
                self._heard = time.monotonic()
            elif time.monotonic() - self._heard > self._patience:
                self._finish("stopped")
                return

    def _hang_up(self) -> None:
        self._finish("stopped")
        self._paid.set()

    def _finish(self, reason: Reason) -> None:
        if self._over is None:
            self._over = reason
        self._generation.stop()


async def _send(socket: WebSocket, message: BaseModel) -> None:
    await socket.send_text(message.model_dump_json())


async def _receive(socket: WebSocket) -> str:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    text = message.get("text")
    if not isinstance(text, str):
        raise MessageError("A message is not text.", "Send JSON as text.")
    return text
