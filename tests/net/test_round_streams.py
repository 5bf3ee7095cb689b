"""Published rounds over streams: the same answers as over HTTP, and the same refusals of what does not match."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transfer_peers import JUDGE, MIB, VERSIONS, bytes_of

from node.artefacts.client import ArtefactClient
from node.artefacts.errors import ArtefactHashError, ArtefactMissingError, ArtefactSizeError, PeerUnreachableError
from node.artefacts.layout import INDEX_NAME
from node.artefacts.publisher import RoundPublisher
from node.artefacts.server import create_app
from node.artefacts.serving import serve_in_thread
from node.errors import PeerError
from node.net.catalogue import Catalogue
from node.net.frames import SilentError
from node.net.rounds import RoundCatalogue, StreamArtefacts
from node.net.transfer import BadContentError, locate, serve

LEAVES = [bytes([step]) * 72 for step in range(5)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "artefacts"
    publisher = RoundPublisher(root, 3)
    publisher.put_trace(LEAVES)
    publisher.put_update({"w": torch.arange(6.0)})
    source = tmp_path / "large"
    source.write_bytes(bytes_of("checkpoint", 3 * MIB + 7))
    publisher.put_checkpoint(0, source)
    publisher.finish()
    return root


class Server:
    """Serves every stream that `dial` opens; streams after which `cut` says so end in the middle."""

    def __init__(self, catalogue: Catalogue, cut: int = 0) -> None:
        self._catalogue, self._cut = catalogue, cut
        self._threads: list[threading.Thread] = []
        self.dialled = 0

    def dial(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.dialled += 1
        cut = self.dialled <= self._cut
        self._threads.append(threading.Thread(target=self._serve, args=(theirs, cut)))
        self._threads[-1].start()
        return ours

    def _serve(self, stream: socket.socket, cut: bool) -> None:
        with stream, contextlib.suppress(SilentError):
            serve(Cut(stream) if cut else stream, self._catalogue, JUDGE, peer="client")  # type: ignore[arg-type]

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


class Cut:
    """A socket that breaks within the second chunk."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream, self._left = stream, MIB + (MIB >> 1)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def sendall(self, data: bytes) -> None:
        self._stream.sendall(data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            self._stream.shutdown(socket.SHUT_RDWR)
            raise BrokenPipeError(32, "cut")


@pytest.fixture
def opened() -> Iterator[Callable[..., StreamArtefacts]]:
    made: list[tuple[Server, StreamArtefacts]] = []

    def open_client(catalogue: Catalogue, cut: int = 0) -> StreamArtefacts:
        server = Server(catalogue, cut)
        made.append((server, StreamArtefacts(server.dial, "peer", VERSIONS, attempts=3, backoff_s=0)))
        return made[-1][1]

    yield open_client
    for server, client in made:
        client.close()
        server.join()


def test_answers_as_over_http(root: Path, tmp_path: Path, opened: Callable[..., StreamArtefacts]) -> None:
    client = opened(RoundCatalogue(root))
    with serve_in_thread(create_app(root), "127.0.0.1", 0) as serving, ArtefactClient(serving.uri) as plain:
        index = client.index(3)
        assert index == plain.index(3)
        for entry in index.files:
            got = client.fetch(index, entry.name, tmp_path / "a", max_bytes=entry.size)
            expected = plain.fetch(index, entry.name, tmp_path / "b", max_bytes=entry.size)
            assert got.read_bytes() == expected.read_bytes()
    assert client.fetch_trace(index, 5, tmp_path / "trace") == LEAVES
    update = client.fetch_update(index, {"w": (6,)}, tmp_path / "update")
    assert torch.equal(update["w"], torch.arange(6.0))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_not_published(root: Path, tmp_path: Path, opened: Callable[..., StreamArtefacts]) -> None:
    client = opened(RoundCatalogue(root))
    index = client.index(3)
    for number in (2, 1 << 63):
        with pytest.raises(ArtefactMissingError):
            client.index(number)
    with pytest.raises(ArtefactMissingError, match="does not list"):
        client.fetch(index, "claim.json", tmp_path / "a", max_bytes=99)
    with pytest.raises(ArtefactSizeError, match="at most 10"):
        client.fetch(index, "trace.bin", tmp_path / "a", max_bytes=10)
    (root / "3" / "trace.bin").unlink()
    with pytest.raises(ArtefactMissingError, match="NOT_FOUND"):
        client.fetch(index, "trace.bin", tmp_path / "a", max_bytes=999)


def test_names_never_leave_the_round(root: Path) -> None:
    catalogue = RoundCatalogue(root)
    (root / "secret").write_bytes(b"x")
    assert catalogue.locate(3, INDEX_NAME) is not None
    for name in ("../secret", "/etc/passwd", "", ".", "3/trace.bin", "trace.bin\0"):
        assert catalogue.locate(3, name) is None
    (root / "3" / "trace.bin").unlink()
    (root / "3" / "trace.bin").symlink_to(root / "secret")
    assert catalogue.locate(3, "trace.bin") is None


def test_a_broken_stream_is_dialled_again_and_goes_on(
    root: Path, tmp_path: Path, opened: Callable[..., StreamArtefacts]
) -> None:
    index = opened(RoundCatalogue(root)).index(3)
    read: list[int] = []
    catalogue = RoundCatalogue(root)
    place = catalogue.locate(3, "checkpoint-0.safetensors")
    assert place is not None
    source = catalogue.find(place)
    assert source is not None
    reading = source.read
    source.read = lambda at: (read.append(at), reading(at))[1]  # type: ignore[method-assign]
    client = opened(catalogue, cut=1)
    client.fetch(index, "checkpoint-0.safetensors", tmp_path / "got", max_bytes=4 * MIB)
    assert (tmp_path / "got").read_bytes() == bytes_of("checkpoint", 3 * MIB + 7)
    assert read == [0, 1, 1, 2, 3]


def test_dialling_is_tried_again(root: Path) -> None:
    server, failures = Server(RoundCatalogue(root)), [PeerError("not reached"), PeerError("not reached")]

    def dial() -> socket.socket:
        if failures:
            raise failures.pop()
        return server.dial()

    with StreamArtefacts(dial, "peer", VERSIONS, attempts=3, backoff_s=0) as client:
        assert client.index(3).round == 3
    failures += [PeerError("not reached")] * 3
    client = StreamArtefacts(dial, "peer", VERSIONS, attempts=3, backoff_s=0)
    with pytest.raises(PeerUnreachableError, match="not reached"):
        client.index(3)
    server.join()


def test_a_peer_that_stays_away_is_unreachable(root: Path, opened: Callable[..., StreamArtefacts]) -> None:
    class Silent(Catalogue):
        def locate(self, number: int, name: str) -> bytes | None:
            raise SilentError("gone")

    client = opened(Silent())
    with pytest.raises(PeerUnreachableError):
        client.index(3)


def test_a_file_that_is_not_the_listed_one(root: Path, tmp_path: Path, opened: Callable[..., StreamArtefacts]) -> None:
    """The peer names a root of its own choice; size and SHA-256 of the index decide."""
    index = opened(RoundCatalogue(root)).index(3)

    class Liar(Catalogue):
        def locate(self, number: int, name: str) -> bytes | None:
            return self.other

    liar = Liar()
    for wrong, error in ((b"y" * 360, ArtefactHashError), (b"y" * 361, BadContentError)):
        liar.other = liar.add_bytes(wrong)  # type: ignore[attr-defined]
        with pytest.raises(error):
            opened(liar).fetch(index, "trace.bin", tmp_path / "got", max_bytes=999)
    assert not (tmp_path / "got").exists()


def test_an_overlong_name_is_no_request(root: Path) -> None:
    server = Server(RoundCatalogue(root))
    with server.dial() as stream, pytest.raises(ArtefactMissingError):
        locate(stream, 3, "x" * 64, VERSIONS, peer="peer")
    server.join()
