"""What lossy encodings have left out, on disk, and the chain of hashes that ties each upload to the one before
(docs/GATEWAY.md, "Error feedback")."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from node import paths
from node.gateway.payload import Shapes, raw_bytes, zero_hash
from node.gateway.schemas import Hash, Id
from node.storage.errors import TensorFileError
from node.storage.files import atomic_file, reporting
from node.storage.tensorfile import load_tensors

_CHAIN = "chain.json"


class Link(BaseModel):
    """The last upload, while it is not decided."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    update_id: Id
    before: Hash
    after: Hash


class Chain(BaseModel):
    """`head`: the residual after the last upload that was not refused (None: nothing left out yet)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    head: Hash | None = None
    pending: Link | None = None


class Residuals:
    """The residuals of one account. Files are named by the hash of what they hold."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def chain(self) -> Chain:
        """Where the chain stands; from nothing where its file is unusable. Raises DiskError."""
        try:
            return Chain.model_validate_json(paths.read_bounded(self._folder / _CHAIN))
        except (FileNotFoundError, ValidationError):
            return Chain()

    def path(self, digest: str) -> Path:
        """The file of a residual: the tensors as `node.gateway.payload.raw_bytes` writes them."""
        return self._folder / f"{digest}.safetensors"

    def current(self, shapes: Shapes) -> tuple[dict[str, Tensor], str]:
        """(residual, its hash) that the next upload goes on from; zeros where there is none of these shapes."""
        digest = self.chain().head
        if digest is not None:
            try:
                found = load_tensors(self.path(digest), shapes).tensors
            except (FileNotFoundError, TensorFileError):
                found = {}
            if found and hashlib.sha256(raw_bytes(found)).hexdigest() == digest:
                return found, digest
        return {name: torch.zeros(shape) for name, shape in shapes.items()}, zero_hash(shapes).hex()

    def keep(self, left: dict[str, Tensor]) -> str:
        """Put a residual on disk; its hash. Raises DiskError."""
        data = raw_bytes(left)
        digest = hashlib.sha256(data).hexdigest()
        if not self.path(digest).exists():
            with atomic_file(self.path(digest)) as file:
                file.write(data)
        return digest

    def sent(self, update_id: str, before: str, after: str) -> None:
        """The gateway has an upload: the next one goes on from its residual. Raises DiskError."""
        self._write(Chain(head=after, pending=Link(update_id=update_id, before=before, after=after)))
        self._sweep({before, after})

    def settle(self, update_id: str, counted: bool) -> None:
        """The gateway decided about the last upload; if it was refused, the chain goes back to the one before it."""
        chain = self.chain()
        if chain.pending is None or chain.pending.update_id != update_id:
            return
        head = chain.pending.after if counted else chain.pending.before
        self._write(Chain(head=head))
        self._sweep({head})

    def restart(self) -> None:
        """Begin a new chain: the gateway goes on from another residual than this one."""
        self._write(Chain())
        self._sweep(set())

    def _write(self, chain: Chain) -> None:
        paths.write_atomic(self._folder / _CHAIN, chain.model_dump_json().encode())

    def _sweep(self, keep: set[str]) -> None:
        with reporting("clean up", self._folder):
            for path in self._folder.glob("*.safetensors"):
                if path.stem not in keep:
                    path.unlink(missing_ok=True)
