"""The paid routes: POST /ponw/v1/quotes · GET /ponw/v1/price · WebSocket /ponw/v1/answers/{request}."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, WebSocket
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocketDisconnect

from node.chain.contracts import Contracts
from node.chain.escrow import InferenceEscrow
from node.errors import ChainError, PonwError
from node.inference.paid.desk import Desk, Holders, served_message
from node.inference.paid.errors import RefusalError
from node.inference.paid.messages import MESSAGE_BYTES, Asked, MessageError, Refused, read_begin
from node.inference.paid.seam import Answerer
from node.inference.paid.session import Ledger, Session, _receive
from node.inference.paid.settler import Settler
from node.inference.paid.signing import AnswerSigner
from node.logs import get_logger
from node.storage.store import Store

BEGIN_SECONDS = 10.0
"""A connection that has not said what it wants by then is closed."""
SESSIONS_MAX = 256
"""Paid answers at a time; more are refused before anything is read."""
_REQUEST = re.compile(r"^0x[0-9a-f]{64}$")

log = get_logger("paid")


class PaidRoutes:
    """One server's paid routes; `router` goes into the application."""

    def __init__(self, desk: Desk, settler: Settler, store: Store, signer: AnswerSigner | None = None) -> None:
        self._desk, self._settler, self._store, self._signer = desk, settler, store, signer
        self._patience = float(desk.escrow.progress_time())
        self._open = 0
        self.router = APIRouter(prefix="/ponw/v1")
        self.router.add_api_route("/quotes", self._quotes, methods=["POST"], response_model=None)
        self.router.add_api_route("/price", self._price, methods=["GET"], response_model=None)
        self.router.add_api_websocket_route("/answers/{request}", self._answers)

    async def _quotes(self, http: Request) -> Response:
        body = await _body(http)
        if body is None:
            return _refusal(413, f"A request for a quote has at most {MESSAGE_BYTES} bytes.")
        try:
            asked = Asked.model_validate_json(body)
            return _json(await asyncio.to_thread(self._desk.offer, asked))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            return _refusal(422, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")
        except RefusalError as error:
            return _refusal(422, error.message)
        except ChainError as error:
            log.warning("no quote", reason=error.message)
            return _refusal(503, "The server's chain does not answer now.")

    async def _price(self) -> Response:
        try:
            price = await asyncio.to_thread(self._desk.price)
        except ChainError as error:
            log.warning("no price", reason=error.message)
            return _refusal(503, "The server's chain does not answer now.")
        served = served_message(self._desk.answerer.served())
        return JSONResponse({"price": price.model_dump(), "served": served.model_dump()})

    async def _answers(self, socket: WebSocket, request: str) -> None:
        if self._open >= SESSIONS_MAX or not _REQUEST.match(request):
            await socket.close(1013 if self._open >= SESSIONS_MAX else 1008)
            return
        self._open += 1
        try:
            await socket.accept()
            await self._converse(socket, bytes.fromhex(request[2:]))
        except (RefusalError, MessageError) as error:
            await _say(socket, Refused(reason=error.message[:300]))
        except PonwError as error:
            log.warning("a paid request failed", reason=error.message)
            await _say(socket, Refused(reason="The server cannot answer now."))
        except (WebSocketDisconnect, TimeoutError):
            log.info("a payer left before it began")
        finally:
            self._open -= 1
        with suppress(WebSocketDisconnect, RuntimeError):  # the payer closed first
            await socket.close()

    async def _converse(self, socket: WebSocket, request: bytes) -> None:
        begin = read_begin(await asyncio.wait_for(_receive(socket), BEGIN_SECONDS))
        admitted = await asyncio.to_thread(self._desk.admit, request, begin)
        relay = _Relay()
        if not await asyncio.to_thread(self._settler.begin, request, admitted.quote, relay.call):
            raise RefusalError("The request was answered before; ask for a new quote.")
        try:
            prompt = await asyncio.to_thread(self._desk.prompt_of, admitted)
            most = admitted.quote.max_tokens
            generation = await asyncio.to_thread(self._desk.answerer.answer, prompt, admitted.draw, most)
            ledger = Ledger(self._store, self._desk.escrow.domain, admitted)
            sign = None if self._signer is None else partial(self._signer.sign, admitted, prompt)
            session = Session(admitted, generation, ledger, self._patience, sign)
            relay.to(session.cancelled)
            await session.run(socket)
        finally:
            # Shielded: a server that is going down must not leave a request half ended.
            await asyncio.shield(asyncio.to_thread(self._settler.end, request))


class _Relay:
    """Passes a call on to who comes later, also one that came too early."""

    def __init__(self) -> None:
        self._target: Any = None
        self._called = False

    def call(self) -> None:
        self._called = True
        if self._target is not None:
            self._target()

    def to(self, target: Any) -> None:
        self._target = target
        if self._called:
            target()


@contextmanager
def paid_routes(
    answerer: Answerer,
    store: Store,
    contracts: Contracts,
    escrow: InferenceEscrow,
    holders: Holders | None = None,
    signer: AnswerSigner | None = None,
) -> Iterator[APIRouter]:
    """The routes, with the contracts' own account as the server and a settler at work; `signer` signs the answers.

    The application must be down before the block ends.
    """
    desk = Desk(answerer, contracts, escrow, holders)
    with Settler(store, contracts.client, escrow) as settler:
        yield PaidRoutes(desk, settler, store, signer).router


async def _body(http: Request) -> bytes | None:
    parts, size = [], 0
    async for part in http.stream():
        size += len(part)
        if size > MESSAGE_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


async def _say(socket: WebSocket, message: BaseModel) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # the payer may be gone already
        await socket.send_text(message.model_dump_json())


def _json(message: BaseModel) -> Response:
    return Response(message.model_dump_json(), media_type="application/json")


def _refusal(status: int, reason: str) -> Response:
    return Response(Refused(reason=reason[:300]).model_dump_json(), status, media_type="application/json")
