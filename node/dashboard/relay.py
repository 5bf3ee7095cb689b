"""Passes a paid answer's messages between a page and the server that answers it, unread but bounded."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from node.inference.paid.messages import MESSAGE_BYTES, Refused
from node.logs import get_logger

SERVER_MESSAGE_BYTES = 1 << 16
OPEN_SECONDS = 20.0
WHOLE_SECONDS = 3600.0
"""An answer takes no longer; the server's own patience ends it far sooner."""

log = get_logger("dashboard")


async def relay(page: WebSocket, uri: str, request: str) -> None:
    """Until either side ends. `page` is accepted already; `uri` is the server's, `request` its id."""
    scheme, _, rest = uri.partition("://")
    target = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ponw/v1/answers/{request}"
    try:
        async with connect(target, open_timeout=OPEN_SECONDS, max_size=SERVER_MESSAGE_BYTES, proxy=None) as server:
            await asyncio.wait_for(_both(page, server), WHOLE_SECONDS)
    except (ConnectionClosed, InvalidHandshake, InvalidURI, OSError, TimeoutError) as error:
        log.info("a paid answer broke off", uri=uri, reason=str(error))
        with suppress(WebSocketDisconnect, RuntimeError):  # the page may be gone too
            await page.send_text(Refused(reason="The server broke off.").model_dump_json())
    with suppress(WebSocketDisconnect, RuntimeError):
        await page.close()


async def _both(page: WebSocket, server: ClientConnection) -> None:
    ways = [asyncio.create_task(_up(page, server)), asyncio.create_task(_down(page, server))]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in done:
            way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _up(page: WebSocket, server: ClientConnection) -> None:
    with suppress(WebSocketDisconnect):
        while True:
            text = await page.receive_text()
            if len(text) > MESSAGE_BYTES:
                return
            await server.send(text)


async def _down(page: WebSocket, server: ClientConnection) -> None:
    with suppress(WebSocketDisconnect):
        async for message in server:
            if isinstance(message, str):
                await page.send_text(message)
