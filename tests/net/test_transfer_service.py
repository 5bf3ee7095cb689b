"""Many peers at once: each is served, none disturbs another, and what is open stays bounded."""

from __future__ import annotations

import queue
import socket
import threading

import pytest
from transfer_peers import JUDGE, MIB, VERSIONS, bytes_of

from node.errors import PeerError
from node.net.catalogue import Catalogue
from node.net.giving import TransferService
from node.net.transfer import RefusedError, UnreachableError, Wanted, fetch_bytes


class Door:
    """Streams as a peer network hands them over."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[str, socket.socket] | PeerError] = queue.Queue()

    def open(self, peer: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        self._waiting.put((peer, theirs))
        return ours

    def fail(self) -> None:
        self._waiting.put(PeerError("the network restarts"))

    def accept(self, timeout: float | None = None) -> tuple[str, socket.socket]:
        try:
            arrived = self._waiting.get(timeout=timeout)
        except queue.Empty as error:
            raise TimeoutError from error
        if isinstance(arrived, PeerError):
            raise arrived
        return arrived


@pytest.fixture
def blamed() -> queue.Queue[tuple[str, str]]:
    return queue.Queue()


def test_many_peers_among_broken_ones(blamed: queue.Queue[tuple[str, str]]) -> None:
    catalogue, door = Catalogue(), Door()
    data = bytes_of("shared", 2 * MIB + 1)
    root = catalogue.add_bytes(data)
    got: list[bytes] = []

    def take(number: int) -> None:
        with door.open(f"peer {number}") as stream:
            got.append(fetch_bytes(stream, Wanted(root), VERSIONS, peer="server"))

    with TransferService(door, catalogue, JUDGE, lambda *what: blamed.put(what)):
        with door.open("broken") as broken:
            broken.sendall(b"\xff\xff\xff\xff")
            assert blamed.get(timeout=30)[0] == "broken"
        door.fail()
        threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert got == [data] * 6
    assert blamed.empty()


def test_streams_and_answers_are_bounded(blamed: queue.Queue[tuple[str, str]]) -> None:
    catalogue, door = Catalogue(), Door()
    root = catalogue.add_bytes(b"small")
    reading, go_on = threading.Event(), threading.Event()
    source = catalogue.find(root)
    assert source is not None
    taken = source.read

    def wait(index: int) -> bytes:
        reading.set()
        assert go_on.wait(60)
        return taken(index)

    source.read = wait  # type: ignore[method-assign]
    with TransferService(door, catalogue, JUDGE, lambda *what: blamed.put(what), answers=1, streams=2) as service:
        first, second, third = (door.open(name) for name in ("first", "second", "third"))
        got: list[bytes] = []
        slow = threading.Thread(target=lambda: got.append(fetch_bytes(first, Wanted(root), VERSIONS, peer="server")))
        slow.start()
        assert reading.wait(60)
        with pytest.raises(RefusedError, match="BUSY"):
            fetch_bytes(second, Wanted(root), VERSIONS, peer="server")
        with pytest.raises(UnreachableError):
            fetch_bytes(third, Wanted(root), VERSIONS, peer="server")
        assert service.streams == 2
        go_on.set()
        slow.join(60)
        assert fetch_bytes(second, Wanted(root), VERSIONS, peer="server") == b"small"
    assert got == [b"small"]
    assert first.recv(1) == second.recv(1) == b""  # the service ended them
    for stream in (first, second, third):
        stream.close()
    assert service.streams == 0
