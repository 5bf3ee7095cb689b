"""Taking streams that peers open, one after another or a few at a time, whatever becomes of the network in between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

import structlog

from node.errors import PonwError

POLL_S: Final = 1.0
"""How soon the end is noticed, and how long a network that is down is left alone."""
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Accepting(Protocol):
    """Streams that peers open to us."""

    def accept(self, timeout: float | None = None) -> tuple[str, socket.socket]:
        """(peer, stream) of the next. Raises TimeoutError, or PonwError while there can be none."""


def accept_each(listener: Accepting, closing: threading.Event, handle: Callable[[str, socket.socket], None]) -> None:
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


def accept_several(
    listener: Accepting, closing: threading.Event, handle: Callable[[str, socket.socket], None], most: int
) -> None:
    """As `accept_each`, with up to `most` streams being handled at a time; a further one is closed at once.

    `handle` closes its stream and raises nothing. Returns once all that were begun are done.
    """
    free = threading.BoundedSemaphore(most)

    def work(peer: str, stream: socket.socket) -> None:
        try:
            handle(peer, stream)
        finally:
            free.release()

    with ThreadPoolExecutor(most, threading.current_thread().name) as pool:

        def begin(peer: str, stream: socket.socket) -> None:
            if free.acquire(blocking=False):
                pool.submit(work, peer, stream)
            else:
                log.info("too many streams at a time", peer=peer, most=most)
                stream.close()

        accept_each(listener, closing, begin)
