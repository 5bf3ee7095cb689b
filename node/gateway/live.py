"""WS /ws/status: statistics and events to everyone, heartbeats from volunteers.

Each client has a queue of bounded length; who does not empty it is closed with 1013. A connection without `Hello` ends
after HELLO_SECONDS, a volunteer's without a `Beat` after BEAT_SECONDS; dead peers are found by the server's pings.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from node.errors import PonwError
from node.gateway.auth import Accounts, Caller
from node.gateway.bus import Bus
from node.gateway.metrics import Metrics
from node.gateway.problems import ProblemError
from node.gateway.queue import BatchQueue
from node.gateway.schemas import Beat, Hello
from node.logs import get_logger

MESSAGE_LIMIT: Final = 16 << 10
"""Bytes of a message of a client."""
QUEUE: Final = 64
HELLO_SECONDS: Final = 10.0
BEAT_SECONDS: Final = 60.0
BEATS_A_MINUTE: Final = 240
NOTED_SECONDS: Final = 10.0
"""A volunteer's progress is written at most so often."""
PER_ADDRESS: Final = 64
CLOSE_SECONDS: Final = 2.0
GOING_AWAY, POLICY, TRY_LATER, BAD_DATA = 1001, 1008, 1013, 1007

Message = TypeVar("Message", bound=BaseModel)
_log = get_logger("gateway")


class _EndError(Exception):
    """The connection is to be closed with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(eq=False)
class Client:
    """One connection."""

    socket: WebSocket
    address: str
    queue: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    over: asyncio.Event = field(default_factory=asyncio.Event)
    farewell: tuple[int, str] = (GOING_AWAY, "")
    caller: Caller | None = None
    greeted: bool = False
    noted_at: float = float("-inf")

    def offer(self, text: str) -> bool:
        """Queue a message; False where the client does not keep up, which ends it."""
        try:
            self.queue.put_nowait(text)
        except asyncio.QueueFull:
            self.end(TRY_LATER, "you do not keep up")
            return False
        return True

    def end(self, code: int, reason: str) -> None:
        """Close it soon."""
        if not self.over.is_set():
            self.farewell = code, reason
            self.over.set()


class Hub:
    """The connections of this process. `stats` gives the JSON of GlobalStats; `most` bounds the connections."""

    def __init__(
        self,
        bus: Bus,
        accounts: Accounts,
        queue: BatchQueue,
        metrics: Metrics,
        stats: Callable[[], Awaitable[bytes]],
        most: int,
    ) -> None:
        self._bus, self._accounts, self._queue, self._metrics = bus, accounts, queue, metrics
        self._stats, self._most = stats, most
        self._clients: set[Client] = set()
        self._addresses: Counter[str] = Counter()
        self._ticker: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self) -> None:
        """Begin to pass on what comes over the bus."""
        loop = asyncio.get_running_loop()

        def arrived(text: str) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._spread, text)

        await asyncio.to_thread(self._bus.subscribe, arrived)
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Close every connection."""
        self._closing = True
        if self._ticker is not None:
            self._ticker.cancel()
        for client in tuple(self._clients):
            client.end(GOING_AWAY, "the gateway stops")

    async def serve(self, socket: WebSocket, address: str) -> None:
        """One connection, to its end."""
        if self._closing or len(self._clients) >= self._most or self._addresses[address] >= PER_ADDRESS:
            await socket.close(TRY_LATER, "too many connections")
            return
        await socket.accept()
        client = Client(socket, address)
        self._add(client)
        work: tuple[Coroutine[None, None, object], ...]
        work = self._send(client), self._receive(client), client.over.wait()
        tasks = {asyncio.create_task(part) for part in work}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._remove(client)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await _close(client)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
                raise result

    def _add(self, client: Client) -> None:
        self._clients.add(client)
        self._addresses[client.address] += 1
        self._metrics.sockets.inc()

    def _remove(self, client: Client) -> None:
        self._clients.discard(client)
        self._addresses[client.address] -= 1
        if not self._addresses[client.address]:
            del self._addresses[client.address]
        self._metrics.sockets.dec()

    def _spread(self, text: str) -> None:
        for client in tuple(self._clients):
            if client.greeted and not client.over.is_set() and not client.offer(text):
                self._metrics.dropped.inc()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            if self._clients and (text := await self._stats_message()):
                self._spread(text)

    async def _stats_message(self) -> str:
        """Empty where the figures cannot be read."""
        try:
            return '{"type":"stats","stats":' + (await self._stats()).decode() + "}"
        except PonwError as error:
            _log.warning("stats_missing", reason=error.message)
            return ""

    async def _send(self, client: Client) -> None:
        while True:
            await client.socket.send_text(await client.queue.get())

    async def _receive(self, client: Client) -> None:
        times: deque[float] = deque(maxlen=BEATS_A_MINUTE)
        loop = asyncio.get_running_loop()
        try:
            await self._greet(client)
            while True:
                beat = _parse(Beat, await _next(client, BEAT_SECONDS if client.caller else None, "no heartbeat"))
                times.append(loop.time())
                caller = _may_beat(client, times)
                if loop.time() - client.noted_at >= NOTED_SECONDS:
                    client.noted_at = loop.time()
                    await asyncio.to_thread(self._note, caller, beat)
        except _EndError as end:
            client.end(end.code, end.reason)

    async def _greet(self, client: Client) -> None:
        hello = _parse(Hello, await _next(client, HELLO_SECONDS, "no hello"))
        if hello.token is not None:
            try:
                client.caller = self._accounts.caller(hello.token)
            except ProblemError as error:
                raise _EndError(POLICY, error.detail) from error
        client.greeted = True
        if text := await self._stats_message():
            client.offer(text)

    def _note(self, caller: Caller, beat: Beat) -> None:
        if caller.expires_at < self._accounts.seconds():
            raise _EndError(POLICY, "the token has expired")
        try:
            self._accounts.seen(caller.worker_id)
            if beat.batch_id is not None:
                self._queue.progress(caller.worker_id, beat.batch_id, beat.step)
        except PonwError as error:
            _log.warning("beat_not_noted", reason=error.message)


def _may_beat(client: Client, times: deque[float]) -> Caller:
    if len(times) == BEATS_A_MINUTE and times[-1] - times[0] < 60:
        raise _EndError(POLICY, "too many messages")
    if client.caller is None:
        raise _EndError(POLICY, "only volunteers send heartbeats: send a token with hello")
    return client.caller


async def _next(client: Client, seconds: float | None, missing: str) -> str:
    """The next message of text."""
    try:
        async with asyncio.timeout(seconds):
            message = await client.socket.receive()
    except TimeoutError as error:
        raise _EndError(POLICY, missing) from error
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", GOING_AWAY))
    text = message.get("text")
    if text is None or len(text) > MESSAGE_LIMIT:
        raise _EndError(BAD_DATA, f"messages are JSON text of up to {MESSAGE_LIMIT} bytes")
    return str(text)


def _parse(form: type[Message], text: str) -> Message:
    try:
        return form.model_validate_json(text)
    except ValidationError as error:
        raise _EndError(BAD_DATA, f"this is no {form.__name__.lower()}") from error


async def _close(client: Client) -> None:
    if client.socket.client_state is WebSocketState.CONNECTED:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await client.socket.close(*client.farewell)
        except (TimeoutError, RuntimeError, WebSocketDisconnect) as error:
            _log.debug("socket_lost", reason=str(error))  # the peer is gone, or reads nothing
