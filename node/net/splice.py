"""Bytes both ways between a peer's stream and a UNIX socket of the node: half-close, reset and back-pressure carried over."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.network.stream.net_stream import NetStream

from node.net.errors import PeerLostError
from node.net.guard import GONE, reset_quietly
from node.net.limits import SPLICE_CHUNK, SPLICE_STALL_SECONDS

log = logging.getLogger(__name__)
_POLL = 0.005


async def splice(stream: NetStream, local: trio.SocketStream, finished: Callable[[], None]) -> None:
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


async def _outward(local: trio.SocketStream, stream: NetStream) -> None:
    while data := await local.receive_some(SPLICE_CHUNK):
        view = memoryview(data)
        while view:
            room = await _window(stream)
            await stream.write(bytes(view[:room]))
            view = view[room:]
    await stream.close_write()


async def _window(stream: NetStream) -> int:
    """Bytes that the peer will take now, waiting for some: the library's own write gives up after 5 s without room."""
    muxed = stream.muxed_stream
    with trio.move_on_after(SPLICE_STALL_SECONDS):
        while not muxed.send_window and not muxed.closed and not muxed.send_closed:
            await trio.sleep(_POLL)
        return muxed.send_window or 1
    raise PeerLostError("The peer took nothing for too long.")


async def _inward(stream: NetStream, local: trio.SocketStream, finished: Callable[[], None]) -> None:
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
    finished()
    await local.send_eof()


async def _cut(stream: NetStream, local: trio.SocketStream) -> None:
    await reset_quietly(stream)
    with trio.CancelScope(shield=True):
        await local.aclose()
