"""What can stop the round loop."""

from __future__ import annotations

from node.errors import ContractsError, DivergedError, PeerError


class OtherProgramError(ContractsError):
    """The network trains another program, dataset or genesis than this node has."""


class OuterMismatchError(DivergedError):
    """The root posted for the next global state is not the one this node computed."""


class StateUnavailableError(PeerError):
    """Nobody serves the global state that the round starts from."""
