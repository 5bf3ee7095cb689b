"""What can be wrong with the node's memory."""

from __future__ import annotations

from node.errors import CheckpointError, DatabaseError, PonwError


class CorruptDatabaseError(DatabaseError):
    """The database file is damaged or is not a database."""


class NewerDatabaseError(DatabaseError):
    """The database was written by a newer version of the node."""


class BusyDatabaseError(DatabaseError):
    """Another process held the database for longer than the busy timeout."""


class ClaimConflictError(DatabaseError):
    """A different claim of this node is already on record for the same round and kind; the first one stands."""


class LeafConflictError(DatabaseError):
    """A recomputed step differs from the one on record: the machine or the code does not compute exactly."""


class TransitionError(PonwError):
    """A record was asked to move to a state that cannot follow the one it is in."""


class TensorFileError(CheckpointError):
    """A safetensors file is truncated, too large, or does not hold exactly the tensors expected."""


class NoCheckpointError(CheckpointError):
    """Checkpoints exist, and none of them is usable."""
