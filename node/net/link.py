"""Requests to the peer process by its control socket: blocking, thread-safe, without libp2p. See node.net.client."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from google.protobuf.message import DecodeError

from node.net.errors import REASON_LIMIT, NetworkDownError, NetworkError, PeerLostError
from node.net.limits import BAN_SECONDS, CONTROL_FRAME_BYTES
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.control_pb2 import Reply, Request
from node.net.wire.hello_pb2 import Binding

CALL_SECONDS: Final = 60.0
"""For requests without a time of their own; a put asks up to 20 peers for up to 10 s, ten at a time."""
_MARGIN = 5.0


@dataclass(frozen=True)
class PeerInfo:
    """A peer. `stake` in wei; `score` 0 is clean, below is misbehaviour; `connected_since` Unix seconds or 0.

    `state` is "connected", "known", "refused" or "banned", and `reason` says why for the last two.
    """

    id: str
    account: str
    stake: int
    versions: Versions
    score: int
    addresses: tuple[str, ...]
    connected_since: int
    state: str
    reason: str


class PeerStream(socket.socket):
    """A connected UNIX socket that is a stream to a peer.

    Differs from a plain socket in one thing: where the peer broke off instead of finishing, `recv` and `recv_into`
    raise ConnectionResetError at the end, as TCP would; a UNIX socket alone could not tell the two apart.
    """

    _control: Control
    _stream_number: int

    def attach(self, control: Control, number: int) -> Self:
        """Remember whom to ask how the stream ended."""
        self._control, self._stream_number = control, number
        return self

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv; see the class."""
        data = super().recv(bufsize, flags)
        if not data and bufsize:
            self._check_ending()
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into; see the class."""
        size = super().recv_into(buffer, nbytes, flags)
        if not size and (nbytes or memoryview(buffer)):
            self._check_ending()
        return size

    def _check_ending(self) -> None:
        if self._control.was_cut(self._stream_number):
            raise ConnectionResetError("the peer broke the stream off, or was lost")


class Listener:
    """Streams of one protocol that peers open to us. Survives a restart of the peer process."""

    def __init__(self, control: Control, protocol: str) -> None:
        self._control, self._protocol = control, protocol
        self._lock = threading.Lock()
        self._closed = False
        self._socket: socket.socket | None = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def accept(self, timeout: float | None = None) -> tuple[str, PeerStream]:
        """(peer, stream) of the next one; call from one thread at a time.

        Raises:
            TimeoutError: none came in `timeout` seconds.
            NetworkDownError: the listener was closed, or the peer process does not run; try again after a pause.
        """
        with self._lock:
            while True:
                if self._closed:
                    raise NetworkDownError(f"The listener of {self._protocol} is closed.")
                if self._socket is None:
                    self._socket = self._open()
                offer = self._next(timeout)
                try:
                    return offer.peer, self._control.stream(Request(take=offer.number), CALL_SECONDS)
                except NetworkError as error:
                    if error.code != Refusal.NOT_FOUND:
                        raise
                    # It waited too long and is gone; the next may not be.

    def close(self) -> None:
        """Serve the protocol no more; a waiting accept ends."""
        self._closed = True
        if self._socket is not None:
            _shut(self._socket)

    def _next(self, timeout: float | None) -> Reply.Incoming:
        assert self._socket is not None  # noqa: S101 - narrows for the type checker
        self._socket.settimeout(timeout)
        try:
            reply = _receive(self._socket)
        except NetworkDownError:
            _shut(self._socket)
            self._socket = None
            raise
        return reply.incoming

    def _open(self) -> socket.socket:
        return self._control.open(Request(listen=self._protocol), CALL_SECONDS)[0]


class Control:
    """Requests to a running peer process by its control socket. `Network` adds starting and supervising it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def me(self) -> str:
        """Our peer id."""
        return self.state().peer

    def state(self) -> Reply.State:
        """Our peer id, addresses, account, versions, and the number of connected peers."""
        return self.call(Request(state=Request.Empty())).state

    def addresses(self) -> list[str]:
        """Where peers reach us: /ip4/HOST/tcp/PORT/p2p/PEER."""
        return list(self.state().addresses)

    def connect(self, address: str, timeout: float = 15.0) -> None:
        """Connect to a peer and wait until both admitted each other.

        Raises:
            NetworkError: refused, with the code and the reason. PeerLostError: not reached.
        """
        milli = int(timeout * 1000)
        self.call(Request(connect=Request.Connect(address=address, timeout_ms=milli)), 2 * timeout + _MARGIN)

    def peers(self) -> list[PeerInfo]:
        """The connected peers."""
        return [peer for peer in self.known() if peer.state == "connected"]

    def known(self) -> list[PeerInfo]:
        """Connected, remembered, refused and banned peers."""
        return [_info(row) for row in self.call(Request(peers=Request.Empty())).peers.peers]

    def dial(self, peer: str, protocol: str, timeout: float = 15.0) -> PeerStream:
        """A stream to a peer that serves `protocol` (/ponw/NAME/VERSION). The caller closes it; shutdown(SHUT_WR) ends
        our half, and closing before the peer finished cuts the stream off.

        Raises:
            PeerLostError: not reached, or it does not serve the protocol (code NOT_FOUND).
        """
        call = Request.Dial(peer=peer, protocol=protocol, timeout_ms=int(timeout * 1000))
        return self.stream(Request(dial=call), 3 * timeout + _MARGIN)

    def listen(self, protocol: str) -> Listener:
        """Serve a protocol; one listener each. A stream that is not accepted within 15 s is cut off.

        Raises:
            NetworkError: the protocol is served already.
        """
        return Listener(self, protocol)

    def publish(self, topic: str, body: bytes) -> int:
        """Announce to everyone (topics: node.net.topics); the number of peers that follow the topic.

        Raises:
            NetworkError: NOT_STAKED, TOO_LARGE, MALFORMED or NOT_FOUND.
        """
        return self.call(Request(publish=Request.Publish(topic=topic, body=body))).done.number

    @contextlib.contextmanager
    def subscribe(self, topic: str, timeout: float | None = None) -> Iterator[Iterator[tuple[str, bytes]]]:
        """Announcements of others as (peer, body), checked. Ends after `timeout` seconds without one, or with the peer
        process (then subscribe again). The process keeps 256 for a slow reader and drops the oldest above that.
        """
        link = self.open(Request(subscribe=topic), CALL_SECONDS)[0]
        try:
            link.settimeout(timeout)
            yield _messages(link)
        finally:
            _shut(link)

    def put(self, key: bytes, value: bytes) -> None:
        """Store a record in the DHT.

        Raises:
            NetworkError: the rules refuse it, a newer one stands, or NOT_STAKED.
        """
        self.call(Request(put=Request.Put(key=key, value=value)))

    def get(self, key: bytes) -> bytes | None:
        """The newest value of a key that was found, checked by the rules, or None."""
        value = self.call(Request(get=key)).value
        return value.value if value.found else None

    def ban(self, peer: str, reason: str, seconds: int = BAN_SECONDS) -> None:
        """Disconnect a peer and keep it out, a week at most."""
        self.call(Request(ban=Request.Ban(peer=peer, reason=reason, seconds=seconds)))

    def charge(self, peer: str, reason: str) -> None:
        """Put on a peer's record that it sent malformed bytes on a stream that we serve; enough of them ban it."""
        self.call(Request(charge=Request.Charge(peer=peer, reason=reason[:REASON_LIMIT])))

    def set_versions(self, versions: Versions) -> None:
        """What we say from now on."""
        self.call(Request(versions=versions))

    def set_binding(self, binding: Binding) -> None:
        """Whom we speak for from now on."""
        self.call(Request(binding=binding))

    def was_cut(self, number: int) -> bool:
        """Whether a stream was broken off rather than finished."""
        try:
            self.call(Request(ending=number))
        except NetworkError:
            return True
        return False

    def call(self, request: Request, timeout: float = CALL_SECONDS) -> Reply:
        """One request, one reply; raises the failure as NetworkError."""
        link, reply = self.open(request, timeout)
        link.close()
        return reply

    def stream(self, request: Request, timeout: float) -> PeerStream:
        """A request whose connection becomes a stream."""
        link, reply = self.open(request, timeout)
        link.settimeout(None)
        return PeerStream(link.family, link.type, 0, fileno=link.detach()).attach(self, reply.done.number)

    def open(self, request: Request, timeout: float) -> tuple[socket.socket, Reply]:
        """A connection on which `request` was accepted.

        Raises:
            NetworkDownError: the process does not run or does not answer. NetworkError: it refuses.
        """
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.settimeout(timeout)
            link.connect(str(self._path))
            data = request.SerializeToString()
            link.sendall(len(data).to_bytes(4) + data)
            reply = _receive(link)
        except TimeoutError as error:
            link.close()
            raise NetworkDownError(f"The peer process gave no answer in {timeout:.0f} s.", _HINT) from error
        except (OSError, NetworkDownError) as error:
            link.close()
            raise NetworkDownError("The peer process does not run, or was lost.", _HINT) from error
        if reply.WhichOneof("reply") == "failure":
            link.close()
            raise _failure(reply.failure)
        return link, reply


_HINT = "`ponw run` starts it (setting `p2p`); see net/process.log in the home folder."


def _failure(failure: Reply.Failure) -> NetworkError:
    lost = failure.refusal.code in {Refusal.NOT_FOUND, Refusal.BUSY}
    kind = PeerLostError if lost else NetworkError
    return kind(failure.refusal.reason, failure.hint, failure.refusal.code)


def _info(row: Reply.Peer) -> PeerInfo:
    addresses, stake = tuple(row.addresses), int(row.stake or 0)
    return PeerInfo(row.peer, row.account, stake, row.versions, row.score, addresses, row.since, row.state, row.reason)


def _messages(link: socket.socket) -> Iterator[tuple[str, bytes]]:
    while True:
        try:
            message = _receive(link).message
        except (NetworkDownError, TimeoutError):
            return
        yield message.peer, message.body


def _receive(link: socket.socket) -> Reply:
    size = int.from_bytes(_exactly(link, 4))
    if size > CONTROL_FRAME_BYTES:
        raise NetworkDownError("The peer process does not speak our protocol.", _HINT)
    try:
        return Reply.FromString(_exactly(link, size))
    except DecodeError as error:
        raise NetworkDownError("The peer process does not speak our protocol.", _HINT) from error


def _exactly(link: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            part = link.recv(size - len(data))
        except TimeoutError:
            raise
        except OSError as error:
            raise NetworkDownError("The peer process was lost.", _HINT) from error
        if not part:
            raise NetworkDownError("The peer process was lost.", _HINT)
        data += part
    return bytes(data)


def _shut(link: socket.socket) -> None:
    """Close, and wake a thread that reads."""
    with contextlib.suppress(OSError):  # not connected any more: nothing waits on it
        link.shutdown(socket.SHUT_RDWR)
    link.close()
