"""The node's side door to its peer process: requests over a UNIX socket (mode 600), one a connection."""

from __future__ import annotations

import logging
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import trio
from google.protobuf.message import DecodeError, Message

from node.errors import ConfigError, PonwError
from node.net.desk import Desk
from node.net.errors import NetworkError, PeerLostError, malformed
from node.net.gossip import Follower
from node.net.limits import (
    CONTROL_CONNECTIONS,
    CONTROL_FRAME_BYTES,
    ENDINGS_MAX,
    INCOMING_QUEUE,
    INCOMING_SECONDS,
    SOCKET_PATH_BYTES,
)
from node.net.splice import splice
from node.net.wire.common_pb2 import Refusal
from node.net.wire.control_pb2 import Reply, Request
from node.paths import PRIVATE_FILE

log = logging.getLogger(__name__)
M = TypeVar("M", bound=Message)
LOCAL_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)
LOOK = "What happened stands in net/process.log in the home folder."


def socket_path(path: Path) -> str:
    """The path as the system takes it.

    Raises:
        ConfigError: it is too long for a UNIX socket.
    """
    text = str(path)
    if len(text.encode()) > SOCKET_PATH_BYTES:
        raise ConfigError(f"The path {text} is too long for a socket.", "Choose a home folder with a shorter path.")
    return text


class Incoming:
    """A peer's stream that waits to be taken by the node."""

    def __init__(self, peer: str, stream: Any) -> None:
        self.peer, self.stream = peer, stream
        self.local: trio.SocketStream | None = None
        self.taken, self.ended = trio.Event(), trio.Event()


class ControlServer:
    """Serves the control socket for one `Desk`, which does the work."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._numbers = 0
        self._incoming: dict[int, Incoming] = {}
        self._endings: OrderedDict[int, bool] = OrderedDict()
        self._open = 0

    async def serve(self, path: Path, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled. A socket of a process that was killed is replaced."""
        text = socket_path(path)
        path.unlink(missing_ok=True)
        listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        await listener.bind(text)
        path.chmod(PRIVATE_FILE)
        listener.listen(64)
        task_status.started()
        await trio.serve_listeners(self._connection, [trio.SocketListener(listener)])

    async def _connection(self, local: trio.SocketStream) -> None:
        if self._open >= CONTROL_CONNECTIONS:
            await local.aclose()
            return
        self._open += 1
        try:
            await self._request(local)
        except LOCAL_GONE:
            log.debug("the node closed a control connection")
        except Exception:
            log.exception("a control connection failed")  # as above; what it carried may be a stream's bytes by now
        finally:
            self._open -= 1
            with trio.CancelScope(shield=True):
                await local.aclose()

    async def _request(self, local: trio.SocketStream) -> None:
        try:
            request = await receive(local, Request)
            if request is None:
                return
            kind = request.WhichOneof("request")
            long: dict[str | None, Callable[[Request, trio.SocketStream], Any]] = {
                "dial": self._dial,
                "listen": self._listen,
                "take": self._take,
                "subscribe": self._subscribe,
            }
            if kind in long:
                await long[kind](request, local)
            else:
                await send(local, await self._short(kind, request))
        except PonwError as error:
            await send(local, failure(error))

    async def _short(self, kind: str | None, request: Request) -> Reply:
        if kind == "ending":
            return self._ending(request.ending)
        try:
            return await self._desk.handle(kind, request)
        except PonwError:
            raise
        except Exception as error:
            # The library raises anything where its own state is odd; one request must not end the host for all.
            log.exception("a request of the node failed")
            return failure(NetworkError(f"The peer process failed: {type(error).__name__}.", LOOK))

    def _ending(self, number: int) -> Reply:
        if number in self._endings:
            return Reply(done=Reply.Done(number=number))
        return failure(PeerLostError("The peer cut the stream off, or was lost."))

    async def _dial(self, request: Request, local: trio.SocketStream) -> None:
        call = request.dial
        stream = await self._desk.open_stream(call.peer, call.protocol, call.timeout_ms / 1000)
        number = self._number()
        await send(local, Reply(done=Reply.Done(number=number)))
        await splice(stream, local, lambda: self._finished(number))

    async def _listen(self, request: Request, local: trio.SocketStream) -> None:
        offers, waiting = trio.open_memory_channel[tuple[int, str]](INCOMING_QUEUE)

        async def incoming(peer: str, stream: Any) -> None:
            await self._offer(offers, peer, stream)

        self._desk.listen(request.listen, incoming)
        try:
            await send(local, Reply(done=Reply.Done()))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_closed, local, nursery.cancel_scope)
                async for number, peer in waiting:
                    await send(local, Reply(incoming=Reply.Incoming(peer=peer, number=number)))
        except* LOCAL_GONE:
            log.debug("a listener is closed")
        finally:
            self._desk.unlisten(request.listen)

    async def _offer(self, offers: trio.MemorySendChannel[tuple[int, str]], peer: str, stream: Any) -> None:
        """Runs as the stream's handler: waits until the node takes the stream, then carries its bytes."""
        number, entry = self._number(), Incoming(peer, stream)
        self._incoming[number] = entry
        try:
            try:
                offers.send_nowait((number, peer))
            except (trio.WouldBlock, *LOCAL_GONE):
                raise PeerLostError("Too many streams wait to be taken.") from None
            with trio.move_on_after(INCOMING_SECONDS):
                await entry.taken.wait()
        finally:
            del self._incoming[number]
        if entry.local is None:
            raise PeerLostError("The node did not take the stream in time.")
        try:
            await splice(stream, entry.local, lambda: self._finished(number))
        finally:
            entry.ended.set()

    async def _take(self, request: Request, local: trio.SocketStream) -> None:
        entry = self._incoming.get(request.take)
        if entry is None or entry.taken.is_set():
            raise NetworkError("That stream is gone.", "Accept sooner.", Refusal.NOT_FOUND)
        entry.local = local
        entry.taken.set()
        await send(local, Reply(done=Reply.Done(number=request.take)))
        await entry.ended.wait()

    async def _subscribe(self, request: Request, local: trio.SocketStream) -> None:
        follower: Follower = self._desk.follow(request.subscribe)
        try:
            await send(local, Reply(done=Reply.Done()))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_closed, local, nursery.cancel_scope)
                async for peer, body, lost in follower.receive:
                    await send(local, Reply(message=Reply.Message(peer=peer, body=body, dropped=lost)))
        except* LOCAL_GONE:
            log.debug("a subscriber is gone")
        finally:
            self._desk.unfollow(follower)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _finished(self, number: int) -> None:
        self._endings[number] = True
        while len(self._endings) > ENDINGS_MAX:
            self._endings.popitem(last=False)


def failure(error: PonwError) -> Reply:
    """A failure as the client takes it apart."""
    refusal = error.refusal() if isinstance(error, NetworkError) else Refusal(reason=error.message[:500])
    return Reply(failure=Reply.Failure(refusal=refusal, hint=error.hint))


async def send(local: trio.SocketStream, message: Message) -> None:
    """One frame."""
    data = message.SerializeToString()
    await local.send_all(struct.pack(">I", len(data)) + data)


async def receive(local: trio.SocketStream, kind: type[M]) -> M | None:
    """One frame, byte for byte no further, because raw bytes may follow; None where nothing came.

    Raises:
        NetworkError: too long, cut off, or no such message.
    """
    head = await _exactly(local, 4)
    if not head:
        return None
    (size,) = struct.unpack(">I", head)
    if size > CONTROL_FRAME_BYTES:
        raise malformed("A control frame that is too long.", Refusal.TOO_LARGE)
    message = kind()
    try:
        message.ParseFromString(await _exactly(local, size))
    except DecodeError as error:
        raise malformed("A control frame of no known message.") from error
    return message


async def _exactly(local: trio.SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await local.receive_some(size - len(data))
        if not part:
            if data:
                raise malformed("A control frame that was cut off.")
            return b""
        data += part
    return data


async def _until_closed(local: trio.SocketStream, scope: trio.CancelScope) -> None:
    """The node says nothing more on these connections; it closes them."""
    try:
        await local.receive_some(1)
    except LOCAL_GONE:
        log.debug("closed")
    scope.cancel()
