"""A neighbour can send anything, stop reading or fall silent: each ends in a typed error, none in a crash or a hang."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pipeline_seats import MINI, VERSIONS

from consensus.commitments.tensors import tensor_root
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.pipeline_pb2 import PipelineBoundary, PipelineFrame, PipelineSeal
from node.quorum.pipeline.errors import (
    BoundaryHashError,
    FrameError,
    OtherSessionError,
    PeerGoneError,
    PeerSilentError,
    PipelineError,
    RefusedError,
)
from node.quorum.pipeline.frames import LENGTH, MAX_HEADER, Expected, encode, read
from node.quorum.pipeline.link import CONTROL_FRAMES, Link, Timeouts

ROWS = MINI.micro_batch * MINI.seq_len
QUICK = Timeouts(hello=0.05, frame=0.05, send=0.05, close=0.2)
PATIENT = Timeouts(hello=20.0, frame=20.0, send=20.0, close=1.0)
EXPECTED = Expected(VERSIONS, 7, MINI, "stage 0", from_left=True)
TENSOR = torch.arange(ROWS * MINI.width, dtype=torch.float32).view(ROWS, MINI.width)
Wire = tuple[socket.socket, Callable[[Timeouts], Link]]


def boundary(**changes: object) -> PipelineFrame:
    """A right activation of micro-batch 0, but for the changes."""
    fields: dict[str, object] = {
        "round": 7,
        "step": 0,
        "micro": 0,
        "direction": PipelineBoundary.ACTIVATION,
        "shape": [ROWS, MINI.width],
        "hash": tensor_root(TENSOR),
    }
    return PipelineFrame(versions=VERSIONS, boundary=PipelineBoundary(**{**fields, **changes}))  # type: ignore[arg-type]


def raw(frame: PipelineFrame, tensor: torch.Tensor | None = None) -> bytes:
    return b"".join(bytes(part) for part in encode(frame, tensor))


@pytest.fixture
def wire() -> Iterator[Wire]:
    """The neighbour's bare socket, and the maker of this side's link."""
    theirs, ours = socket.socketpair()
    links: list[Link] = []

    def make(timeouts: Timeouts) -> Link:
        links.append(Link(ours, EXPECTED, 2, timeouts))
        return links[-1]

    yield theirs, make
    theirs.close()
    for link in links:
        link.close()


def test_what_was_sent_arrives_bit_for_bit(wire: Wire) -> None:
    theirs, make = wire
    link = make(PATIENT)
    strange = TENSOR.clone()
    strange[0, :4] = torch.tensor([float("nan"), -0.0, float("inf"), 1e-45])
    theirs.sendall(raw(boundary(hash=tensor_root(strange)), strange))
    arrival = link.take("boundary")
    assert arrival.tensor is not None
    assert torch.equal(arrival.tensor.view(torch.int32), strange.view(torch.int32))


MALFORMED: dict[str, tuple[bytes, type[PipelineError]]] = {
    "no length": (LENGTH.pack(0), FrameError),
    "too long": (LENGTH.pack(MAX_HEADER + 1), FrameError),
    "as long as can be": (LENGTH.pack(2**32 - 1), FrameError),
    "no protobuf": (LENGTH.pack(4) + b"\xff\xff\xff\xff", FrameError),
    "no body": (raw(PipelineFrame(versions=VERSIONS)), FrameError),
    "no versions": (raw(PipelineFrame(seal=PipelineSeal(round=7))), OtherSessionError),
    "other quorum": (
        raw(PipelineFrame(versions=Versions(network=VERSIONS.network, arch_version=1, vocab_version=2))),
        OtherSessionError,
    ),
    "other round": (raw(boundary(round=8)), OtherSessionError),
    "wrong way": (raw(boundary(direction=PipelineBoundary.GRADIENT), TENSOR), FrameError),
    "no way": (raw(boundary(direction=99), TENSOR), FrameError),
    "a vector": (raw(boundary(shape=[ROWS])), FrameError),
    "no rows": (raw(boundary(shape=[0, MINI.width])), FrameError),
    "huge": (raw(boundary(shape=[2**32 - 1, MINI.width])), FrameError),
    "another width": (raw(boundary(shape=[ROWS, MINI.width + 1])), FrameError),
    "part of a micro-batch": (raw(boundary(shape=[MINI.seq_len, MINI.width])), FrameError),
    "many dimensions": (raw(boundary(shape=[ROWS] * 1000)), FrameError),
    "half a hash": (raw(boundary(hash=bytes(16)), TENSOR), FrameError),
    "another hash": (raw(boundary(hash=bytes(32)), TENSOR), BoundaryHashError),
    "a flipped bit": (raw(boundary(), TENSOR)[:-1] + b"\x01", BoundaryHashError),
    "half a prefix": (b"\0\0", PeerGoneError),
    "half a tensor": (raw(boundary(), TENSOR)[:-5], PeerGoneError),
    "nothing": (b"", PeerGoneError),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_message_ends_the_link_with_its_reason(wire: Wire, case: str) -> None:
    theirs, make = wire
    content, kind = MALFORMED[case]
    link = make(PATIENT)
    theirs.sendall(content)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(PipelineError) as caught:
        link.take("boundary")
    assert type(caught.value) is kind
    assert "stage 0" in caught.value.message


class Bytes:
    """A stream of given bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def recv_into(self, buffer: memoryview, /) -> int:
        taken = self._content[: len(buffer)]
        buffer[: len(taken)] = taken
        self._content = self._content[len(taken) :]
        return len(taken)


GOOD = raw(boundary(), TENSOR)


@given(st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=4))))
def test_any_bytes_are_a_message_an_end_or_a_typed_error(content: bytes | tuple[int, bytes]) -> None:
    if isinstance(content, tuple):
        at, patch = content
        content = GOOD[:at] + patch + GOOD[at + len(patch) :]
    try:
        arrival = read(Bytes(content), EXPECTED)
    except PipelineError:
        return
    assert arrival is None or arrival.kind


def test_a_refusal_comes_with_its_reason_even_of_a_code_not_known_here(wire: Wire) -> None:
    theirs, make = wire
    link = make(PATIENT)
    refusal = Refusal(code=77, reason="x" * 900)  # type: ignore[arg-type]
    theirs.sendall(raw(PipelineFrame(versions=VERSIONS, refusal=refusal)))
    with pytest.raises(RefusedError, match="code 77") as caught:
        link.take("boundary")
    assert len(caught.value.message) < 600


def test_what_arrived_before_the_end_can_still_be_taken(wire: Wire) -> None:
    theirs, make = wire
    link = make(PATIENT)
    theirs.sendall(raw(boundary(), TENSOR))
    theirs.shutdown(socket.SHUT_WR)
    assert link.take("boundary").tensor is not None
    with pytest.raises(PeerGoneError):
        link.take("boundary")
    with pytest.raises(PeerGoneError):
        link.send(boundary(), TENSOR)


def test_a_silent_neighbour_is_given_up_on(wire: Wire) -> None:
    with pytest.raises(PeerSilentError, match="sent no seal"):
        wire[1](QUICK).take("seal")


def test_a_neighbour_that_reads_nothing_is_given_up_on(wire: Wire) -> None:
    link = wire[1](QUICK)
    with pytest.raises(PeerSilentError, match="read nothing"):
        for _ in range(10_000):
            link.send(boundary(), TENSOR)


def test_tensors_that_nobody_takes_hold_the_sender_back(wire: Wire) -> None:
    """No more than two lie unread at a link for two, however many were sent; none is lost."""
    theirs, make = wire
    link = make(PATIENT)
    sender = Link(theirs, Expected(VERSIONS, 7, MINI, "stage 1", from_left=False), 2, QUICK)
    sent = 0
    with pytest.raises(PeerSilentError):
        for sent in range(10_000):
            sender.send(boundary(micro=sent), TENSOR)
    assert len(link._inbox["boundary"]) <= 2
    assert [link.take("boundary").frame.boundary.micro for _ in range(sent)] == list(range(sent))


def test_a_flood_of_small_messages_ends_the_link(wire: Wire) -> None:
    theirs, make = wire
    link = make(PATIENT)
    seal = raw(PipelineFrame(versions=VERSIONS, seal=PipelineSeal(round=7)))
    theirs.sendall(seal * (CONTROL_FRAMES + 1))
    with pytest.raises(FrameError, match="ahead of its step"):
        link.take("boundary")
