"""What can be wrong with a version of the vocabulary, seen from a node."""

from __future__ import annotations

from node.errors import ContractsError


class OtherVersionError(ContractsError):
    """A version that the chain runs has other merges, programs or text than this node makes of it."""
