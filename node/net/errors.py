"""Failures of the peer network."""

from __future__ import annotations

from typing import ClassVar

from node.errors import ExitCode, PonwError
from node.net.wire.common_pb2 import Refusal

REASON_LIMIT = 500
"""Bytes of a refusal's reason."""


class NetworkError(PonwError):
    """The peer network could not do what was asked; `code` is one of Refusal.Code."""

    exit_code: ClassVar[ExitCode] = ExitCode.PEER

    def __init__(self, message: str, hint: str = "", code: Refusal.Code.ValueType = Refusal.UNKNOWN) -> None:
        super().__init__(message, hint)
        self.code = code

    def refusal(self) -> Refusal:
        """The same as a message to the peer."""
        return Refusal(code=self.code, reason=self.message.encode()[:REASON_LIMIT].decode(errors="ignore"))


class IdentityError(NetworkError):
    """A binding of a peer's key to an account does not hold."""


class PeerLostError(NetworkError):
    """A peer cannot be reached, went away, or does not serve what was asked for."""

    def __init__(self, message: str, hint: str = "", code: Refusal.Code.ValueType = Refusal.NOT_FOUND) -> None:
        super().__init__(message, hint, code)


class NetworkDownError(NetworkError):
    """The peer process does not run or does not answer."""


def malformed(message: str, code: Refusal.Code.ValueType = Refusal.MALFORMED) -> NetworkError:
    """The error for bytes of a peer that break a rule of the wire."""
    return NetworkError(message, "The peer runs other software or is hostile.", code)
