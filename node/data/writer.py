"""Changing a dataset: one writer at a time, shards first, the manifest last, so that a crash changes nothing."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from node.data.dataset import find_problems
from node.data.errors import DatasetBusyError
from node.data.manifest import SHARDS_NAME, Manifest, Shard, load_manifest, save_manifest, shard_path
from node.data.shards import SHARD_BYTES, ShardWriter
from node.data.text import SourceText
from node.data.tokens import BOS, EOS, TOKEN_DTYPE, Tokens, encode
from node.errors import DataError
from node.paths import PRIVATE_FILE, private_folder
from node.storage.files import Progress, read_chunks, reporting, sweep_temporaries

LOCK_NAME = ".lock"


@dataclass(frozen=True)
class Added:
    """What became of one text: `tokens` are those written now, 0 if it was there already and intact."""

    path: Path
    source: str
    tokens: int
    outcome: Literal["added", "present", "repaired"]


class DatasetWriter:
    """Exclusive writer of the dataset in `folder`; use as a context manager. With `wait` it waits for another writer.

    Raises (on entering):
        DatasetBusyError: another process is writing.
        ManifestError: the dataset's manifest is unusable.
        DiskError: the folder cannot be created or read.
    """

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES, *, wait: bool = False) -> None:
        self._folder, self._shard_bytes, self._wait = folder, shard_bytes, wait
        self._shards: list[Shard] = []
        self._staged: list[Shard] = []
        self._lock = -1

    def __enter__(self) -> DatasetWriter:
        private_folder(self._folder / SHARDS_NAME)
        self._lock = _lock(self._folder / LOCK_NAME, self._wait)
        with ExitStack() as release:
            release.callback(os.close, self._lock)
            manifest = load_manifest(self._folder)
            self._shards = list(manifest.shards) if manifest else []
            self._sweep()
            release.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            for shard in self._staged:
                shard_path(self._folder, shard.name).unlink(missing_ok=True)
        finally:
            os.close(self._lock)

    def add(self, text: SourceText, progress: Progress | None = None) -> Added:
        """Write the shards of one text; they join the dataset with the next `commit`.

        Text that is there already is left alone, unless one of its shards is damaged: then they are written again.

        Raises:
            DataError: the file changed since it was inspected; nothing of it is kept.
            DiskError: no space, no permission; nothing of it is kept.
        """
        known = [shard for shard in (*self._shards, *self._staged) if shard.source_sha256 == text.sha256]
        if known and not find_problems(self._folder, known, full=True):
            return Added(text.path, text.name, 0, "present")
        repair = bool(known)
        with (
            ShardWriter(self._folder, text, "train", self._shard_bytes, repair=repair) as train,
            ShardWriter(self._folder, text, "heldout", self._shard_bytes, repair=repair) as heldout,
        ):
            _encode_into(text, train, heldout, progress)
        written = train.shards + heldout.shards
        if not repair:
            self._staged += written
        tokens = sum(shard.tokens for shard in written)
        return Added(text.path, text.name, tokens, "repaired" if repair else "added")

    def add_tokens(self, text: SourceText, train: Iterable[Tokens], heldout: Iterable[Tokens]) -> None:
        """Write the shards of one text whose tokens are known; they join the dataset with the next `commit`.

        Raises:
            DiskError: no space, no permission; nothing of it is kept.
        """
        with (
            ShardWriter(self._folder, text, "train", self._shard_bytes) as first,
            ShardWriter(self._folder, text, "heldout", self._shard_bytes) as second,
        ):
            for writer, pieces in ((first, train), (second, heldout)):
                for tokens in pieces:
                    writer.write(tokens)
        self._staged += first.shards + second.shards

    def commit(self) -> Manifest:
        """Make everything added so far part of the dataset, in one atomic step.

        Raises:
            DiskError: the manifest cannot be replaced; the dataset is as it was.
        """
        manifest = Manifest.of([*self._shards, *self._staged])
        save_manifest(self._folder, manifest)
        self._shards, self._staged = list(manifest.shards), []
        return manifest

    def _sweep(self) -> None:
        """Remove what a killed writer left: unfinished files, and shards that no manifest lists."""
        for folder in (self._folder, self._folder / SHARDS_NAME):
            sweep_temporaries(folder)
        listed = {shard.name for shard in self._shards}
        with reporting("clean up", self._folder):
            for path in (self._folder / SHARDS_NAME).glob("*.bin"):
                if path.name not in listed:
                    path.unlink()


def add_texts(folder: Path, texts: Iterable[SourceText], progress: Progress | None = None) -> list[Added]:
    """Add texts to the dataset in `folder`, each committed as a whole before the next begins.

    Raises:
        DataError, DiskError: see DatasetWriter; texts before the failing one stay added, of it nothing.
    """
    results: list[Added] = []
    with DatasetWriter(folder) as writer:
        for text in texts:
            results.append(writer.add(text, progress))
            if results[-1].outcome == "added":
                writer.commit()
    return results


def _lock(path: Path, wait: bool) -> int:
    with reporting("lock", path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise DatasetBusyError(
                f"Another process is adding text to {path.parent}.", "Wait for it to finish, then try again."
            ) from error
    return handle


def _encode_into(text: SourceText, train: ShardWriter, heldout: ShardWriter, progress: Progress | None) -> None:
    digest = hashlib.sha256()
    with reporting("read", text.path), text.path.open("rb") as file:
        for writer, length in ((train, text.border), (heldout, text.size - text.border)):
            if length:
                _encode_part(file, length, writer, digest, progress)
        digest.update(file.read(1))
    if digest.hexdigest() != text.sha256:
        raise DataError(f"{text.path} changed while it was being added.", "Add it again when nothing writes to it.")


def _encode_part(
    file: BinaryIO, length: int, writer: ShardWriter, digest: hashlib._Hash, progress: Progress | None
) -> None:
    """BOS ‖ bytes ‖ EOS."""
    writer.write(np.array([BOS], dtype=TOKEN_DTYPE))
    for chunk in read_chunks(file, length):
        digest.update(chunk)
        writer.write(encode(chunk))
        if progress is not None:
            progress(len(chunk))
    writer.write(np.array([EOS], dtype=TOKEN_DTYPE))
