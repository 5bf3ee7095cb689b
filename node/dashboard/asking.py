"""`/dashboard/api/v1/inference`: the market, and paid answers from the node's wallet or from the browser's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from fastapi import APIRouter, Depends, Request, WebSocket
from fastapi.responses import StreamingResponse

from node.dashboard.api import API, guard
from node.dashboard.browser_wallet import BrowserWallet
from node.dashboard.guard import require_token
from node.dashboard.market import Market
from node.dashboard.relay import relay
from node.dashboard.schemas import Inference, Prepared, Question, WalletQuestion
from node.dashboard.till import Event, Till
from node.errors import UnavailableError

SESSIONS_MAX = 32
"""Answers to the browser's wallet at a time."""
_REQUEST = re.compile(r"^0x[0-9a-f]{64}$")


def inference_router(market: Market, till: Till | None, token: str) -> APIRouter:
    """The routes. `token` guards the node's wallet; the browser's own guards itself."""
    router = APIRouter(prefix=f"{API}/inference", dependencies=[Depends(guard(False))])
    browser, sessions = BrowserWallet(market), _Count()

    @router.get("")
    def describe() -> Inference:
        return market.describe()

    @router.post("/ask")
    def ask(request: Request, question: Question) -> StreamingResponse:
        require_token(request, token)
        if till is None:
            raise UnavailableError(
                "This node's wallet is locked.", "Start `ponw dashboard --wallet` to pay from it, or use your own."
            )
        record = till.offer(question)
        headers = {"cache-control": "no-store"}
        return StreamingResponse(_lines(till.answer(record)), media_type="text/event-stream", headers=headers)

    @router.post("/quote")
    def quote(question: WalletQuestion) -> Prepared:
        return browser.prepare(question)

    @router.websocket("/answers/{request}")
    async def answers(socket: WebSocket, request: str) -> None:
        uri = browser.server_of(request) if _REQUEST.match(request) else None
        if uri is None or sessions.now >= SESSIONS_MAX:
            await socket.close(1013 if uri else 1008)
            return
        sessions.now += 1
        try:
            await socket.accept()
            await relay(socket, uri, request)
        finally:
            sessions.now -= 1

    return router


class _Count:
    """Sessions under way; changed by the event loop's thread alone."""

    now = 0


def _lines(events: Iterator[Event]) -> Iterator[str]:
    for name, body in events:
        yield f"event: {name}\ndata: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"
