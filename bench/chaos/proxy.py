"""A TCP proxy before one server that can be cut: it then refuses, or stays silent with every connection open."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

PIECE: Final = 1 << 16
POLL_SECONDS: Final = 0.2


class Proxy:
    """Forwards `127.0.0.1:port`, a port of its own, to a server on this machine while the block runs."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._flowing, self._closing = threading.Event(), threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.silent_after = b""
        """Once a client sends this, that is forwarded and all goes silent: the server has it, nobody hears so."""
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._flowing.set()
        self.refuse()
        self._thread.join()

    @property
    def url(self) -> str:
        """As a JSON-RPC endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def silent(self) -> bool:
        """Whether nothing passes now, though everything is open."""
        return not self._flowing.is_set()

    def hush(self) -> None:
        """From now on nothing passes: what was sent waits, as in a network that drops packets."""
        self._flowing.clear()

    def refuse(self) -> None:
        """From now on nobody can connect, and who was connected is not any more."""
        with self._lock:
            listener, self._listener = self._listener, None
            left, self._open = self._open, set()
        if listener is not None:
            _end(listener)
        for one in left:
            _end(one)

    def heal(self) -> None:
        """Everything passes again, on the same port."""
        self.silent_after = b""
        self._flowing.set()
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port))

    def _accept(self) -> None:
        while not self._closing.is_set():
            listener = self._listener
            if listener is None:
                self._closing.wait(POLL_SECONDS)
                continue
            with suppress(OSError):  # it was closed: nobody may connect
                listener.settimeout(POLL_SECONDS)
                self._join(listener.accept()[0])

    def _join(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        client.settimeout(None)
        with self._lock:
            self._open |= {client, server}
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=(source, sink, source is client), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with suppress(OSError):  # one of the two hung up, or was cut off
            while data := source.recv(PIECE):
                hushing = from_client and self.silent_after and self.silent_after in data
                if hushing:
                    self.hush()
                else:
                    self._flowing.wait()
                sink.sendall(data)
        for one in (source, sink):
            _end(one)
            with self._lock:
                self._open.discard(one)


def _end(one: socket.socket) -> None:
    with suppress(OSError):  # it is not connected any more
        one.shutdown(socket.SHUT_RDWR)
    one.close()
