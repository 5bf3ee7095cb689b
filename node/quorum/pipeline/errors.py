"""What ends a pipeline session. Each says which neighbour it concerns; the session goes on from the last checkpoint."""

from __future__ import annotations

from node.errors import PeerError
from node.net.wire.common_pb2 import Refusal


class PipelineError(PeerError):
    """Base of what ends a session. `refusal` is the code that the neighbours are told."""

    refusal: Refusal.Code.ValueType = Refusal.UNKNOWN


class PeerGoneError(PipelineError):
    """A neighbour closed the connection, or it broke."""


class PeerSilentError(PipelineError):
    """A neighbour sent or took nothing for longer than the documented timeout."""


class FrameError(PipelineError):
    """A neighbour sent what is no message of the session, is too large, or comes out of order."""

    refusal = Refusal.MALFORMED


class BoundaryHashError(PipelineError):
    """A boundary tensor does not have the hash it was sent with, or both sides of a boundary saw other tensors."""

    refusal = Refusal.MALFORMED


class OtherSessionError(PipelineError):
    """A neighbour works for another network, version, quorum or round."""

    def __init__(self, message: str, hint: str, code: Refusal.Code.ValueType) -> None:
        super().__init__(message, hint)
        self.refusal = code


class RefusedError(PipelineError):
    """A neighbour ended the session and said why. `code` is its reason."""

    def __init__(self, message: str, hint: str, code: Refusal.Code.ValueType) -> None:
        super().__init__(message, hint)
        self.code = code


class StageTooLargeError(PipelineError):
    """The stage needs more memory than this member is allowed to use."""

    refusal = Refusal.TOO_LARGE
