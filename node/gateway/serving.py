"""Running a gateway in the foreground: one process, or one that does the background work and several that serve."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from consensus.arithmetic import choose_engine
from consensus.model.config import PRESETS
from node.errors import PonwError
from node.gateway.app import create_app
from node.gateway.gateway import Gateway, open_gateway
from node.gateway.jobs import Background, Leadership
from node.gateway.live import MESSAGE_LIMIT
from node.gateway.memory import give_back_freed
from node.gateway.settings import ENV_PREFIX, GatewaySettings
from node.logs import get_logger
from node.training.work import Workshop

DRAIN_SECONDS: Final = 15
PING_SECONDS: Final = 20.0
BACKLOG: Final = 2_048
_WATCH_SECONDS: Final = 0.2
_PARENT_SECONDS: Final = 1.0
_log = get_logger("gateway")


class ServerStoppedError(PonwError):
    """A part of the gateway ended by itself."""


def workshop_of(settings: GatewaySettings) -> Workshop:
    """The configured model on the first exact engine that proves itself here, over the text in the data folder.

    Engines are not timed: a gateway starts several processes and threads, and they stand in order of speed.

    Raises:
        KernelError: no kernel computes exactly here. ManifestError, ShardError, DiskError: the text is unusable.
    """
    from node.data.corpus import ensure_default  # noqa: PLC0415 - tokenizers, only where a text may have to be made

    dataset = ensure_default(settings.data_path)
    return Workshop(PRESETS[settings.preset], choose_engine(settings.threads), dataset)


def run(settings: GatewaySettings, listener: socket.socket, ready: Callable[[Gateway], None]) -> None:
    """Serve at a listening socket until SIGINT or SIGTERM. `ready` is called when the model is there.

    Raises:
        ServerStoppedError: a background job or a serving process died. What `open_gateway` raises.
    """
    give_back_freed()
    gateway = open_gateway(settings, workshop_of(settings))
    dead: list[str] = []
    try:
        gateway.spool.sweep()
        gateway.start()
        ready(gateway)
        with _background(gateway, dead):
            if settings.workers == 1:
                serve(gateway, listener)
            else:
                _serve_by_children(settings, listener, dead)
    finally:
        listener.close()
        gateway.close()
    if dead:
        raise ServerStoppedError(
            f"The gateway stopped because {dead[0]} ended.", "The log above says why; start it again."
        )


def serve(gateway: Gateway, listener: socket.socket) -> None:
    """Serve in this process until SIGINT or SIGTERM; requests under way get DRAIN_SECONDS."""
    settings = gateway.settings
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(gateway),
            log_config=None,
            access_log=False,
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=MESSAGE_LIMIT,
            ws_per_message_deflate=False,  # it would cost memory and time for each of many clients
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PING_SECONDS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies or None,
            server_header=False,
        )
    )
    with _signals_end_here():
        server.run([listener])


@contextmanager
def _background(gateway: Gateway, dead: list[str]) -> Iterator[None]:
    def died(job: str) -> None:
        dead.append(f"the job {job}")
        os.kill(os.getpid(), signal.SIGTERM)

    leadership = Leadership(gateway.storage, gateway.settings.home)
    jobs = gateway.jobs(lambda: workshop_of(gateway.settings))
    background = Background(gateway.storage, leadership, jobs, died)
    background.start()
    try:
        yield
    finally:
        gateway.stopping.set()
        background.stop()


@contextmanager
def _signals_end_here() -> Iterator[None]:
    # The server raises a signal again when it has ended; here that means no more than the end.
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, _over) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _over(_number: int, _frame: FrameType | None) -> None:
    """The signal has done its work."""


def _serve_by_children(settings: GatewaySettings, listener: socket.socket, dead: list[str]) -> None:
    """Several processes accept from one socket. They get the settings in their environment: URLs may hold secrets."""
    ended = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in numbers}
    with tempfile.TemporaryDirectory(prefix="ponw-metrics-") as metrics:
        command = [sys.executable, "-m", "node.gateway.child", str(listener.fileno())]
        environment = {**os.environ, **environment_of(settings), "PROMETHEUS_MULTIPROC_DIR": metrics}
        children = [
            subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()])  # noqa: S603 - ourselves
            for _ in range(settings.workers)
        ]
        try:
            while not ended.wait(_WATCH_SECONDS):
                if any(child.poll() is not None for child in children):
                    dead.append("a serving process")
                    break
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for child in children:
                child.terminate()
            for child in children:
                child.wait(2 * DRAIN_SECONDS)


def environment_of(settings: GatewaySettings) -> dict[str, str]:
    """Variables that give a child the same settings."""
    found = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is not None and value != "":
            text = "[" + ",".join(map(str, value)) + "]" if isinstance(value, tuple) else str(value)
            found[ENV_PREFIX + name.upper()] = text
    return found


def child(listener: socket.socket, home: Path) -> None:
    """A process that serves and does no background work."""
    from node.gateway.settings import load  # noqa: PLC0415 - with the environment of the parent

    give_back_freed()
    settings, parent = load(home), os.getppid()
    gateway = open_gateway(settings, workshop_of(settings))
    threading.Thread(target=_end_with, args=(parent,), name="gateway-parent", daemon=True).start()
    try:
        serve(gateway, listener)
    finally:
        gateway.close()
        _log.info("child_ended")


def _end_with(parent: int) -> None:
    """A killed parent tells its children nothing, and nobody would do the background work."""
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
