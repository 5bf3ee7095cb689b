"""Bytes both ways between a peer's stream and a UNIX socket of the node; half-close, reset and back-pressure too."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamEOF

from node.net.errors import PeerLostError
from node.net.guard import GONE, reset_quietly
from node.net.limits import SPLICE_CHUNK, SPLICE_STALL_SECONDS

log = logging.getLogger(__name__)
_POLL = 0.005


async def splice(stream: INetStream, local: trio.SocketStream, finished: Callable[[], None]) -> None:
    """Copy until both sides finished, or until either broke, whereupon both are cut off.

    `finished` is called once all that the peer sent is handed over and it has closed its half, before the node sees
    the end; so an end without it was a cut.
    """
    broken = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_outward, local, stream)
            nursery.start_soon(_inward, stream, local, finished)
    except* (*GONE, PeerLostError) as group:
        log.info("splice broke: %r", group.exceptions)
        broken = True
    if broken:
        await _cut(stream, local)
        return
    await stream.close()
    await local.aclose()


async def _outward(local: trio.SocketStream, stream: Any) -> None:
    while data := await local.receive_some(SPLICE_CHUNK):
        view = memoryview(data)
        while view:
            room = await _window(stream)
            await stream.write(bytes(view[:room]))
            view = view[room:]
    await stream.close_write()


async def _window(stream: Any) -> int:
    """Bytes that the peer will take now, waiting for some: the library's own write gives up after 5 s without room."""
    muxed = stream.muxed_stream
    with trio.move_on_after(SPLICE_STALL_SECONDS):
        while not muxed.send_window and not muxed.closed and not muxed.send_closed:
            await trio.sleep(_POLL)
        return int(muxed.send_window) or 1
    raise PeerLostError("The peer took nothing for too long.")


async def _inward(stream: Any, local: trio.SocketStream, finished: Callable[[], None]) -> None:
    while True:
        try:
            data = await stream.read(SPLICE_CHUNK)
        except StreamEOF:
            break
        if not data:
            break
        with trio.move_on_after(SPLICE_STALL_SECONDS) as scope:
            await local.send_all(data)
        if scope.cancelled_caught:
            raise PeerLostError("The node took nothing for too long.")
    if _was_cut(stream):
        raise PeerLostError("The peer cut the stream off, or was lost.")
    finished()
    await local.send_eof()


def _was_cut(stream: Any) -> bool:
    """The library forgets a stream that was reset, or whose connection went down, and then reads it as ended."""
    muxed = stream.muxed_stream
    return bool(muxed.reset_received or muxed.conn.event_shutting_down.is_set())


async def _cut(stream: INetStream, local: trio.SocketStream) -> None:
    await reset_quietly(stream)
    with trio.CancelScope(shield=True):
        await local.aclose()
