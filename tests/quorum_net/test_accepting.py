"""Streams handled a few at a time: no one waits for another, and no more are open than allowed."""

from __future__ import annotations

import queue
import socket
import threading

from node.net.accepting import Threads, accept_each


class Incoming:
    """Streams of one protocol, over real sockets."""

    def __init__(self) -> None:
        self.queue: queue.Queue[tuple[str, socket.socket]] = queue.Queue()

    def accept(self, timeout: float | None = None) -> tuple[str, socket.socket]:
        try:
            return self.queue.get(timeout=timeout)
        except queue.Empty as error:
            raise TimeoutError from error

    def open(self, peer: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.queue.put((peer, theirs))
        return ours


def test_streams_are_handled_at_once_up_to_a_bound() -> None:
    incoming, closing, both = Incoming(), threading.Event(), threading.Barrier(3)

    def handle(peer: str, stream: socket.socket) -> None:
        with stream:
            both.wait(30)  # passes only while another stream is being handled
            stream.sendall(peer.encode())
            stream.recv(1)

    serving = Threads("served", handle, 2)
    accepting = threading.Thread(target=accept_each, args=(incoming, closing, serving.start))
    accepting.start()
    first, second = incoming.open("a"), incoming.open("b")
    both.wait(30)
    assert {first.recv(1), second.recv(1)} == {b"a", b"b"}
    third = incoming.open("c")
    assert third.recv(1) == b""  # refused: two are open
    for stream in (first, second):
        stream.close()
    closing.set()
    accepting.join(30)
    assert not accepting.is_alive()
    third.close()
