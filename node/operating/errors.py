"""What can go wrong with backups."""

from __future__ import annotations

from node.errors import DataError


class BackupError(DataError):
    """A backup that is damaged, of another version, or would overwrite something."""
