"""Messages from anywhere in a gateway to everyone who watches: within the process, or over Redis to all processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import redis

from node.gateway.ports import EventKind
from node.gateway.schemas import EventMessage
from node.gateway.storage.store import MICROSECONDS, Clock, system_clock
from node.logs import get_logger

Handler = Callable[[str], None]
CHANNEL = "ponw-gateway/events"
_TIMEOUT_S = 2.0
_PAUSE_S = 1.0
_log = get_logger("gateway")


class Bus(Protocol):
    """Text to every subscriber. Lossy: who is not there does not hear it."""

    def send(self, text: str) -> None:
        """From any thread; does not raise."""

    def subscribe(self, handler: Handler) -> None:
        """`handler` is called from any thread, quickly returns and does not raise."""

    def close(self) -> None:
        """No more messages."""


class LocalBus:
    """Within one process."""

    def __init__(self) -> None:
        self._handlers: list[Handler] = []

    def send(self, text: str) -> None:
        """Call every handler."""
        for handler in tuple(self._handlers):
            handler(text)

    def subscribe(self, handler: Handler) -> None:
        """Add a handler."""
        self._handlers.append(handler)

    def close(self) -> None:
        """Forget the handlers."""
        self._handlers.clear()


class RedisBus:
    """Over a Redis channel; while Redis does not answer, messages are lost and the connection is tried again."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def send(self, text: str) -> None:
        """Publish."""
        try:
            self._redis.publish(CHANNEL, text)
        except redis.RedisError as error:
            _log.warning("event_lost", reason=str(error))

    def subscribe(self, handler: Handler) -> None:
        """Listen in a thread; returns when the subscription stands, or after a few seconds without Redis."""
        ready = threading.Event()
        thread = threading.Thread(target=self._listen, args=(handler, ready), name="gateway-bus", daemon=True)
        self._threads.append(thread)
        thread.start()
        ready.wait(2 * _TIMEOUT_S)

    def close(self) -> None:
        """End the threads."""
        self._ended.set()
        for thread in self._threads:
            thread.join(2 * _TIMEOUT_S)
        self._redis.close()

    def _listen(self, handler: Handler, ready: threading.Event) -> None:
        while not self._ended.is_set():
            try:
                with self._redis.pubsub() as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(CHANNEL)
                    while not self._ended.is_set():
                        message = channel.get_message(timeout=_PAUSE_S)
                        if message is None:
                            continue
                        if message["type"] == "subscribe":
                            ready.set()
                        elif message["type"] == "message":
                            handler(message["data"].decode())
            except redis.RedisError as error:
                _log.warning("events_interrupted", reason=str(error))
                self._ended.wait(_PAUSE_S)


class BusEvents:
    """Implements `ports.Events` on a bus."""

    def __init__(self, bus: Bus, clock: Clock = system_clock) -> None:
        self._bus, self._clock = bus, clock

    def publish(self, kind: EventKind, detail: Mapping[str, Any]) -> None:
        """Tell everyone who watches."""
        message = EventMessage(kind=kind, detail=dict(detail), at=self._clock() // MICROSECONDS)
        self._bus.send(message.model_dump_json())
