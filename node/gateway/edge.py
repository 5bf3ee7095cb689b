"""What every request passes first: bounds of number and size, and the clock."""

from __future__ import annotations

import re
import time
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.gateway.metrics import Metrics
from node.gateway.problems import Code, ProblemError
from node.gateway.replies import problem_response

BODY_LIMIT: Final = 64 << 10
"""Bytes of a body, except where it is streamed."""
AT_ONCE: Final = 1_000
_STREAMED: Final = re.compile(r"^/api/v1/(gradients/upload|gradients/[^/]+/residual|batch/[^/]+/checkpoint/[^/]+)$")


class Edge:
    """ASGI middleware. A body is read within BODY_LIMIT before anything looks at it; streamed ones are bounded by
    their routes."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._under_way += 1
        try:
            await self._bounded(scope, receive, watched)
        finally:
            self._under_way -= 1
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(route, scope["method"], str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - start)

    def _require_room(self) -> None:
        if self._under_way > AT_ONCE:
            raise ProblemError(Code.BUSY, f"More than {AT_ONCE} requests are under way.")

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._require_room()
            source = receive if _STREAMED.match(scope["path"]) else await _whole(Request(scope, receive))
        except ProblemError as problem:
            await problem_response(problem, scope["path"])(scope, receive, send)
            return
        if source is not None:
            await self._app(scope, source, send)


async def _whole(request: Request) -> Receive | None:
    """The body, read; None where the client went away."""
    too_large = ProblemError(Code.TOO_LARGE, f"At most {BODY_LIMIT} bytes are taken here.")
    said = request.headers.get("content-length", "0")
    if said.isdecimal() and (len(said) > 12 or int(said) > BODY_LIMIT):
        raise too_large
    body, more = bytearray(), said != "0" or "transfer-encoding" in request.headers
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_LIMIT:
            raise too_large
    return _replay(bytes(body), request.receive)


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def source() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return source
