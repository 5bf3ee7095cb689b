"""Writing shards: a stream of tokens cut into files of bounded size, each hashed while it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from consensus.commitments.tensors import RootBuilder
from node.data.manifest import Shard, Split, shard_path
from node.data.text import SourceText
from node.data.tokens import TOKEN_BYTES, TOKEN_DTYPE, Tokens
from node.storage.files import publish, reporting, temporary_beside

SHARD_BYTES = 64 << 20
"""Largest shard file. Part of the dataset's definition: where texts are cut decides the root."""


class ShardWriter:
    """Cuts one split of one text into shards.

    Use as a context manager: leaving by an exception removes all it wrote, except with `repair`, where finished shards
    replace damaged ones of the same bytes and stay.
    """

    def __init__(
        self, folder: Path, source: SourceText, split: Split, shard_bytes: int = SHARD_BYTES, *, repair: bool = False
    ) -> None:
        self.shards: list[Shard] = []
        self._folder, self._source, self._split = folder, source, split
        self._repair = repair
        self._limit = shard_bytes // TOKEN_BYTES
        self._file: BinaryIO | None = None
        self._temporary = Path()
        self._count = 0
        self._root = RootBuilder()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self._finish_shard()
            return
        if self._file is not None:
            self._file.close()
            self._temporary.unlink(missing_ok=True)
        for shard in () if self._repair else self.shards:
            shard_path(self._folder, shard.name).unlink(missing_ok=True)

    def write(self, tokens: Tokens) -> None:
        """Append tokens, shape (any,).

        Raises:
            DiskError: no space or no permission.
        """
        while len(tokens):
            room = self._limit - self._count
            self._append(tokens[:room])
            tokens = tokens[room:]
            if self._count == self._limit:
                self._finish_shard()

    def _append(self, tokens: Tokens) -> None:
        data = tokens.astype(TOKEN_DTYPE, copy=False).tobytes()
        target = shard_path(self._folder, self._name())
        with reporting("write", target):
            if self._file is None:
                handle, self._temporary = temporary_beside(target)
                self._file = os.fdopen(handle, "wb", buffering=0)
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        self._root.update(data)
        self._count += len(tokens)

    def _finish_shard(self) -> None:
        if self._file is None:
            return
        name = self._name()
        with reporting("write", shard_path(self._folder, name)):
            self._file.close()
            publish(self._temporary, shard_path(self._folder, name))
        self.shards.append(
            Shard(
                name=name,
                tokens=self._count,
                root=self._root.root().hex(),
                source=self._source.name,
                source_sha256=self._source.sha256,
                split=self._split,
            )
        )
        self._file, self._count, self._root = None, 0, RootBuilder()

    def _name(self) -> str:
        return f"{self._source.sha256[:16]}-{self._split}-{len(self.shards):05d}.bin"
