"""What is asked for in a transfer, what is known of it once the answer begins, and what can go wrong.

The errors are those of `node.artefacts.errors` as well, so that code which fetches by either way treats them alike.
"""

from __future__ import annotations

from dataclasses import dataclass

from consensus.commitments import tree
from node.artefacts.errors import (
    ArtefactHashError,
    ArtefactMissingError,
    ArtefactRefusedError,
    PeerUnreachableError,
)
from node.errors import PeerError
from node.net.catalogue import MAX_BYTES, chunk_count, content_root, split_roots
from node.net.wire.common_pb2 import Refusal
from node.net.wire.transfer_pb2 import Content

_ANOTHER = "Fetch it from another peer; what arrived so far is kept."
_ANSWER_ROOM = 1 << 10


class TransferError(PeerError):
    """A fetch failed because of a peer: `peer` is its name, `at_fault` whether it broke the protocol."""

    at_fault = False

    def __init__(self, peer: str, message: str, hint: str = _ANOTHER) -> None:
        super().__init__(message, hint)
        self.peer = peer


class UnreachableError(TransferError, PeerUnreachableError):
    """The peer was silent for too long, or is gone."""


class RefusedError(TransferError, ArtefactRefusedError):
    """The peer said no, politely: `code` is the Refusal's. The stream can be used on."""

    code: Refusal.Code.ValueType = Refusal.UNKNOWN

    @classmethod
    def of(cls, peer: str, refusal: Refusal) -> RefusedError:
        """The error of a refusal."""
        name = Refusal.Code.Name(refusal.code) if refusal.code in Refusal.Code.values() else str(refusal.code)
        reason = "".join(letter if letter.isprintable() else "?" for letter in refusal.reason[:500])
        kind = {Refusal.NOT_FOUND: MissingError, Refusal.BUSY: BusyError}.get(refusal.code, cls)
        error = kind(peer, f"{peer} refuses: {name}. {reason}".strip())
        error.code = refusal.code
        return error


class MissingError(RefusedError, ArtefactMissingError):
    """The peer does not have it, or no longer."""


class BusyError(RefusedError, PeerUnreachableError):
    """The peer serves too many at once; again soon."""


class BadContentError(TransferError, ArtefactRefusedError):
    """The peer broke the protocol, or describes a content that is not the one asked for."""

    at_fault = True


class WrongChunkError(TransferError, ArtefactHashError):
    """A chunk has not the root that the content's root demands; `chunk` is its index."""

    at_fault = True

    def __init__(self, peer: str, chunk: int) -> None:
        super().__init__(peer, f"{peer} sent a wrong chunk {chunk}.")
        self.chunk = chunk


class UnderWayError(PeerError):
    """Another fetch of the same content to the same file is running."""


@dataclass(frozen=True)
class Layout:
    """Size and roots of the chunks, which lead to the root that was asked for."""

    size: int
    roots: tuple[bytes, ...]

    @property
    def chunks(self) -> int:
        """How many there are."""
        return len(self.roots)


@dataclass(frozen=True)
class Wanted:
    """A content by its tensor root (32 bytes): of exactly `size` bytes where that is known, else of at most `limit`."""

    root: bytes
    limit: int = MAX_BYTES
    size: int | None = None

    def __post_init__(self) -> None:
        if len(self.root) != tree.HASH_BYTES:
            raise ValueError("a root has 32 bytes")

    @property
    def most(self) -> int:
        """Bytes at most."""
        return min(self.limit if self.size is None else self.size, MAX_BYTES)

    def answer_limit(self) -> int:
        """Bytes of the longest beginning of an answer that makes sense."""
        return chunk_count(self.most) * tree.HASH_BYTES + _ANSWER_ROOM

    def check(self, peer: str, content: Content) -> Layout:
        """The layout that an answer's beginning describes.

        Raises:
            BadContentError: another root, too large, or chunk roots that do not fit size and root.
        """
        if content.size > self.most or (self.size is not None and content.size != self.size):
            raise BadContentError(peer, f"{peer} offers {content.size} bytes; at most {self.most} make sense.")
        if len(content.chunk_roots) != chunk_count(content.size) * tree.HASH_BYTES or content.root != self.root:
            raise BadContentError(peer, f"{peer} describes another content than asked for.")
        if content_root(content.chunk_roots) != self.root:
            raise BadContentError(peer, f"{peer} gives chunk roots that do not lead to {self.root.hex()}.")
        return Layout(content.size, tuple(split_roots(content.chunk_roots)))
