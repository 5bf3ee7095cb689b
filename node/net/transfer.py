"""Bulk bytes over a connected socket, by content root: one side serves a catalogue, the other fetches from it.

The fetching side sends Want; the answer is Content (size, roots of the chunks, which must lead to the root) and then
the chunks, each checked when it arrives, or a Refusal. Nothing is read further than it was announced and allowed. The
server writes no faster than the peer reads. Limits: a request must be whole within REQUEST_S once it began, the next
one may take IDLE_S; an answer begins within ANSWER_S; each chunk is sent or received within CHUNK_S, so that a fetch of
n chunks ends within ANSWER_S + n · CHUNK_S, usually in far less.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Final

from consensus.commitments import tree
from node.net.catalogue import MAX_CHUNKS, Catalogue, Source, chunk_root, chunk_size, split_roots
from node.net.frames import ClosedError, FrameError, FrameSocket, SilentError
from node.net.sinks import FileSink, MemorySink, Sink
from node.net.transfer_types import (
    BadContentError,
    Layout,
    RefusedError,
    UnreachableError,
    Wanted,
    WrongChunkError,
)
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.transfer_pb2 import Chunk, Content, Frame, Locate, Located, Want

PROTOCOL: Final = "/ponw/transfer/1"
REQUEST_LIMIT: Final = 1 << 10
ANSWER_LIMIT: Final = MAX_CHUNKS * tree.HASH_BYTES + (1 << 10)
"""Bytes of the longest message of an answer; a chunk with its frame is shorter."""
REQUEST_S: Final = 10.0
IDLE_S: Final = 120.0
ANSWER_S: Final = 30.0
CHUNK_S: Final = 60.0
ALL_CHUNKS: Final = MAX_CHUNKS
REASON_LIMIT: Final = 500
NAME_LIMIT: Final = 64
Judge = Callable[[Versions], "Refusal | None"]
"""Decides on the versions that a request names: None to go on."""


def refusal(code: Refusal.Code.ValueType, reason: str) -> Refusal:
    """A refusal with its reason, cut to 500 bytes."""
    return Refusal(code=code, reason=reason.encode()[:REASON_LIMIT].decode(errors="ignore"))


def same_versions(own: Versions) -> Judge:
    """Only requests that name our network, architecture, vocabulary and, where we name one, our quorum."""

    def judge(theirs: Versions) -> Refusal | None:
        if theirs.network != own.network:
            return refusal(Refusal.OTHER_NETWORK, "This node is in another network.")
        if theirs.arch_version != own.arch_version:
            return refusal(Refusal.OTHER_ARCHITECTURE, f"This node is at architecture {own.arch_version}.")
        if theirs.vocab_version != own.vocab_version:
            return refusal(Refusal.OTHER_VOCABULARY, f"This node is at vocabulary {own.vocab_version}.")
        if own.quorum and theirs.quorum != own.quorum:
            return refusal(Refusal.OTHER_QUORUM, "This node is in another quorum.")
        return None

    return judge


def serve(
    stream: socket.socket,
    catalogue: Catalogue,
    judge: Judge,
    *,
    peer: str,
    slots: BoundedSemaphore | None = None,
    idle_s: float = IDLE_S,
    chunk_s: float = CHUNK_S,
) -> None:
    """Answer requests until the peer ends the stream or is idle; the caller closes it.

    `slots` is shared by all servers of a process and bounds how many answers are under way; without a free one the
    answer is BUSY. Memory per server: one request and one chunk.

    Raises:
        FrameError: the peer broke the protocol (it was told MALFORMED where it still listens); count it against it.
        SilentError: the peer stopped in a request, or did not read an answer.
    """
    frames = FrameSocket(stream, peer)
    while True:
        try:
            request = _next_request(frames, idle_s)
        except ClosedError:
            return
        except FrameError:
            _try_refuse(frames, refusal(Refusal.MALFORMED, "This is no request of " + PROTOCOL))
            raise
        if request is None:
            return
        said_no = judge(request.versions)
        if said_no is None and slots is not None and not slots.acquire(blocking=False):
            said_no = refusal(Refusal.BUSY, "Too many transfers at once; try again soon.")
        if said_no is not None:
            frames.send(Frame(refusal=said_no), REQUEST_S)
            continue
        try:
            _answer(frames, request, catalogue, chunk_s)
        finally:
            if slots is not None:
                slots.release()


def fetch(
    stream: socket.socket, want: Wanted, target: Path, versions: Versions, *, peer: str, chunk_s: float = CHUNK_S
) -> Path:
    """Fetch a content to `target`, which appears only whole and right: fsync, then rename.

    What arrived is kept in a hidden file beside it, also through kill -9 and errors; the next call, from whichever
    peer, checks it and goes on there. The stream can take the next request if this returns or raises RefusedError.

    Raises:
        RefusedError (or its MissingError): the peer says no; `code` says why.
        WrongChunkError, BadContentError: the peer lies or breaks the protocol; its name is in `peer`.
        UnreachableError: the peer is silent or gone.
        UnderWayError: another fetch of this content to this target is running.
        DiskError: this machine's disk.
    """
    with FileSink(target, want.root) as sink:
        _fetch(FrameSocket(stream, peer), want, sink, versions, chunk_s)
        sink.publish()
    return target


def fetch_bytes(
    stream: socket.socket, want: Wanted, versions: Versions, *, peer: str, chunk_s: float = CHUNK_S
) -> bytes:
    """Fetch a content into memory. Raises as `fetch`, but nothing of the disk."""
    sink = MemorySink()
    _fetch(FrameSocket(stream, peer), want, sink, versions, chunk_s)
    return sink.data()


def locate(stream: socket.socket, number: int, name: str, versions: Versions, *, peer: str) -> Wanted:
    """Root and size of a file that the peer published for round `number`, by its word alone.

    Raises as `fetch_bytes`.
    """
    frames = FrameSocket(stream, peer)
    request = Frame(locate=Locate(versions=versions, round=number, name=name))
    with _blaming(frames.peer):
        frames.send(request, REQUEST_S)
        frame = frames.receive(Frame, REQUEST_LIMIT, ANSWER_S)
        if frame.WhichOneof("kind") == "refusal":
            raise RefusedError.of(peer, frame.refusal)
        if frame.WhichOneof("kind") != "located" or len(frame.located.root) != tree.HASH_BYTES:
            raise BadContentError(peer, f"{peer} answered with something else than a place.")
    return Wanted(frame.located.root, size=frame.located.size)


@contextmanager
def _blaming(peer: str) -> Iterator[None]:
    """Errors of the stream as errors of the peer."""
    try:
        yield
    except SilentError as error:
        raise UnreachableError(peer, error.message, error.hint) from error
    except FrameError as error:
        raise BadContentError(peer, error.message) from error


def _next_request(frames: FrameSocket, idle_s: float) -> Want | Locate | None:
    """The next request; None when the peer asked nothing for `idle_s`."""
    if not frames.wait(idle_s):
        return None
    frame = frames.receive(Frame, REQUEST_LIMIT, REQUEST_S)
    if frame.WhichOneof("kind") == "want" and len(frame.want.root) == tree.HASH_BYTES:
        return frame.want
    if frame.WhichOneof("kind") == "locate" and len(frame.locate.name.encode()) <= NAME_LIMIT:
        return frame.locate
    raise FrameError(f"{frames.peer} sent something else than a request.")


def _try_refuse(frames: FrameSocket, message: Refusal) -> bool:
    try:
        frames.send(Frame(refusal=message), REQUEST_S)
    except SilentError:
        return False
    return True


def _answer(frames: FrameSocket, request: Want | Locate, catalogue: Catalogue, chunk_s: float) -> None:
    if isinstance(request, Want):
        source = catalogue.find(request.root)
        if source is not None:
            _send_content(frames, request, source, chunk_s)
            return
    else:
        root = catalogue.locate(request.round, request.name)
        source = None if root is None else catalogue.find(root)
        if root is not None and source is not None:
            frames.send(Frame(located=Located(root=root, size=source.size)), REQUEST_S)
            return
    frames.send(Frame(refusal=refusal(Refusal.NOT_FOUND, "That is not here.")), REQUEST_S)


def _send_content(frames: FrameSocket, want: Want, source: Source, chunk_s: float) -> None:
    content = Content(root=want.root, size=source.size, chunk_roots=source.chunk_roots)
    frames.send(Frame(content=content), ANSWER_S)
    roots = split_roots(source.chunk_roots)
    for index in range(want.first_chunk, min(len(roots), want.first_chunk + want.chunks)):
        data = _read(source, index)
        # Checked before it goes out: a file that changed would look like a lie.
        if data is None or chunk_root(data) != roots[index]:
            frames.send(Frame(refusal=refusal(Refusal.NOT_FOUND, f"Chunk {index} is no longer here.")), chunk_s)
            return
        frames.send(Frame(chunk=Chunk(index=index, data=data)), chunk_s)


def _read(source: Source, index: int) -> bytes | None:
    try:
        return source.read(index)
    except OSError:
        return None  # the peer is told that it is gone


def _fetch(frames: FrameSocket, want: Wanted, sink: Sink, versions: Versions, chunk_s: float) -> None:
    with _blaming(frames.peer):
        layout: Layout | None = None
        if sink.has_begun():  # what is there can only be judged by the roots of the chunks
            layout = _ask(frames, want, versions, 0, 0)
        first = sink.resume(layout)
        if layout is not None and first == layout.chunks:
            return
        layout = _ask(frames, want, versions, first, ALL_CHUNKS)
        for data in _chunks(frames, layout, first, chunk_s):
            sink.take(data)


def _ask(frames: FrameSocket, want: Wanted, versions: Versions, first: int, chunks: int) -> Layout:
    """Send a request and check the beginning of its answer."""
    request = Want(versions=versions, root=want.root, first_chunk=first, chunks=chunks)
    frames.send(Frame(want=request), REQUEST_S)
    frame = frames.receive(Frame, want.answer_limit(), ANSWER_S)
    if frame.WhichOneof("kind") == "refusal":
        raise RefusedError.of(frames.peer, frame.refusal)
    if frame.WhichOneof("kind") != "content":
        raise BadContentError(frames.peer, f"{frames.peer} answered with something else than a content.")
    return want.check(frames.peer, frame.content)


def _chunks(frames: FrameSocket, layout: Layout, first: int, chunk_s: float) -> Iterator[bytes]:
    """The chunks from `first` to the last, each right."""
    for index in range(first, layout.chunks):
        frame = frames.receive(Frame, chunk_size(layout.size, index) + REQUEST_LIMIT, chunk_s)
        if frame.WhichOneof("kind") == "refusal":
            raise RefusedError.of(frames.peer, frame.refusal)
        if frame.WhichOneof("kind") != "chunk" or frame.chunk.index != index:
            raise BadContentError(frames.peer, f"{frames.peer} did not send chunk {index} when it was due.")
        data = frame.chunk.data
        if len(data) != chunk_size(layout.size, index) or chunk_root(data) != layout.roots[index]:
            raise WrongChunkError(frames.peer, index)
        yield data
