"""A TCP proxy that a test can slow down, cut, or make swallow answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Proxy:
    """Passes connections on to a port of this machine. Change the attributes at any time."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.refuse = False
        """Connections are closed as soon as they come."""
        self.pause_after: int | None = None
        """Bytes of answers after which nothing more is passed on."""
        self.mute = False
        """Requests go through, answers do not."""
        self.down = 0
        """Bytes of answers passed on."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break every connection."""
        with self._lock:
            for one in self._open:
                with_linger(one)
                one.close()
            self._open.clear()

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        """Pass on while the block runs."""
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self.cut()
            thread.join(10)

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            for source, sink, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=(source, sink, answers), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(4096):
                if answers:
                    while self.mute or (self.pause_after is not None and self.down >= self.pause_after):
                        if self._ended.wait(0.01) or source.fileno() < 0:
                            return
                    self.down += len(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for one in (source, sink):
                one.close()


def with_linger(one: socket.socket) -> None:
    """Closing resets the connection."""
    import struct

    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
