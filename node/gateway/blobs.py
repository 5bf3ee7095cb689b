"""Large objects by fsspec URL: a folder, or any S3-compatible store (credentials and endpoint by AWS's variables)."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import fsspec

from node.gateway.errors import BlobError
from node.gateway.ports import Blob
from node.storage.files import atomic_file, publish, read_chunks, reporting, temporary_beside

KEY = re.compile(r"^[a-z]{1,16}/[0-9a-f]{64}$")
_HINT = "Check the store's address, credentials and space."


def _outages() -> tuple[type[Exception], ...]:
    """What an S3 client raises beside OSError."""
    if importlib.util.find_spec("botocore") is None:
        return (OSError,)
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only where S3 is installed

    return OSError, BotoCoreError, ClientError


class BlobStore:
    """Blobs named `{kind}/{sha256}` below a URL; equal bytes of a kind are stored once.

    Files appear whole: a folder gets them by rename, an object store shows an object when it is complete.
    """

    def __init__(self, url: str) -> None:
        """Raises BlobError: there is no such kind of store, or its client is not installed."""
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise BlobError(f"The blob store cannot be opened: {error}.", _HINT) from error
        self._local = "file" in self._fs.protocol
        self._outages = _outages()

    def put(self, kind: str, path: Path) -> Blob:
        """Store a file.

        Raises:
            BlobError: the store does not take it. DiskError: the file cannot be read.
        """
        digest, size = _digest(path)
        blob = Blob(f"{kind}/{digest.hex()}", digest, size)
        target = self._path(blob.key)
        with self._errors("store", blob.key):
            if self._fs.exists(target) and self._fs.size(target) == size:
                return blob
            if self._local:
                _copy(path, Path(target))
            else:
                self._fs.put_file(str(path), target)
        return blob

    def put_bytes(self, kind: str, data: bytes) -> Blob:
        """Store bytes; see `put`."""
        with tempfile.NamedTemporaryFile(prefix="ponw-blob-") as file:
            file.write(data)
            file.flush()
            return self.put(kind, Path(file.name))

    def read(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Bytes [start, stop) in pieces of at most 1 MiB.

        Raises:
            BlobError: there is no such key, or the store does not answer.
        """
        with self._errors("read", key), self._fs.open(self._path(key), "rb") as file:
            file.seek(start)
            yield from read_chunks(cast(BinaryIO, file), None if stop is None else max(0, stop - start))

    def fetch(self, key: str, path: Path) -> None:
        """Copy to `path`, which appears only if the bytes are those that the key names.

        Raises:
            BlobError: missing, damaged, or no answer. DiskError: `path` cannot be written.
        """
        found = hashlib.sha256()
        with atomic_file(path) as file:
            for chunk in self.read(key):
                found.update(chunk)
                file.write(chunk)
            if found.hexdigest() != key.partition("/")[2]:
                raise BlobError(f"The blob {key} is damaged: its bytes have another hash.", "Restore it from a backup.")

    def delete(self, key: str) -> None:
        """Remove; a key that does not exist is no error. Raises BlobError."""
        with self._errors("delete", key):
            target = self._path(key)
            if self._fs.exists(target):
                self._fs.rm_file(target)

    def _path(self, key: str) -> str:
        if not KEY.match(key):
            raise BlobError(f"{key!r} is no key of a blob.", "Keys come from the database; restore it.")
        return f"{self._root}/{key}"

    @contextmanager
    def _errors(self, action: str, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise BlobError(f"There is no blob {key}.", "Restore the store from a backup.") from error
        except self._outages as error:
            raise BlobError(f"The blob store does not {action} {key}: {error}.", _HINT) from error


def _digest(path: Path) -> tuple[bytes, int]:
    with reporting("read", path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        return digest, file.tell()


def _copy(source: Path, target: Path) -> None:
    handle, temporary = temporary_beside(target)
    try:
        with open(handle, "wb") as out, source.open("rb") as file:  # noqa: PTH123 - of a descriptor
            for chunk in read_chunks(file):
                out.write(chunk)
        publish(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
