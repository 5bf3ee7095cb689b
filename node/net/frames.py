"""Messages on a connected stream socket: each behind its length, bounded before it is read, within a time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from node.errors import PeerError

HEAD_BYTES = 4
"""Length of a message, big-endian."""
Clock = Callable[[], float]
M = TypeVar("M", bound=Message)


class FrameError(PeerError):
    """What arrived is not a message: too long, empty, or not protobuf."""


class SilentError(PeerError):
    """The peer sent or took nothing for too long, or closed the stream."""


class ClosedError(SilentError):
    """The peer closed the stream between two messages."""


class FrameSocket:
    """Reads and writes messages on `stream`, any connected stream socket; `peer` names the other side in errors.

    Time limits are for a whole message, so a byte now and then does not prolong them.
    """

    def __init__(self, stream: socket.socket, peer: str, clock: Clock = time.monotonic) -> None:
        self.peer = peer
        self._stream, self._clock = stream, clock

    def send(self, message: Message, seconds: float) -> None:
        """Write one message. Blocks while the peer does not read: that is the back-pressure.

        Raises:
            SilentError: the peer did not take it within `seconds`, or is gone.
        """
        body = message.SerializeToString()
        try:
            self._stream.settimeout(seconds)
            if len(body) < 1 << 16:
                self._stream.sendall(len(body).to_bytes(HEAD_BYTES, "big") + body)
            else:  # no copy of a large body
                self._stream.sendall(len(body).to_bytes(HEAD_BYTES, "big"))
                self._stream.sendall(body)
        except TimeoutError as error:
            raise self._silent(f"took no message for {seconds:.0f} s") from error
        except OSError as error:
            raise self._gone(error) from error

    def wait(self, seconds: float) -> bool:
        """Whether something can be read, or the end is there, within `seconds`. Raises SilentError: it broke."""
        try:
            self._stream.settimeout(seconds)
            self._stream.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return False
        except OSError as error:
            raise self._gone(error) from error
        return True

    def receive(self, kind: type[M], limit: int, seconds: float) -> M:
        """The next message, of at most `limit` bytes, whole within `seconds`.

        Raises:
            FrameError: too long, empty or malformed; the stream is of no more use.
            SilentError: it did not come whole in time, or the stream broke.
            ClosedError: the stream ended before the message began.
        """
        end = self._clock() + seconds
        first = self._exactly(1, seconds, begun=False)
        length = int.from_bytes(first + self._exactly(HEAD_BYTES - 1, end - self._clock()), "big")
        if not 0 < length <= limit:
            raise FrameError(f"{self.peer} sent a message of {length} bytes; 1 to {limit} make sense.")
        body = self._exactly(length, end - self._clock())
        try:
            return kind.FromString(bytes(body))
        except DecodeError as error:
            raise FrameError(f"{self.peer} sent a malformed message.") from error

    def _exactly(self, count: int, seconds: float, *, begun: bool = True) -> bytearray:
        """`count` bytes within `seconds`. Memory is taken as bytes arrive, not as they are announced."""
        end = self._clock() + seconds
        data = bytearray()
        try:
            while len(data) < count:
                left = end - self._clock()
                if left <= 0:
                    raise self._silent(f"sent nothing complete for {seconds:.0f} s")
                self._stream.settimeout(left)
                piece = self._stream.recv(min(count - len(data), 1 << 18))
                if not piece:
                    raise self._ended(begun)
                data += piece
        except TimeoutError as error:
            raise self._silent(f"sent nothing complete for {seconds:.0f} s") from error
        except OSError as error:
            raise self._gone(error) from error
        return data

    def _ended(self, begun: bool) -> SilentError:
        if begun:  # an honest peer that crashed looks like this
            return self._silent("ended the stream within a message")
        return ClosedError(f"{self.peer} closed the stream.")

    def _gone(self, error: OSError) -> SilentError:
        return self._silent(f"is gone ({error.strerror or error})")

    def _silent(self, what: str) -> SilentError:
        return SilentError(f"{self.peer} {what}.", "It may be down; try another peer, or again later.")
