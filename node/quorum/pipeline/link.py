"""A link to a neighbouring stage over a connected socket, with a thread for each direction.

What arrives is read, bounded and hash-checked while the stage computes; what is sent leaves while it computes. Waiting
is bounded on the caller's side only: `take` and `send` give up after their timeout, and closing the socket then frees
both threads.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from node.net.wire.common_pb2 import Refusal
from node.net.wire.pipeline_pb2 import PipelineFrame
from node.quorum.pipeline.errors import FrameError, PeerGoneError, PeerSilentError, PipelineError, RefusedError
from node.quorum.pipeline.frames import Arrival, Expected, encode, read

CONTROL_FRAMES = 256
"""Messages of one kind without a tensor that may lie unread; an honest neighbour is never so far ahead."""
CONTROL_BYTES = 32 << 20
"""Of all of them: some hundred reports of the largest kind."""


_SILENT = "The quorum replaces a silent member; where it is only slow, raise the timeout."
_GONE = "The session goes on from the last checkpoint once that member is back or replaced."


@dataclass(frozen=True)
class Timeouts:
    """Seconds. `hello`: for a neighbour's first message, while it may still be loading weights. `frame`: for any later
    one; take a few times the slowest member's step. `send`: for room in the outgoing queue of a neighbour that does not
    read. `close`: for the last messages to leave and the neighbour to hang up."""

    hello: float = 30.0
    frame: float = 60.0
    send: float = 60.0
    close: float = 5.0


class Link:
    """Owns a connected socket of any kind until `close`. Used by one computing thread."""

    def __init__(
        self,
        sock: socket.socket,
        expected: Expected,
        tensors: int,
        timeouts: Timeouts,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`tensors`: how many boundary tensors may lie unread, and how many unsent; beyond it the sender waits."""
        self.peer, self._expected, self._timeouts = expected.peer, expected, timeouts
        self._socket, self._most = sock, tensors
        self._clock = clock
        self.waited, self.sent = 0.0, 0
        """Seconds spent in `take`, and bytes given to `send`."""
        self._sock_settings()
        self._changed = threading.Condition()
        self._inbox: dict[str, deque[Arrival]] = {}
        self._error: PipelineError | None = None
        self._closing = False
        self._unread = 0
        self._outbox: deque[list[memoryview]] = deque()
        self._reader = threading.Thread(target=self._read, name=f"pipeline-from-{self.peer}", daemon=True)
        self._writer = threading.Thread(target=self._write, name=f"pipeline-to-{self.peer}", daemon=True)
        self._reader.start()
        self._writer.start()

    @property
    def error(self) -> PipelineError | None:
        """What the link failed of."""
        with self._changed:
            return self._error

    def broken(self, error: PipelineError) -> PipelineError:
        """The same error, noted as the neighbour's: what it sent was read, and breaks the protocol."""
        with self._changed:
            self._error = error
            self._changed.notify_all()
        return error

    def send(self, frame: PipelineFrame, tensor: Tensor | None = None) -> None:
        """Queue a message; `tensor` must not change afterwards.

        Raises:
            PeerSilentError: the neighbour has not read for `send` seconds.
            PipelineError: the link has failed already.
        """
        frame.versions.CopyFrom(self._expected.versions)
        parts = encode(frame, tensor)
        self.sent += sum(len(part) for part in parts)
        self._put(parts, self._timeouts.send)

    def take(self, kind: str, timeout: float | None = None) -> Arrival:
        """The next message of `kind`, waiting up to `timeout` seconds (default: `Timeouts.frame`).

        Raises:
            PeerSilentError: none came in time.
            PipelineError: the link failed, and nothing of that kind had arrived before.
        """
        limit = self._timeouts.frame if timeout is None else timeout
        with self._changed:
            started = self._clock()
            self._changed.wait_for(lambda: self._inbox.get(kind) or self._error is not None, limit)
            self.waited += self._clock() - started
            found = self._pop(kind)
            if found is not None:
                return found
            if self._error is not None:
                raise self._error
        raise PeerSilentError(f"{self.peer} sent no {kind} for {limit:g} s.", _SILENT)

    def poll(self, kind: str) -> Arrival | None:
        """A message of `kind` that has arrived, without waiting."""
        with self._changed:
            return self._pop(kind)

    def end(self, refusal: Refusal | None = None) -> None:
        """Send nothing more but what is queued, and `refusal` last. Does not wait; a second call does nothing."""
        with self._changed:
            if self._closing:
                return
            if refusal is not None:
                self._outbox.append(encode(PipelineFrame(versions=self._expected.versions, refusal=refusal)))
            self._closing = True
            self._changed.notify_all()

    def close(self) -> None:
        """End, wait for both threads and the neighbour's own end, and hang up: at most twice `Timeouts.close`."""
        self.end()
        self._writer.join(self._timeouts.close)
        self._reader.join(self._timeouts.close)
        self._hang_up(socket.SHUT_RDWR)
        self._writer.join(self._timeouts.close)
        self._reader.join(self._timeouts.close)
        self._socket.close()

    def _put(self, parts: list[memoryview], timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._outbox) < self._most + 8 or self._error is not None, timeout)
            if self._error is not None:
                raise self._error
            if len(self._outbox) >= self._most + 8:
                raise PeerSilentError(f"{self.peer} has read nothing for {timeout:g} s.", _SILENT)
            self._outbox.append(parts)
            self._changed.notify_all()

    def _pop(self, kind: str) -> Arrival | None:
        waiting = self._inbox.get(kind)
        if not waiting:
            return None
        self._changed.notify_all()
        arrival = waiting.popleft()
        if arrival.tensor is None:
            self._unread -= arrival.frame.ByteSize()
        return arrival

    def _read(self) -> None:
        try:
            while (arrival := read(self._socket, self._expected)) is not None:
                if arrival.kind == "refusal":
                    self._fail(_refused(self.peer, arrival.frame.refusal))
                elif not self._keep(arrival):
                    return
            self._fail(PeerGoneError(f"{self.peer} closed the connection.", _GONE))
        except PipelineError as error:
            self._fail(error)
        except OSError as error:
            self._fail(PeerGoneError(f"The connection to {self.peer} broke: {error.strerror or error}.", _GONE))

    def _keep(self, arrival: Arrival) -> bool:
        with self._changed:
            waiting = self._inbox.setdefault(arrival.kind, deque())
            if arrival.tensor is None:
                self._unread += arrival.frame.ByteSize()
                if len(waiting) >= CONTROL_FRAMES or self._unread > CONTROL_BYTES:
                    raise FrameError(f"{self.peer} sent too many messages ahead of its step.")
            if arrival.tensor is not None:
                self._changed.wait_for(lambda: len(waiting) < self._most or self._closing or self._error is not None)
            waiting.append(arrival)
            self._changed.notify_all()
            return self._error is None

    def _write(self) -> None:
        try:
            while parts := self._next():
                for part in parts:
                    self._socket.sendall(part)
            self._hang_up(socket.SHUT_WR)
        except OSError as error:
            self._fail(PeerGoneError(f"The connection to {self.peer} broke: {error.strerror or error}.", _GONE))

    def _next(self) -> list[memoryview] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._outbox or self._closing)
            self._changed.notify_all()
            return self._outbox.popleft() if self._outbox else None

    def _fail(self, error: PipelineError) -> None:
        """Keep the first error: what follows comes from it. A neighbour's own reason tells more than its end."""
        with self._changed:
            if self._error is None or (isinstance(self._error, PeerGoneError) and isinstance(error, RefusedError)):
                self._error = error
            self._changed.notify_all()

    def _hang_up(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError:  # the neighbour hung up first: there is nothing left to shut down
            return

    def _sock_settings(self) -> None:
        self._socket.settimeout(None)
        if self._socket.family in (socket.AF_INET, socket.AF_INET6):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _refused(peer: str, refusal: Refusal) -> RefusedError:
    known = refusal.code in Refusal.Code.values()
    name = Refusal.Code.Name(refusal.code) if known else f"code {refusal.code}"
    return RefusedError(
        f"{peer} ended the session ({name}): {refusal.reason[:500]}",
        "The session goes on from the last checkpoint once the cause is gone.",
        refusal.code,
    )
