"""Running the application in the foreground until a signal; what is under way is ended first."""

from __future__ import annotations

import signal
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI

from node.artefacts.serving import listen
from node.inference.paid.messages import MESSAGE_BYTES

CONNECTIONS = 1_024
"""More at once are answered 503."""
DRAIN_SECONDS = 30


def listen_at(host: str, port: int) -> tuple[socket.socket, str]:
    """A bound socket and its address as an http URI; port 0 takes a free one.

    Raises:
        ServerError: the address is in use or not ours.
    """
    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    return listener, f"http://{shown}:{listener.getsockname()[1]}"


def run_until_signal(app: FastAPI, listener: socket.socket, sockets: bool = False) -> None:
    """Serve until SIGINT or SIGTERM, then let open requests end for DRAIN_SECONDS; `sockets` adds WebSockets.

    A second signal ends them at once.
    """
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            server_header=False,
            ws="websockets-sansio" if sockets else "none",
            ws_max_size=MESSAGE_BYTES,
        )
    )
    # The server raises a signal again when it has ended; here that means no more than the end.
    before = {number: signal.signal(number, _over) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run([listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()


def _over(_number: int, _frame: FrameType | None) -> None:
    """The signal has done its work."""
