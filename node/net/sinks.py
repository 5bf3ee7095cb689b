"""Where a fetched content goes: a file that survives kill -9 unfinished, or memory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from node.net.catalogue import CHUNK_BYTES, chunk_root, chunk_size
from node.net.transfer_types import Layout, UnderWayError
from node.paths import PRIVATE_FILE, private_folder
from node.storage.files import publish, reporting

PARTIAL = ".part"


class Sink(Protocol):
    """Takes the chunks of one content in order."""

    def has_begun(self) -> bool:
        """Whether something may be here already."""

    def resume(self, layout: Layout | None) -> int:
        """Keep the chunks that are here and right, and no more; how many. Without a layout, keep none."""

    def take(self, data: bytes) -> None:
        """The next chunk, already checked."""


class MemorySink:
    """Chunks in memory."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def has_begun(self) -> bool:
        """Never: memory does not outlive a fetch."""
        return False

    def resume(self, layout: Layout | None) -> int:
        """Nothing is here."""
        return 0

    def take(self, data: bytes) -> None:
        """The next chunk."""
        self._chunks.append(data)

    def data(self) -> bytes:
        """All of it."""
        return b"".join(self._chunks)


class FileSink:
    """The unfinished file beside `target`: `.NAME.ROOT.part`, locked while this is open, kept unless published.

    Nothing is flushed chunk by chunk: after a crash `resume` hashes what is there and drops what is torn.
    """

    def __init__(self, target: Path, root: bytes) -> None:
        self._target = target
        self.path = target.parent / f".{target.name}.{root.hex()[:32]}{PARTIAL}"

    def __enter__(self) -> Self:
        with reporting("write", self.path):
            private_folder(self.path.parent)
            self._file = self._open_locked()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with reporting("write", self.path):
            self._file.close()

    def has_begun(self) -> bool:
        """Whether at least one byte is here."""
        with reporting("read", self.path):
            return os.fstat(self._file.fileno()).st_size > 0

    def resume(self, layout: Layout | None) -> int:
        """Cut the file after its last chunk that is right."""
        with reporting("read", self.path):
            kept = 0 if layout is None else self._right_chunks(layout)
            self._file.truncate(kept * CHUNK_BYTES if layout is None else min(kept * CHUNK_BYTES, layout.size))
            self._file.seek(0, os.SEEK_END)
            return kept

    def take(self, data: bytes) -> None:
        """Append a chunk."""
        with reporting("write", self.path):
            self._file.write(data)

    def publish(self) -> None:
        """Put the whole file in its place, durably."""
        with reporting("write", self._target):
            self._file.flush()
            publish(self.path, self._target)

    def _right_chunks(self, layout: Layout) -> int:
        self._file.seek(0)
        for index in range(layout.chunks):
            data = self._file.read(chunk_size(layout.size, index))
            if len(data) != chunk_size(layout.size, index) or chunk_root(data) != layout.roots[index]:
                return index
        return layout.chunks

    def _open_locked(self) -> BinaryIO:
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.fdopen(os.open(self.path, flags, PRIVATE_FILE), "r+b")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.close()
                raise UnderWayError(f"{self._target} is being fetched already.", "Wait for that fetch.") from error
            if self._is_named(file):
                return file
            file.close()  # another fetch published it between our open and our lock

    def _is_named(self, file: BinaryIO) -> bool:
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False


def sweep_partials(folder: Path, older_than: float) -> int:
    """Remove unfinished fetches in `folder` that nothing was added to since `older_than` (Unix seconds); how many."""
    removed = 0
    with reporting("clean up", folder):
        for leftover in folder.glob(f".*{PARTIAL}"):
            if leftover.lstat().st_mtime < older_than:
                leftover.unlink(missing_ok=True)
                removed += 1
    return removed
