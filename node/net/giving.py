"""Serving transfers to many peers at once: a thread a stream, bounded, with every failure kept to its stream."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import structlog

from node.errors import PonwError
from node.net.accepting import Accepting, accept_each
from node.net.catalogue import Catalogue
from node.net.frames import FrameError, SilentError
from node.net.transfer import Judge, serve

ANSWERS: Final = 8
"""Answers under way at once; the next request is refused BUSY."""
STREAMS: Final = 64
"""Open streams, most of them idle; the next one is closed at once. Threads and descriptors are bounded by it."""
JOIN_S: Final = 10.0
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
Blame = Callable[[str, str], None]
"""Told (peer, what it did) where a peer broke the protocol; may ban it."""


class TransferService:
    """While the block runs, the streams of `listener` are served from `catalogue`. The caller closes the listener."""

    def __init__(
        self,
        listener: Accepting,
        catalogue: Catalogue,
        judge: Judge,
        blame: Blame,
        *,
        answers: int = ANSWERS,
        streams: int = STREAMS,
    ) -> None:
        self._catalogue, self._judge, self._blame = catalogue, judge, blame
        self._slots = threading.BoundedSemaphore(answers)
        self._limit = streams
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=lambda: accept_each(listener, self._closing, self._start), name="transfers", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(JOIN_S)
        with self._lock:
            left = dict(self._open)
        for stream, thread in left.items():
            with contextlib.suppress(OSError):  # closed by its thread meanwhile
                stream.shutdown(socket.SHUT_RDWR)
            thread.join(JOIN_S)

    @property
    def streams(self) -> int:
        """Open now."""
        with self._lock:
            return len(self._open)

    def _start(self, peer: str, stream: socket.socket) -> None:
        thread = threading.Thread(target=self._serve, args=(peer, stream), name="transfer", daemon=True)
        with self._lock:
            full = len(self._open) >= self._limit
            if not full:
                self._open[stream] = thread
        if full:
            stream.close()
            log.info("transfer not served: too many streams", peer=peer)
            return
        thread.start()

    def _serve(self, peer: str, stream: socket.socket) -> None:
        try:
            with stream:
                serve(stream, self._catalogue, self._judge, peer=peer, slots=self._slots)
        except FrameError as error:
            self._blame(peer, error.message)
        except SilentError as error:
            log.info("transfer ended early", peer=peer, reason=error.message)
        except PonwError as error:  # our disk
            log.warning("transfer failed", peer=peer, reason=error.message)
        finally:
            with self._lock:
                del self._open[stream]
