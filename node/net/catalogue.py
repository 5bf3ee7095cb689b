"""What this node gives to peers: contents by their tensor root, in chunks that can each be judged alone.

A chunk is 2^10 leaves of the tensor tree, so the roots of the chunks are the tree's nodes ten levels up, and the root
over them is the tensor root of the whole (RFC 9162, 2.1: whole subtrees on the left, what is left over on the right).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from consensus.commitments import hashing, tree
from economics.constants import LEAF_BYTES
from node.storage.files import read_chunks, reporting

CHUNK_BYTES: Final = LEAF_BYTES << 10
"""1 MiB."""
MAX_CHUNKS: Final = 1 << 16
MAX_BYTES: Final = MAX_CHUNKS * CHUNK_BYTES
"""64 GiB, the largest content; its chunk roots are 2 MiB."""


class Source(Protocol):
    """One content that can be read again and again."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def chunk_roots(self) -> bytes:
        """32 bytes a chunk, in order."""

    def read(self, index: int) -> bytes:
        """Chunk `index`; shorter than it should be where the content has changed. Raises OSError: unreadable."""


def chunk_root(data: bytes) -> bytes:
    """Tensor root of one chunk, 32 bytes."""
    return hashing.roots([np.frombuffer(data, dtype=np.uint8)], 1)[0]


def chunk_count(size: int) -> int:
    """Chunks of a content of `size` bytes."""
    return -(-size // CHUNK_BYTES)


def chunk_size(size: int, index: int) -> int:
    """Bytes of chunk `index` of a content of `size` bytes."""
    return min(CHUNK_BYTES, size - index * CHUNK_BYTES)


def split_roots(chunk_roots: bytes) -> list[bytes]:
    """The single roots, 32 bytes each."""
    return [chunk_roots[at : at + tree.HASH_BYTES] for at in range(0, len(chunk_roots), tree.HASH_BYTES)]


def content_root(chunk_roots: bytes) -> bytes:
    """Tensor root of the content whose chunks have these roots, 32 bytes."""
    return tree.root(split_roots(chunk_roots))


class FileSource:
    """A file as it was when it was added; `chunk_roots` are computed then, in one pass."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = 0
        roots = bytearray()
        with reporting("read", path), path.open("rb") as file:
            for data in read_chunks(file):
                self.size += len(data)
                roots += chunk_root(data)
        self.chunk_roots = bytes(roots)

    def read(self, index: int) -> bytes:
        """Chunk `index` as the file is now. Raises OSError: unreadable."""
        handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return os.pread(handle, chunk_size(self.size, index), index * CHUNK_BYTES)
        finally:
            os.close(handle)


class MemorySource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.chunk_roots = b"".join(chunk_root(self.read(index)) for index in range(chunk_count(self.size)))

    def read(self, index: int) -> bytes:
        """Chunk `index`."""
        return self._data[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]


class Catalogue:
    """Contents by root. Threads may share it: each call is one step on one dictionary."""

    def __init__(self) -> None:
        self._sources: dict[bytes, Source] = {}

    def add_file(self, path: Path) -> bytes:
        """Offer a file; its tensor root, 32 bytes. Changed later, its chunks are no longer given.

        Raises:
            DiskError: it cannot be read.
            ValueError: larger than MAX_BYTES.
        """
        return self._add(FileSource(path))

    def add_bytes(self, data: bytes) -> bytes:
        """Offer bytes in memory; their tensor root, 32 bytes. Raises ValueError: larger than MAX_BYTES."""
        return self._add(MemorySource(data))

    def remove(self, root: bytes) -> None:
        """Offer it no longer; nothing happens where it was not offered."""
        self._sources.pop(root, None)

    def find(self, root: bytes) -> Source | None:
        """The content with this root."""
        return self._sources.get(root)

    def locate(self, number: int, name: str) -> bytes | None:
        """Root of a file published for round `number`; None here: contents are known by their roots only."""
        return None

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._sources))

    def _add(self, source: Source) -> bytes:
        if source.size > MAX_BYTES:
            raise ValueError(f"{source.size} bytes are more than one content may have ({MAX_BYTES})")
        root = content_root(source.chunk_roots)
        self._sources[root] = source
        return root
