"""What can go wrong between the contributors of a round."""

from __future__ import annotations

from node.errors import DivergedError, PeerError


class CohortError(PeerError):
    """A round did not come to its end with the others; it can be tried again."""


class InvalidError(PeerError):
    """A message or contribution of a peer that does not count; `peer` is the account, `code` the kind of fault.

    Codes: `malformed`, `signature`, `stranger`, `base`, `root`, `age`, `codec`, `payload`, `update`, `twice`,
    `counted`.
    """

    def __init__(self, account: bytes, code: str, message: str) -> None:
        super().__init__(message, "It is left out of the round; the others go on.")
        self.account, self.code = account, code


class NotSettledError(CohortError):
    """The voters did not agree on the round's contributions within its time."""


class RootMismatchError(DivergedError):
    """Most holders of a tensor have another one after the outer step than this node."""
