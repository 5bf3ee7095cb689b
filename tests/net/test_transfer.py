"""Bulk transfers by content root: whole and right, or refused with the peer's name; through kills and liars."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transfer_peers import JUDGE, MIB, VERSIONS, bytes_of, honest, next_want, served

from consensus.commitments.tensors import tensor_root
from node.artefacts.errors import ArtefactHashError, ArtefactMissingError, PeerUnreachableError
from node.net.catalogue import CHUNK_BYTES, Catalogue, MemorySource, chunk_root, content_root
from node.net.frames import FrameError, FrameSocket, SilentError
from node.net.sinks import FileSink, sweep_partials
from node.net.transfer import (
    BadContentError,
    RefusedError,
    UnreachableError,
    Wanted,
    WrongChunkError,
    fetch,
    fetch_bytes,
    same_versions,
    serve,
)
from node.net.transfer_types import UnderWayError
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.transfer_pb2 import Chunk, Content, Frame

PEERS = Path(__file__).with_name("transfer_peers.py")
ROOT_FOLDER = Path(__file__).resolve().parents[2]


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT_FOLDER), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(PEERS), *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )


@given(st.sampled_from([0, 1, 1023, 1024, 1025, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 1025]))
@settings(max_examples=10)
def test_chunk_roots_lead_to_the_tensor_root(size: int) -> None:
    data = bytes_of("content", size)
    assert content_root(MemorySource(data).chunk_roots) == tensor_root(data)


@pytest.mark.parametrize("size", [0, 1, 1024, MIB, 3 * MIB + 5])
def test_many_requests_on_one_stream(tmp_path: Path, size: int) -> None:
    catalogue = Catalogue()
    data = bytes_of("many", size)
    path = tmp_path / "source"
    path.write_bytes(data)
    root = catalogue.add_file(path)
    with served(honest(catalogue)) as stream:
        for turn in range(3):
            target = fetch(stream, Wanted(root), tmp_path / f"got{turn}", VERSIONS, peer="server")
            assert target.read_bytes() == data
            assert fetch_bytes(stream, Wanted(root, size=size), VERSIONS, peer="server") == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got0", "got1", "got2", "source"]


def test_refusals_name_the_reason_and_leave_the_stream_usable() -> None:
    catalogue = Catalogue()
    root = catalogue.add_bytes(b"here")
    slots = threading.BoundedSemaphore(1)
    others = {
        Refusal.OTHER_NETWORK: Versions(network=b"m" * 32, arch_version=1, vocab_version=2),
        Refusal.OTHER_ARCHITECTURE: Versions(network=b"n" * 32, arch_version=2, vocab_version=2),
        Refusal.OTHER_VOCABULARY: Versions(network=b"n" * 32, arch_version=1, vocab_version=1),
    }
    with served(lambda stream: serve(stream, catalogue, JUDGE, peer="client", slots=slots)) as stream:
        for code, versions in others.items():
            with pytest.raises(RefusedError) as refused:
                fetch_bytes(stream, Wanted(root), versions, peer="server")
            assert refused.value.code == code
        with pytest.raises(ArtefactMissingError, match="server refuses: NOT_FOUND"):
            fetch_bytes(stream, Wanted(b"\1" * 32), VERSIONS, peer="server")
        with slots, pytest.raises(RefusedError, match="BUSY"):
            fetch_bytes(stream, Wanted(root), VERSIONS, peer="server")
        assert fetch_bytes(stream, Wanted(root), VERSIONS, peer="server") == b"here"


def test_another_quorum_is_refused() -> None:
    judge = same_versions(Versions(network=b"n" * 32, quorum=b"q" * 32))
    said_no = judge(Versions(network=b"n" * 32, quorum=b"r" * 32))
    assert said_no is not None and said_no.code == Refusal.OTHER_QUORUM
    assert judge(Versions(network=b"n" * 32, quorum=b"q" * 32)) is None


def test_a_file_that_changed_is_no_longer_given(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(bytes_of("old", 3 * MIB))
    catalogue = Catalogue()
    root = catalogue.add_file(path)
    with path.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(b"new")
    with served(honest(catalogue)) as stream:
        for change in (lambda: None, lambda: os.truncate(path, 10), path.unlink):
            change()
            with pytest.raises(RefusedError, match="NOT_FOUND") as refused:
                fetch(stream, Wanted(root), tmp_path / "got", VERSIONS, peer="server")
            assert not refused.value.at_fault
    assert not (tmp_path / "got").exists()


# --- liars ---


def lying(data: bytes, wrong: int) -> object:
    """Serves `data` with one bit of chunk `wrong` turned; the chunks after it must not be asked for or read."""

    def handle(stream: socket.socket) -> None:
        frames = FrameSocket(stream, "client")
        want, source = next_want(frames), MemorySource(data)
        frames.send(Frame(content=Content(root=want.root, size=len(data), chunk_roots=source.chunk_roots)), 30)
        for index in range(want.first_chunk, wrong + 1):
            chunk = bytearray(source.read(index))
            chunk[-1] ^= index == wrong
            frames.send(Frame(chunk=Chunk(index=index, data=bytes(chunk))), 30)

    return handle


def test_a_wrong_chunk_stops_at_once_and_the_next_peer_goes_on_there(tmp_path: Path) -> None:
    data, target = bytes_of("lied about", 4 * MIB + 3), tmp_path / "got"
    catalogue = Catalogue()
    root = catalogue.add_bytes(data)
    with served(lying(data, 2)) as stream, pytest.raises(WrongChunkError, match="liar sent a wrong chunk 2") as wrong:
        fetch(stream, Wanted(root), target, VERSIONS, peer="liar")
    assert (wrong.value.peer, wrong.value.chunk, wrong.value.at_fault) == ("liar", 2, True)
    assert isinstance(wrong.value, ArtefactHashError)
    with FileSink(target, root) as sink:
        assert sink.path.stat().st_size == 2 * MIB
    read: list[int] = []
    source = catalogue.find(root)
    assert source is not None
    reading = source.read
    source.read = lambda index: (read.append(index), reading(index))[1]  # type: ignore[method-assign]
    with served(honest(catalogue)) as stream:
        fetch(stream, Wanted(root), target, VERSIONS, peer="server")
    assert target.read_bytes() == data
    assert read == [2, 3, 4]


DATA = bytes_of("described", 2 * MIB)
ROOTS = MemorySource(DATA).chunk_roots
ROOT = content_root(ROOTS)
LIES = {
    "another root": Content(root=b"\0" * 32, size=len(DATA), chunk_roots=ROOTS),
    "too large": Content(root=ROOT, size=1 << 40, chunk_roots=ROOTS),
    "larger than wanted": Content(root=ROOT, size=len(DATA) + 1, chunk_roots=ROOTS),
    "a root too few": Content(root=ROOT, size=len(DATA), chunk_roots=ROOTS[:32]),
    "half a root": Content(root=ROOT, size=len(DATA), chunk_roots=ROOTS[:48]),
    "other roots": Content(root=ROOT, size=len(DATA), chunk_roots=ROOTS[32:] + ROOTS[:32]),
    "the root as its only chunk": Content(root=ROOT, size=MIB, chunk_roots=ROOT),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_content_that_is_not_the_one_asked_for(lie: str) -> None:
    def handle(stream: socket.socket) -> None:
        frames = FrameSocket(stream, "client")
        next_want(frames)
        with contextlib.suppress(SilentError):  # the other side may have gone already
            frames.send(Frame(content=LIES[lie]), 30)
            frames.send(Frame(chunk=Chunk(index=0, data=DATA[:MIB])), 30)

    with served(handle) as stream, pytest.raises((BadContentError, WrongChunkError)) as bad:
        fetch_bytes(stream, Wanted(ROOT, limit=len(DATA)), VERSIONS, peer="liar")
    assert bad.value.at_fault and bad.value.peer == "liar"


BREAKS = {
    "nothing": b"",
    "part of a length": b"\0\0",
    "a huge length": b"\xff\xff\xff\xff",
    "no length": b"\0\0\0\0",
    "half a message": b"\0\0\0\x40half",
    "not protobuf": b"\0\0\0\4\xff\xff\xff\xff",
    "an empty frame": b"\0\0\0\2\x1a\0",
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_server_that_answers_nonsense(what: str) -> None:
    def handle(stream: socket.socket) -> None:
        next_want(FrameSocket(stream, "client"))
        stream.sendall(BREAKS[what])

    with served(handle) as stream, pytest.raises((BadContentError, UnreachableError)) as bad:
        fetch_bytes(stream, Wanted(ROOT), VERSIONS, peer="liar")
    assert isinstance(bad.value, PeerUnreachableError) == (what in {"nothing", "part of a length", "half a message"})
    assert bad.value.at_fault != isinstance(bad.value, PeerUnreachableError)


def test_a_silent_server_ends_the_fetch_in_its_time() -> None:
    def handle(stream: socket.socket) -> None:
        frames = FrameSocket(stream, "client")
        next_want(frames)
        frames.send(Frame(content=Content(root=ROOT, size=len(DATA), chunk_roots=ROOTS)), 30)
        while stream.recv(1):  # until the other side gives up
            pass

    with served(handle) as stream, pytest.raises(UnreachableError, match="sent nothing complete"):
        fetch_bytes(stream, Wanted(ROOT), VERSIONS, peer="silent", chunk_s=0.05)


# --- back-pressure and time limits of the server ---


def test_the_server_goes_no_faster_than_the_peer_reads() -> None:
    data = bytes_of("slow", 12 * MIB)
    source, read, blocked = MemorySource(data), [], threading.Event()
    catalogue = Catalogue()
    root = catalogue.add_bytes(data)
    found = catalogue.find(root)
    assert found is not None
    found.read = lambda index: (read.append(index), source.read(index))[1]  # type: ignore[method-assign]

    def handle(stream: socket.socket) -> None:
        with pytest.raises(SilentError, match="took no message"):
            serve(stream, catalogue, JUDGE, peer="client", chunk_s=0.2)
        blocked.set()

    with served(handle) as stream:
        FrameSocket(stream, "server").send(Frame(want={"versions": VERSIONS, "root": root, "chunks": 99}), 30)
        assert blocked.wait(30)
    assert len(read) <= 3  # what the two socket buffers hold, and the one in hand


def test_an_idle_peer_is_let_go_and_a_stalling_one_is_told_so() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        serve(theirs, Catalogue(), JUDGE, peer="client", idle_s=0.01)  # returns
        ours.sendall(b"\0\0\0\x20")
        frames = FrameSocket(theirs, "client")
        with pytest.raises(SilentError, match="client sent nothing complete"):
            frames.receive(Frame, 100, 0.01)


# --- interrupted fetches ---


def test_torn_and_foreign_bytes_of_an_unfinished_file_are_fetched_again(tmp_path: Path) -> None:
    data, target = bytes_of("torn", 3 * MIB + 9), tmp_path / "got"
    catalogue = Catalogue()
    root = catalogue.add_bytes(data)
    with FileSink(target, root) as sink:
        partial = sink.path
    for left in (data[: 2 * MIB + 77], data[:MIB] + b"x" * (2 * MIB), data + b"more", data, b""):
        partial.write_bytes(left)
        with served(honest(catalogue)) as stream:
            fetch(stream, Wanted(root), target, VERSIONS, peer="server")
        assert target.read_bytes() == data
        assert not partial.exists()
        target.unlink()


def test_two_fetches_to_one_file_do_not_mix(tmp_path: Path) -> None:
    with FileSink(tmp_path / "got", ROOT), pytest.raises(UnderWayError), FileSink(tmp_path / "got", ROOT):
        pass


def test_old_leftovers_are_swept(tmp_path: Path) -> None:
    with FileSink(tmp_path / "got", ROOT) as sink:
        sink.take(b"part")
        path = sink.path
    written = path.stat().st_mtime
    assert sweep_partials(tmp_path, written) == 0
    assert sweep_partials(tmp_path, written + 1) == 1
    assert not path.exists()


def test_kill_in_the_middle_and_resume_between_processes(tmp_path: Path) -> None:
    """The fetcher is killed (-9) once part of the file is on disk; a second one asks only for what is missing."""
    data, target = bytes_of("killed", 12 * MIB + 321), tmp_path / "got"
    catalogue = Catalogue()
    root = catalogue.add_bytes(data)
    source, killed, read = catalogue.find(root), threading.Event(), list[int]()
    assert source is not None
    reading = source.read

    def wait_at_the_sixth(index: int) -> bytes:
        read.append(index)
        assert index < 6 or killed.wait(60)
        return reading(index)

    source.read = wait_at_the_sixth  # type: ignore[method-assign]
    with FileSink(target, root) as sink:
        partial = sink.path
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        fetcher = start(str(listener.getsockname()[1]), root.hex(), str(target))
        stream = listener.accept()[0]
        thread = threading.Thread(target=serve_to_the_end, args=(stream, catalogue))
        thread.start()
        while partial.stat().st_size < 6 * MIB:
            assert fetcher.poll() is None
        fetcher.kill()
        fetcher.wait(30)
        killed.set()
        thread.join(30)
        assert not target.exists()
        del read[:]
        fetcher = start(str(listener.getsockname()[1]), root.hex(), str(target))
        serve_to_the_end(listener.accept()[0], catalogue)
        assert fetcher.wait(30) == 0
    assert target.read_bytes() == data
    assert read == list(range(6, 13))
    assert not partial.exists()


def serve_to_the_end(stream: socket.socket, catalogue: Catalogue) -> None:
    with stream, contextlib.suppress(SilentError):  # a killed peer
        serve(stream, catalogue, JUDGE, peer="client")


# --- anything at all ---


def malformed(draw: random.Random, root: bytes) -> bytes:
    """One message that no honest peer sends: of a wrong length, of random bytes, or a real one with bytes changed."""
    real = Frame(want={"versions": VERSIONS, "root": root, "first_chunk": 0, "chunks": 1}).SerializeToString()
    kind = draw.randrange(5)
    if kind == 0:
        return draw.randbytes(draw.randrange(1, 64))
    if kind == 1:
        return draw.randrange(1 << 10, 1 << 32).to_bytes(4, "big") + draw.randbytes(64)
    if kind == 2:
        body = draw.randbytes(draw.randrange(1, 200))
    elif kind == 3:
        body = bytearray(real)
        for _ in range(draw.randrange(1, 4)):
            body[draw.randrange(len(body))] = draw.randrange(256)
    else:
        numbers = {"first_chunk": draw.randrange(1 << 32), "chunks": draw.randrange(1 << 32)}
        wrong = {"versions": VERSIONS, "root": draw.randbytes(draw.choice([0, 31, 32, 33])), **numbers}
        body = Frame(want=wrong).SerializeToString()
    return len(body).to_bytes(4, "big") + bytes(body[: draw.randrange(1, len(body) + 1)])


def test_ten_thousand_malformed_requests(tmp_path: Path) -> None:
    """Each on its own stream: the server refuses or answers, raises only its own errors, and keeps no memory."""
    catalogue = Catalogue()
    root = catalogue.add_bytes(b"small")
    draw = random.Random(20)  # noqa: S311 - a reproducible test
    outcomes = {"ended": 0, "broke the protocol": 0, "silent": 0}
    before = 0
    for number in range(10_000):
        if number == 1_000:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(malformed(draw, root))
            ours.shutdown(socket.SHUT_WR)
            try:
                serve(theirs, catalogue, JUDGE, peer="client", idle_s=5)
                outcomes["ended"] += 1
            except FrameError:
                outcomes["broke the protocol"] += 1
            except SilentError:
                outcomes["silent"] += 1
    assert outcomes["broke the protocol"] > 3_000
    assert outcomes["silent"] > 1_000  # cut off
    assert sum(outcomes.values()) == 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4 << 10  # KiB
    with served(honest(catalogue)) as stream:
        assert fetch_bytes(stream, Wanted(root), VERSIONS, peer="server") == b"small"


def test_the_lock_is_the_systems(tmp_path: Path) -> None:
    """A killed fetch leaves no lock behind: it belongs to the open file."""
    with FileSink(tmp_path / "got", ROOT) as sink:
        path = sink.path
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert CHUNK_BYTES == MIB
    assert chunk_root(b"a") == tensor_root(b"a")
