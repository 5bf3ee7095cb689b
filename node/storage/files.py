"""Large files: streamed in, complete or absent. Small ones go through `node.paths`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from consensus.commitments.tensors import RootBuilder
from node.paths import PRIVATE_FILE, disk_error, private_folder, sync_folder

CHUNK_BYTES = 1 << 20
Progress = Callable[[int], None]
"""Called with the number of bytes done since the last call."""


@contextmanager
def reporting(action: str, path: Path) -> Iterator[None]:
    """Turn an operating-system error inside the block into one sentence about `path`.

    Raises:
        DiskError: no space, no permission, an I/O error.
    """
    try:
        yield
    except OSError as error:
        raise disk_error(action, path, error) from error


def temporary_beside(path: Path) -> tuple[int, Path]:
    """A new hidden file (descriptor, path) in the folder of `path`; its name tells a sweep that it is unfinished."""
    private_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.fchmod(handle, PRIVATE_FILE)
    return handle, Path(name)


def publish(temporary: Path, path: Path) -> None:
    """Put a finished temporary file in its place, durably: fsync, rename, fsync of the folder."""
    handle = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(path)
    sync_folder(path.parent)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` only if the block succeeds; a crash leaves the old file.

    Raises:
        DiskError: no space, no permission; the old file stands and no temporary file is left.
    """
    with reporting("write", path):
        handle, temporary = temporary_beside(path)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
            publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def sweep_temporaries(folder: Path) -> None:
    """Remove what a killed process left unfinished in `folder`; call it only while no other process writes there."""
    with reporting("clean up", folder):
        for leftover in folder.glob(".*.tmp"):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)
            else:
                leftover.unlink(missing_ok=True)


def read_chunks(file: BinaryIO, length: int | None = None) -> Iterator[bytes]:
    """The next `length` bytes of `file` (all, if None) in pieces of at most CHUNK_BYTES; stops early at its end."""
    left = length
    while left is None or left > 0:
        chunk = file.read(CHUNK_BYTES if left is None else min(CHUNK_BYTES, left))
        if not chunk:
            return
        if left is not None:
            left -= len(chunk)
        yield chunk


def tensor_root_of(path: Path, progress: Progress | None = None) -> bytes:
    """Tensor root of a whole file, streamed; 32 bytes. Operating-system errors pass through to the caller."""
    builder = RootBuilder()
    with path.open("rb") as file:
        for chunk in read_chunks(file):
            builder.update(chunk)
            if progress is not None:
                progress(len(chunk))
    return builder.root()
