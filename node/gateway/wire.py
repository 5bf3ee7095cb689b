"""The body of an upload, `PVU1` (`node.gateway.schemas.UploadMeta`): written by volunteers, read from anybody.

Nothing is believed before it is bounded: the header by META_LIMIT, the body by `body_limit`, the zstd window by
WINDOW_BYTES, and the payload by the size that codec and shapes fix. A reader holds at most the payload and one window.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import BinaryIO, Final

import zstandard
from pydantic import ValidationError

from consensus.commitments.trace import StepLeaf, Trace, loss_value
from node.errors import ExitCode, PonwError
from node.gateway.payload import Shapes, payload_size
from node.gateway.schemas import META_LIMIT, Leaf, UploadMeta

MAGIC: Final = b"PVU1"
MEDIA_TYPE: Final = "application/vnd.ponw.update"
WINDOW_BYTES: Final = 8 << 20
"""What a zstd frame may ask a reader to remember; RFC 8878 has every decoder support this much."""
_LEVEL: Final = 3
_WINDOW_LOG: Final = 21
_PIECE: Final = 1 << 17
_PREFIX: Final = len(MAGIC) + 4
_LOSS_TOLERANCE: Final = 1e-6


class UploadError(PonwError):
    """A body that is no upload, or not the one that is due here."""

    exit_code = ExitCode.PEER


class HeaderReader:
    """Takes the first pieces of a body until its header is there; memory stays below META_LIMIT and one piece."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, piece: bytes) -> tuple[UploadMeta, bytes] | None:
        """The header and what came after it, or None while more is needed. Raises UploadError."""
        self._held += piece
        if not MAGIC.startswith(self._held[: len(MAGIC)]):
            raise UploadError("This is no upload of a volunteer.", f"A body begins with {MAGIC.decode()}.")
        if len(self._held) < _PREFIX:
            return None
        end = _PREFIX + _meta_length(self._held[len(MAGIC) : _PREFIX])
        if len(self._held) < end:
            return None
        return _meta(bytes(self._held[_PREFIX:end])), bytes(self._held[end:])


def read_meta(file: BinaryIO) -> UploadMeta:
    """The header of a body; `file` stands at its start, and afterwards at the payload. Raises UploadError."""
    reader, prefix = HeaderReader(), _exactly(file, _PREFIX)
    reader.feed(prefix)
    found = reader.feed(_exactly(file, _meta_length(prefix[len(MAGIC) :])))
    assert found is not None  # noqa: S101 - as many bytes were read as the header says
    return found[0]


def check_payload_size(meta: UploadMeta, shapes: Shapes) -> int:
    """Bytes of the payload. Raises UploadError unless it is what codec and shapes fix."""
    due = payload_size(meta.codec, shapes)
    if meta.payload_size != due:
        raise UploadError(
            f"The upload says {meta.payload_size} bytes where an update in {meta.codec} has {due}.",
            "Encode the whole model's update with the codec of the offer.",
        )
    return due


def body_limit(size: int) -> int:
    """Bytes of zstd that a payload of `size` bytes may take: its worst case, and a few blocks' heads."""
    return size + (size >> 8) + (1 << 12)


def read_payload(file: BinaryIO, meta: UploadMeta, shapes: Shapes) -> bytearray:
    """The payload; `file` stands behind the header and ends with the body.

    Raises UploadError: another size than codec and shapes fix, another hash, a broken frame, or one with a window
    above WINDOW_BYTES.
    """
    size = check_payload_size(meta, shapes)
    payload = read_zstd(file, size)
    if hashlib.sha256(payload).hexdigest() != meta.payload_sha256:
        raise UploadError("The payload does not have the hash that its header names.", "Upload it again.")
    return payload


def read_zstd(file: BinaryIO, size: int) -> bytearray:
    """Exactly `size` bytes from a zstd stream that ends with `file`. Raises UploadError."""
    out = bytearray(size)
    view, at = memoryview(out), 0
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    try:
        with decompressor.stream_reader(file, read_size=_PIECE, read_across_frames=True, closefd=False) as stream:
            while at < size and (got := stream.readinto(view[at : at + _PIECE])):
                at += got
            more = at == size and stream.read(1)
    except zstandard.ZstdError as error:
        raise UploadError(f"The payload is not one zstd stream ({error}).", "Upload it again.") from error
    if at < size or more:
        fault = "more" if more else "fewer"
        raise UploadError(f"The stream holds {fault} than the {size} bytes that are due.", "Upload it again.")
    return out


def write_upload(file: BinaryIO, meta: UploadMeta, payload: bytes | bytearray | memoryview) -> None:
    """Write a whole body. Raises ValueError where header and payload do not belong together."""
    head = meta.model_dump_json(exclude_none=True).encode()
    if len(payload) != meta.payload_size or hashlib.sha256(payload).hexdigest() != meta.payload_sha256:
        raise ValueError("the header is of another payload")
    if len(head) > META_LIMIT:
        raise ValueError(f"a header of {len(head)} bytes")
    file.write(MAGIC + len(head).to_bytes(4, "big") + head)
    write_zstd(file, payload)


def write_zstd(file: BinaryIO, payload: bytes | bytearray | memoryview) -> None:
    """Write a payload as one zstd frame that names its size."""
    settings = zstandard.ZstdCompressionParameters.from_level(_LEVEL, window_log=_WINDOW_LOG)
    compressor = zstandard.ZstdCompressor(compression_params=settings)
    with compressor.stream_writer(file, size=len(payload), closefd=False) as stream:
        stream.write(payload)


def step_leaves(leaves: Iterable[Leaf]) -> list[StepLeaf]:
    """The leaves of a header as the trace takes them, numbered from 0."""
    return [
        StepLeaf(bytes.fromhex(leaf.state_root), bytes.fromhex(leaf.batch_root), leaf.loss_bits, step)
        for step, leaf in enumerate(leaves)
    ]


def wire_leaf(leaf: StepLeaf) -> Leaf:
    """A step's leaf as a header carries it."""
    return Leaf(state_root=leaf.state_root.hex(), batch_root=leaf.batch_root.hex(), loss_bits=leaf.loss_bits)


def mean_loss(leaves: Sequence[StepLeaf]) -> float:
    """`UploadMeta.loss` of these steps, in nats."""
    return math.fsum(loss_value(leaf.loss_bits) for leaf in leaves) / len(leaves)


def same_loss(one: float, other: float) -> bool:
    """Whether two mean losses are one, up to the rounding of their JSON."""
    return math.isclose(one, other, rel_tol=_LOSS_TOLERANCE, abs_tol=_LOSS_TOLERANCE)


def trace_root(leaves: Iterable[StepLeaf]) -> bytes:
    """Root over the steps of an upload, as a claim's."""
    return Trace(leaves).root()


def result_hash(trace: bytes, payload: bytes) -> bytes:
    """sha256(trace root ‖ sha256 of the payload): equal for honest replicas, and for nobody else."""
    return hashlib.sha256(trace + payload).digest()


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise UploadError("The upload ends inside its header.", "Upload it again.")
    return data


def _meta_length(raw: bytes | bytearray) -> int:
    length = int.from_bytes(raw, "big")
    if not 2 <= length <= META_LIMIT:
        raise UploadError(f"An upload's header has 2 to {META_LIMIT} bytes, not {length}.", "Send fewer leaves.")
    return length


def _meta(raw: bytes) -> UploadMeta:
    try:
        meta = UploadMeta.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise UploadError(
            f"The upload's header is malformed ({where}: {first['msg']}).", "Update the client."
        ) from error
    if not math.isfinite(meta.loss):
        raise UploadError("The upload's loss is not a finite number.", "Train the batch again.")
    return meta
