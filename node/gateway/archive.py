"""Uploads as they came, read back from the blob store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from node.gateway.checks import Opened, open_upload
from node.gateway.errors import BlobError
from node.gateway.payload import Shapes
from node.gateway.ports import Blob, Blobs
from node.gateway.problems import ProblemError
from node.gateway.storage.tables import Update

UPLOADS = "uploads"
RESIDUALS = "residuals"
"""Kinds of blobs."""


@dataclass(frozen=True)
class Archive:
    """Uploads of one architecture."""

    blobs: Blobs
    shapes: Shapes

    def keep(self, path: Path) -> Blob:
        """Store an upload. Raises BlobError, DiskError."""
        return self.blobs.put(UPLOADS, path)

    def open(self, row: Update) -> Opened:
        """An upload that decoded when it came. Raises BlobError: missing or damaged."""
        with self._fetched(row.gradient_url) as path:
            try:
                return open_upload(path, self.shapes)
            except ProblemError as error:
                raise BlobError(
                    f"The upload {row.id} no longer decodes: {error.detail}", "Restore the store."
                ) from error

    def update(self, row: Update) -> dict[str, Tensor]:
        """What an upload decodes to, fp32 by name. Raises BlobError."""
        return self.open(row).update

    def keep_residual(self, data: bytes | bytearray) -> Blob:
        """Store a residual (`payload.raw_bytes`); its key follows from its hash."""
        return self.blobs.put_bytes(RESIDUALS, bytes(data))

    def residual(self, digest: bytes) -> bytes:
        """The residual with this hash. Raises BlobError."""
        with self._fetched(f"{RESIDUALS}/{digest.hex()}") as path:
            return path.read_bytes()

    @contextmanager
    def _fetched(self, key: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="ponw-upload-") as folder:
            path = Path(folder) / "blob"
            self.blobs.fetch(key, path)
            yield path
