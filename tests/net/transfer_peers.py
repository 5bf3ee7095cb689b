"""Peers for the transfer tests: an honest server, liars, and a process that fetches."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from node.net.catalogue import Catalogue
from node.net.frames import FrameSocket
from node.net.transfer import Wanted, fetch, same_versions, serve
from node.net.wire.common_pb2 import Versions
from node.net.wire.transfer_pb2 import Frame, Want

VERSIONS = Versions(network=b"n" * 32, arch_version=1, vocab_version=2)
JUDGE = same_versions(VERSIONS)
MIB = 1 << 20


def bytes_of(name: str, size: int) -> bytes:
    """Reproducible bytes that do not repeat."""
    return hashlib.shake_256(name.encode()).digest(size)


@contextmanager
def served(serving: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """A socket whose other end `serving` handles in a thread, which has ended when the block is left."""
    ours, theirs = socket.socketpair()
    failed: list[BaseException] = []

    def run() -> None:
        with theirs:
            try:
                serving(theirs)
            except Exception as error:  # noqa: BLE001 - handed to the test
                failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join(30)
    assert not thread.is_alive()
    if failed:
        raise failed[0]


def honest(catalogue: Catalogue, **options: float) -> Callable[[socket.socket], None]:
    """A server as the node runs it."""
    return lambda stream: serve(stream, catalogue, JUDGE, peer="client", **options)


def next_want(frames: FrameSocket) -> Want:
    """What a liar is asked for."""
    return frames.receive(Frame, 1 << 10, 30).want


def main(port: str, root: str, target: str) -> None:
    """Fetch once from a server on this machine."""
    with socket.create_connection(("127.0.0.1", int(port))) as stream:
        fetch(stream, Wanted(bytes.fromhex(root)), Path(target), VERSIONS, peer="server")


if __name__ == "__main__":
    main(*sys.argv[1:])
