"""Taking streams that peers open, one after another, whatever becomes of the network in between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
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
