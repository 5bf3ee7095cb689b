"""Tells junk on a DHT stream from an honest refusal: the library resets the stream for both and says nothing."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from libp2p.abc import INetStream
from libp2p.kad_dht.common import MAX_DHT_MESSAGE_SIZE
from libp2p.kad_dht.pb.kademlia_pb2 import Message

from node.net.errors import NetworkError, malformed
from node.net.guard import GONE
from node.net.wire.common_pb2 import Refusal

KEPT_BYTES = 64 << 10
"""Of one request; a longer one is a record that the rules refuse by size."""


class WatchedStream:
    """A stream that keeps what was read since the last answer, and notes who ended it."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream
        self._read = bytearray()
        self._lost = self._reset = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def read(self, n: int | None = None) -> bytes:
        """As the stream's."""
        try:
            data = await self._stream.read(n)
        except GONE:
            self._lost = True
            raise
        self._read += data[: KEPT_BYTES - len(self._read)]
        return data

    async def write(self, data: bytes) -> None:
        """As the stream's; an answer says that the request was understood."""
        self._read.clear()
        await self._stream.write(data)

    async def reset(self) -> None:
        """As the stream's."""
        self._reset = True
        await self._stream.reset()

    def junk(self) -> NetworkError | None:
        """What was wrong with the last request, where the library cut the stream off for it."""
        if not self._reset or self._lost or not self._read:
            return None
        return _wrong(bytes(self._read))


def _wrong(raw: bytes) -> NetworkError | None:
    size, shift, at = 0, 0, 0
    for at, byte in enumerate(raw[:10], 1):  # noqa: B007 - the position is used below
        size |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    if size > MAX_DHT_MESSAGE_SIZE:
        return malformed("A DHT message that is too large.", Refusal.TOO_LARGE)
    if len(raw) >= KEPT_BYTES:
        return None
    try:
        Message.FromString(raw[at:])
    except DecodeError:
        return malformed("Bytes that are no DHT message.")
    return None
