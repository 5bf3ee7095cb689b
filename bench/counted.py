"""Bytes that a node puts on its streams, by protocol, and those that its peer process puts on TCP."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from collections import Counter
from typing import Any, Final

from node.net.link import Control, Listener, PeerStream
from node.quorum.port import NetPort

_SENT: Final = re.compile(r"bytes_sent:(\d+)")


class Tally:
    """Bytes by protocol. Threads may share it."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, what: str, count: int) -> None:
        """So many more."""
        with self._lock:
            self._counts[what] += count

    def now(self) -> dict[str, int]:
        """Up to here."""
        with self._lock:
            return dict(self._counts)


class CountedStream(PeerStream):
    """A stream that counts what is written to it."""

    _tally: Tally
    _what: str

    def counting(self, tally: Tally, what: str) -> CountedStream:
        """Where to count."""
        self._tally, self._what = tally, what
        return self

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As socket.send."""
        sent = super().send(data, flags)
        self._tally.add(self._what, sent)
        return sent

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As socket.sendall."""
        super().sendall(data, flags)
        self._tally.add(self._what, memoryview(data).nbytes)


class CountedPort(NetPort):
    """The peer network as quorums and cohorts use it, counting."""

    def __init__(self, control: Control, clock: Any, tally: Tally) -> None:
        super().__init__(control, clock)
        self._tally = tally

    def dial(self, peer: str, protocol: str, timeout: float) -> socket.socket:
        """As NetPort.dial."""
        return self._counted(super().dial(peer, protocol, timeout), protocol)

    def listen(self, protocol: str) -> Listener:
        """As NetPort.listen."""
        return _CountedListener(super().listen(protocol), lambda stream: self._counted(stream, protocol))

    def publish(self, topic: str, body: bytes) -> int:
        """As NetPort.publish; counted once for every follower, though most of them hear it from one another."""
        followers = super().publish(topic, body)
        self._tally.add(f"topic {topic}", len(body) * followers)
        return followers

    def _counted(self, stream: socket.socket, protocol: str) -> CountedStream:
        made = CountedStream(stream.family, stream.type, 0, fileno=stream.detach())
        if isinstance(stream, PeerStream):
            made.attach(stream._control, stream._stream_number)
        return made.counting(self._tally, protocol)


class _CountedListener(Listener):
    def __init__(self, listener: Listener, counted: Any) -> None:  # wraps another; opens nothing
        self._listener, self._wrap = listener, counted

    def accept(self, timeout: float | None = None) -> tuple[str, PeerStream]:
        peer, stream = self._listener.accept(timeout)
        return peer, self._wrap(stream)

    def close(self) -> None:
        self._listener.close()


def tcp_sent(pid: int) -> int:
    """Bytes that the open TCP connections of a process have sent, acknowledgements and headers not counted: the
    kernel's own figure (``ss -tinp``)."""
    said = subprocess.run(["ss", "-tinpH"], check=True, capture_output=True, text=True, timeout=30).stdout
    total, ours = 0, False
    for line in said.splitlines():
        if not line[:1].isspace():
            ours = f"pid={pid}," in line
        elif ours and (found := _SENT.search(line)):
            total += int(found.group(1))
    return total
