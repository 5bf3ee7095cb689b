"""Protobuf messages over a connected socket: four bytes of length, then the message, bounded on both sides."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from node.errors import PeerError

_LENGTH: Final = struct.Struct(">I")
MESSAGE_BYTES: Final = 64 << 10
"""Most bytes of a message unless a protocol says otherwise."""

M = TypeVar("M", bound=Message)


class FrameError(PeerError):
    """The other side sent something that is no message of this protocol, or nothing in time."""


class Framed:
    """One connection. Not for two threads that read, or two that write, at once.

    ``clock``: seconds, monotonic.
    """

    def __init__(self, connection: socket.socket, peer: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._socket, self.peer, self._clock = connection, peer, clock

    @property
    def socket(self) -> socket.socket:
        """The connection, for bytes that are no messages."""
        return self._socket

    def send(self, message: Message, timeout: float) -> None:
        """Raises FrameError where the peer takes no bytes for ``timeout`` seconds or has gone."""
        data = message.SerializeToString()
        if len(data) > MESSAGE_BYTES:
            raise FrameError(f"A message of {len(data)} bytes is over the limit of {MESSAGE_BYTES}.")
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise self._gone(error) from error

    def receive(self, kind: type[M], timeout: float, limit: int = MESSAGE_BYTES) -> M:
        """The next message. ``timeout`` in seconds is for the whole of it, however slowly its bytes arrive.

        Raises:
            FrameError: nothing whole came in time, it is longer than ``limit`` bytes, or no message of this kind.
        """
        until = self._clock() + timeout
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, until))
        if length > limit:
            raise FrameError(f"{self.peer} announces a message of {length} bytes; {limit} are allowed.")
        message = kind()
        try:
            message.ParseFromString(self._exactly(length, until))
        except DecodeError as error:
            raise FrameError(f"{self.peer} sent what is no {kind.__name__}.") from error
        return message

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self._socket.close()

    def _exactly(self, count: int, until: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            left = until - self._clock()
            if left <= 0:
                raise FrameError(f"{self.peer} did not answer in time.", "It may be overloaded or away; try again.")
            try:
                self._socket.settimeout(left)
                got = self._socket.recv(min(count - len(data), 1 << 16))
            except OSError as error:
                raise self._gone(error) from error
            if not got:
                raise FrameError(f"{self.peer} closed the connection in the middle of a message.")
            data += got
        return bytes(data)

    def _gone(self, error: OSError) -> FrameError:
        return FrameError(f"The connection to {self.peer} broke: {error}.", "Try again, or choose another peer.")
