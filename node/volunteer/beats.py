"""Heartbeats over the gateway's WebSocket, and what comes back over it; reconnects for as long as the process lives."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from node.errors import PonwError
from node.gateway.schemas import Beat, EventMessage, Hello, StatsMessage
from node.volunteer.api import PREFIX, Gateway
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.panel_schemas import PanelState

BEAT_SECONDS: Final = 10.0
LEAST_SECONDS: Final = 1.0
"""Between two beats."""
BACKOFF_MAX_S: Final = 60.0
MESSAGE_LIMIT: Final = 1 << 20
_MESSAGE: TypeAdapter[StatsMessage | EventMessage] = TypeAdapter(
    Annotated[StatsMessage | EventMessage, Field(discriminator="type")]
)


class Beats:
    """One thread that keeps a WebSocket open."""

    def __init__(self, gateway: Gateway, control: Control, board: Board) -> None:
        self._gateway, self._control, self._board = gateway, control, board
        self._stop = threading.Event()
        self._sent: tuple[float, Beat | None] = (float("-inf"), None)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Beat while the block runs."""
        thread = threading.Thread(target=self._run, name="beats", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(LEAST_SECONDS * 2)

    def _run(self) -> None:
        wait = LEAST_SECONDS
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._connected()
            except (OSError, ConnectionClosed, InvalidHandshake, InvalidURI, PonwError) as error:
                self._board.log(f"No live messages: {_words(error)}; trying again", "warning")
            wait = LEAST_SECONDS if time.monotonic() - began > BACKOFF_MAX_S else min(wait * 2, BACKOFF_MAX_S)
            self._stop.wait(wait * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnections, hides nothing

    def _connected(self) -> None:
        if self._board.now().worker_id is None:
            return  # not signed in yet: the session does that, once
        url = "ws" + self._gateway.url.removeprefix("http") + PREFIX + "/ws/status"
        with connect(url, max_size=MESSAGE_LIMIT, open_timeout=10, close_timeout=1) as socket:
            socket.send(Hello(token=self._gateway.token()).model_dump_json())
            self._sent = (float("-inf"), None)
            while not self._stop.is_set():
                self._beat(socket)
                try:
                    self._take(socket.recv(timeout=LEAST_SECONDS / 2))
                except TimeoutError:
                    continue

    def _beat(self, socket: Connection) -> None:
        at, last = self._sent
        now, beat = time.monotonic(), beat_of(self._board.now())
        due = BEAT_SECONDS if beat == last else LEAST_SECONDS
        if beat is not None and now - at >= due:
            socket.send(beat.model_dump_json())
            self._sent = (now, beat)

    def _take(self, text: str | bytes) -> None:
        try:
            message = _MESSAGE.validate_json(text)
        except ValidationError:
            self._board.log("The gateway sent a live message that this version does not know", "warning")
            return
        if isinstance(message, StatsMessage):
            self._board.update(network=message.stats)
        else:
            self._event(message.kind, message.detail)

    def _event(self, kind: str, detail: dict[str, Any]) -> None:
        if kind == "lease_lost":
            self._control.lose(str(detail.get("lease_id", "")))
        elif kind == "version":
            self._board.log(f"The network has a new version: {detail.get('version', '')}".strip()[:200])
        elif kind == "shutdown":
            self._board.log("The gateway shuts down; it is tried again until it is back", "warning")


def beat_of(state: PanelState) -> Beat | None:
    """What a heartbeat says of a state; None once the process is about to end."""
    if state.phase == "stopped":
        return None
    batch = state.batch
    if batch is None:
        return Beat(state=state.phase)
    return Beat(
        state=state.phase,
        batch_id=batch.batch_id,
        step=batch.step,
        steps=batch.steps,
        loss=batch.loss,
        tokens_per_s=batch.tokens_per_s,
    )


def _words(error: Exception) -> str:
    return (error.message if isinstance(error, PonwError) else str(error) or type(error).__name__)[:200]
