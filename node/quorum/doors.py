"""Streams that members open to this node, kept by protocol and peer until whoever expects them takes them."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from node.logs import get_logger
from node.net.accepting import Accepting, accept_each
from node.quorum.errors import QuorumError

log = get_logger("quorum")
WAITING_MAX: Final = 2
"""Streams of one peer that may wait; the oldest is closed for a third."""
PEERS_MAX: Final = 64
KNOCK_SECONDS: Final = 5.0
"""For the first bytes of a stream, which its opener sends at once."""


class Listener(Accepting, Protocol):
    """The part of the peer network that hands over incoming streams of one protocol."""

    def close(self) -> None:
        """Take no more."""


class Doors:
    """Takes streams of one protocol in a thread. As a context it runs within the block."""

    def __init__(self, listener: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        self._listener, self._clock = listener, clock
        self._waiting: dict[str, deque[socket.socket]] = {}
        self._is_shut = False
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="quorum-doors", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._listener.close()
        self._thread.join()
        with self._changed:
            for waiting in self._waiting.values():
                for stream in waiting:
                    stream.close()

    def take(self, peer: str, knock: bytes, timeout: float) -> socket.socket:
        """The newest stream that `peer` has opened or opens within `timeout` seconds and that begins with `knock`.

        A stream left over from before begins with something else, and is closed.

        Raises:
            QuorumError: it opened none.
        """
        until = self._clock() + timeout
        while True:
            with self._changed:
                left = max(0.0, until - self._clock())
                if not self._changed.wait_for(lambda: self._waiting.get(peer), left):
                    raise QuorumError(f"{peer} opened no stream for {timeout:g} s.", "It may have left the quorum.")
                stream = self._waiting[peer].pop()
            if _begins_with(stream, knock):
                return stream
            stream.close()

    def shut(self) -> None:
        """Close what waits, and at once what comes: this node is in no quorum, and nobody is to wait for it."""
        with self._changed:
            self._is_shut = True
            for waiting in self._waiting.values():
                for stream in waiting:
                    stream.close()
            self._waiting.clear()

    def open(self) -> None:
        """Let everyone in, as at the beginning: a quorum starts, or may soon."""
        with self._changed:
            self._is_shut = False

    def _run(self) -> None:
        accept_each(self._listener, self._closing, self._keep)

    def _keep(self, peer: str, stream: socket.socket) -> None:
        with self._changed:
            if self._is_shut:
                stream.close()
                return
            if peer not in self._waiting and len(self._waiting) >= PEERS_MAX:
                self._forget()
            waiting = self._waiting.setdefault(peer, deque())
            if len(waiting) >= WAITING_MAX:
                waiting.popleft().close()
            waiting.append(stream)
            self._changed.notify_all()

    def _forget(self) -> None:
        """Make room: first among peers with nothing waiting, then the one that has waited longest."""
        idle = next((peer for peer, waiting in self._waiting.items() if not waiting), None)
        gone = next(iter(self._waiting)) if idle is None else idle
        for stream in self._waiting.pop(gone):
            stream.close()


def _begins_with(stream: socket.socket, knock: bytes) -> bool:
    """Read as many bytes as `knock` has, and no more."""
    said = bytearray()
    try:
        stream.settimeout(KNOCK_SECONDS)
        while len(said) < len(knock) and (more := stream.recv(len(knock) - len(said))):
            said += more
    except OSError as error:
        log.debug("a stream broke before it began", reason=str(error))
        return False
    return bytes(said) == knock
