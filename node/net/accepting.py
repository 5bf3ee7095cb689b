"""Taking streams that peers open, one after another or a few at a time, whatever becomes of the network in between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from node.errors import PonwError

POLL_S: Final = 1.0
"""How soon the end is noticed, and how long a network that is down is left alone."""
JOIN_S: Final = 10.0
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
Handle = Callable[[str, socket.socket], None]


class Accepting(Protocol):
    """Streams that peers open to us."""

    def accept(self, timeout: float | None = None) -> tuple[str, socket.socket]:
        """(peer, stream) of the next. Raises TimeoutError, or PonwError while there can be none."""


def accept_each(listener: Accepting, closing: threading.Event, handle: Handle) -> None:
    """Hand every stream of a listener on until `closing` is set."""
    while not closing.is_set():
        try:
            peer, stream = listener.accept(POLL_S)
        except TimeoutError:
            continue
        except PonwError as error:
            log.warning("no streams to serve", reason=error.message)
            closing.wait(POLL_S)
            continue
        handle(peer, stream)


class Threads:
    """Handles streams in threads, so that a peer which says nothing keeps nobody else waiting. As a context it waits,
    on the way out, for those that run.

    `limit` streams at a time, `each` of one peer; one more is closed at once. `handle` closes what it is given.
    """

    def __init__(self, name: str, handle: Handle, limit: int, each: int = 1) -> None:
        self._name, self._handle, self._limit, self._each = name, handle, limit, each
        self._running: dict[threading.Thread, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            left = list(self._running)
        for thread in left:
            thread.join(JOIN_S)

    def start(self, peer: str, stream: socket.socket) -> None:
        """Handle one; returns at once."""
        thread = threading.Thread(target=self._run, args=(peer, stream), name=self._name, daemon=True)
        with self._lock:
            held = list(self._running.values())
            full = len(held) >= self._limit or held.count(peer) >= self._each
            if not full:
                self._running[thread] = peer
        if full:
            stream.close()
            log.info("stream not served: too many at once", what=self._name, peer=peer)
            return
        thread.start()

    def _run(self, peer: str, stream: socket.socket) -> None:
        try:
            self._handle(peer, stream)
        finally:
            with self._lock:
                del self._running[threading.current_thread()]
