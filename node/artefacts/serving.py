"""Running an ASGI application in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from node.errors import PeerError

_START_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 10
"""Open downloads get this long to end before they are cut."""
_CONNECTIONS = 64
"""More at once are answered 503, so that peers cannot exhaust the node's threads and descriptors."""


class ServerError(PeerError):
    """The artefact server cannot listen at its address, or did not start or stop in time."""


@dataclass(frozen=True)
class Serving:
    """A running server: where it really listens (the port is a real one, also if 0 was asked for)."""

    host: str
    port: int

    @property
    def uri(self) -> str:
        """The address as an http URI."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


@contextmanager
def serve_in_thread(app: FastAPI, host: str, port: int) -> Iterator[Serving]:
    """Serve `app` while the block runs; it answers when the block begins and has released its port when it ends.

    Raises:
        ServerError: the address is in use or not ours, or the server did not start in time.
    """
    listener = listen(host, port)
    server = _Server(_config(app))
    thread = threading.Thread(target=server.run, args=([listener],), name="artefacts", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(_START_TIMEOUT_S) or not server.started:
            raise ServerError(f"The artefact server did not start on {host}:{port}.", "See the log for the reason.")
        yield Serving(host, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(_STOP_TIMEOUT_S + 5)
        listener.close()
    if thread.is_alive():
        raise ServerError("The artefact server did not stop in time.", "End the process.")


class _Server(uvicorn.Server):
    """Tells when it accepts connections, or when it gave up starting."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ServerError: the address is in use or not ours."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        # Named, because asyncio turns the delay of small packets (Nagle) off only where the protocol is TCP by name.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ServerError(
            f"Cannot listen on {host}:{port}: {error.strerror}.", "Set `listen_host` and `listen_port`, or use port 0."
        ) from error
    return listener


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_STOP_TIMEOUT_S,
        server_header=False,
        ws="none",
    )
