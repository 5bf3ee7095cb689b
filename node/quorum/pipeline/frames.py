"""Messages between neighbouring stages as bytes: written, and read with every bound checked first."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

import torch
from google.protobuf.message import DecodeError
from torch import Tensor

from consensus.commitments.tensors import tensor_bytes, tensor_root
from consensus.model.config import ModelConfig
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.pipeline_pb2 import PipelineBoundary, PipelineFrame
from node.quorum.pipeline.errors import BoundaryHashError, FrameError, OtherSessionError, PeerGoneError

MAX_HEADER = 256 * 1024
"""Bytes of the longest message without its tensor: a report on 2,700 tensors."""
LENGTH = struct.Struct(">I")
_HASH_BYTES = 32


class Stream(Protocol):
    """What is read of a connected socket."""

    def recv_into(self, buffer: memoryview, /) -> int: ...


@dataclass(frozen=True)
class Arrival:
    """One message; `tensor` is a boundary's fp32 [rows, width], its hash checked."""

    frame: PipelineFrame
    tensor: Tensor | None = None

    @property
    def kind(self) -> str:
        """Name of the message in the frame."""
        return self.frame.WhichOneof("body") or ""


@dataclass(frozen=True)
class Expected:
    """What a link takes: messages of these versions and this round, from stage `peer`."""

    versions: Versions
    round: int
    config: ModelConfig
    peer: str
    from_left: bool

    def check_versions(self, theirs: Versions) -> None:
        """Refuse other versions.

        Raises:
            OtherSessionError: names the first field that differs.
        """
        ours = self.versions
        for what, here, there, code in (
            ("network", ours.network, theirs.network, Refusal.OTHER_NETWORK),
            ("architecture version", ours.arch_version, theirs.arch_version, Refusal.OTHER_ARCHITECTURE),
            ("vocabulary version", ours.vocab_version, theirs.vocab_version, Refusal.OTHER_VOCABULARY),
            ("quorum", ours.quorum, theirs.quorum, Refusal.OTHER_QUORUM),
        ):
            if here != there:
                raise OtherSessionError(
                    f"{self.peer} works on {what} {_show(there)}, this node on {_show(here)}.",
                    "Both must follow the same network and quorum; update the one that is behind.",
                    code,
                )

    def check_boundary(self, boundary: PipelineBoundary) -> tuple[int, int]:
        """Shape of the tensor to come, once all of the header is right.

        Raises:
            FrameError: it is not a tensor this side takes.
        """
        config, shape = self.config, tuple(boundary.shape)
        most = config.micro_batch * config.seq_len
        up = (PipelineBoundary.ACTIVATION, PipelineBoundary.EVALUATION)
        if boundary.direction not in (up if self.from_left else (PipelineBoundary.GRADIENT,)):
            raise FrameError(f"{self.peer} sent a tensor in the wrong direction.")
        if len(shape) != 2 or shape[1] != config.width or not 0 < shape[0] <= most or shape[0] % config.seq_len:
            raise FrameError(f"{self.peer} sent a tensor of shape {list(shape)[:4]}, not [{most}, {config.width}].")
        if boundary.direction != PipelineBoundary.EVALUATION and shape[0] != most:
            raise FrameError(f"{self.peer} sent part of a micro-batch.")
        if len(boundary.hash) != _HASH_BYTES:
            raise FrameError(f"{self.peer} sent a hash of {len(boundary.hash)} bytes.")
        return shape[0], shape[1]


def encode(frame: PipelineFrame, tensor: Tensor | None = None) -> list[memoryview]:
    """Buffers to send one after the other; the tensor's memory is not copied."""
    header = frame.SerializeToString()
    parts = [memoryview(LENGTH.pack(len(header)) + header)]
    if tensor is not None:
        parts.append(tensor_bytes(tensor).data)
    return parts


def read(stream: Stream, expected: Expected) -> Arrival | None:
    """The next message, or None where the neighbour closed the connection between two messages.

    Raises:
        FrameError: it is malformed, too large, or of another kind than this side takes.
        OtherSessionError: it belongs to another network, version, quorum or round.
        BoundaryHashError: its tensor does not have the hash it names.
        PeerGoneError: the connection ended inside it.
        OSError: the connection broke.
    """
    prefix = bytearray(LENGTH.size)
    if not _fill(stream, memoryview(prefix), expected.peer, may_end=True):
        return None
    (length,) = LENGTH.unpack(prefix)
    if not 0 < length <= MAX_HEADER:
        raise FrameError(f"{expected.peer} announced a message of {length} bytes; {MAX_HEADER} is the most.")
    header = bytearray(length)
    _fill(stream, memoryview(header), expected.peer)
    try:
        frame = PipelineFrame.FromString(bytes(header))
    except DecodeError as error:
        raise FrameError(f"{expected.peer} sent what is no message of a pipeline.") from error
    expected.check_versions(frame.versions)
    return _complete(stream, expected, frame)


def _complete(stream: Stream, expected: Expected, frame: PipelineFrame) -> Arrival:
    kind = frame.WhichOneof("body")
    if kind is None:
        raise FrameError(f"{expected.peer} sent an empty message.")
    if kind == "refusal":
        return Arrival(frame)
    number = getattr(frame, kind).round
    if number != expected.round:
        raise OtherSessionError(
            f"{expected.peer} works on round {number}, this node on {expected.round}.",
            "The one that is behind catches up first.",
            Refusal.OTHER_QUORUM,
        )
    if kind != "boundary":
        return Arrival(frame)
    tensor = torch.empty(expected.check_boundary(frame.boundary), dtype=torch.float32)
    _fill(stream, tensor_bytes(tensor).data, expected.peer)
    if tensor_root(tensor, threads=1) != frame.boundary.hash:
        raise BoundaryHashError(
            f"{expected.peer} sent a tensor at step {frame.boundary.step} that does not have the hash it names.",
            "The session goes on from the last checkpoint; if it happens again, the quorum replaces that member.",
        )
    return Arrival(frame, tensor)


def _fill(stream: Stream, buffer: memoryview, peer: str, may_end: bool = False) -> bool:
    at = 0
    while at < len(buffer):
        got = stream.recv_into(buffer[at:])
        if got == 0:
            if may_end and at == 0:
                return False
            raise PeerGoneError(f"{peer} closed the connection inside a message.", "The quorum replaces that member.")
        at += got
    return True


def _show(value: bytes | int) -> str:
    return f"0x{value[:32].hex()}" if isinstance(value, bytes) else str(value)
