"""Weights kept for disputes: a server that trains on, or a payer whose model moves on, must still run the old ones."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from consensus.commitments.tensors import tensor_set_root
from consensus.model.config import ModelConfig
from node.storage.errors import TensorFileError
from node.storage.tensorfile import Tensors, load_tensors, save_tensors

FOLDER = "answers"
_END = ".safetensors"


class KeptWeights:
    """One file a model in `answers/` of a home, named after its root."""

    def __init__(self, home: Path) -> None:
        self._folder = home / FOLDER

    def has(self, root: bytes) -> bool:
        """Whether these weights are kept."""
        return self._path(root).exists()

    def keep(self, root: bytes, weights: Tensors) -> None:
        """Have the weights on disk. Raises DiskError."""
        if not self.has(root):
            save_tensors(self._path(root), weights, {"root": "0x" + root.hex()})

    def load(self, config: ModelConfig, root: bytes) -> Tensors:
        """The weights with this root.

        Raises:
            TensorFileError: they are not kept, or the file holds others. DiskError: it cannot be read.
        """
        try:
            weights = load_tensors(self._path(root), config.shapes()).tensors
        except FileNotFoundError as error:
            words = f"The weights 0x{root.hex()[:16]} are not kept here."
            raise TensorFileError(words, "Without them the answer cannot be run again.") from error
        if tensor_set_root(weights) != root:
            raise TensorFileError(f"{self._path(root)} holds other weights than its name says.", "Remove the file.")
        return weights

    def drop_except(self, roots: Collection[bytes]) -> None:
        """Remove all others."""
        kept = {root.hex() for root in roots}
        for path in self._folder.glob(f"*{_END}") if self._folder.is_dir() else ():
            if path.name.removesuffix(_END) not in kept:
                path.unlink(missing_ok=True)

    def _path(self, root: bytes) -> Path:
        return self._folder / f"{root.hex()}{_END}"
