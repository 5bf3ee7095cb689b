"""Serving transfers to many peers at once: a thread a stream, bounded, with every failure kept to its stream."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from node.errors import PonwError
from node.net.catalogue import Catalogue
from node.net.frames import FrameError, SilentError
from node.net.transfer import Judge, serve

ANSWERS: Final = 8
"""Answers under way at once; the next request is refused BUSY."""
STREAMS: Final = 64
"""Open streams, most of them idle; the next one is closed at once. Threads and descriptors are bounded by it."""
POLL_S: Final = 1.0
"""How soon the end of the service is noticed by the thread that accepts."""
JOIN_S: Final = 10.0
log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
Blame = Callable[[str, str], None]
"""Told (peer, what it did) where a peer broke the protocol; may ban it."""


class Accepting(Protocol):
    """Streams that peers open to us."""

    def accept(self, timeout: float | None = None) -> tuple[str, socket.socket]:
        """(peer, stream) of the next. Raises TimeoutError, or PonwError while there can be none."""


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
        self._listener, self._catalogue, self._judge, self._blame = listener, catalogue, judge, blame
        self._slots = threading.BoundedSemaphore(answers)
        self._limit = streams
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="transfers", daemon=True)

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

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                peer, stream = self._listener.accept(POLL_S)
            except TimeoutError:
                continue
            except PonwError as error:
                log.warning("no streams to serve", reason=error.message)
                self._closing.wait(POLL_S)
                continue
            self._start(peer, stream)

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
