"""Publishing a round: files first, the index last, so that what the index lists is always there whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from consensus.training.claimed import pack_update
from node.artefacts.layout import (
    BASE_NAME,
    CLAIM_NAME,
    GLOBAL_NAME,
    INDEX_LIMIT,
    INDEX_NAME,
    LEAF_BYTES,
    TRACE_NAME,
    UPDATE_NAME,
    IndexEntry,
    RoundIndex,
    checkpoint_name,
    ops_name,
    parse_index,
    round_folder,
    valid_name,
)
from node.paths import private_folder, read_bounded, write_atomic
from node.storage.files import atomic_file, publish, read_chunks, reporting, sweep_temporaries, temporary_beside


class RoundPublisher:
    """Writes the files of one round below `root`; `finish` makes them visible. Every method can be repeated.

    All methods raise DiskError when there is no space or no permission; nothing listed in an index is harmed.
    """

    def __init__(self, root: Path, number: int) -> None:
        self.number = number
        self.folder = round_folder(root, number)
        private_folder(self.folder)
        sweep_temporaries(self.folder)

    def put_trace(self, leaves: Sequence[bytes]) -> None:
        """trace.bin: the trace's leaves (72 bytes each) end to end.

        Raises:
            ValueError: a leaf is not 72 bytes.
        """
        if any(len(leaf) != LEAF_BYTES for leaf in leaves):
            raise ValueError(f"a trace leaf has {LEAF_BYTES} bytes")
        with atomic_file(self.folder / TRACE_NAME) as file:
            file.writelines(leaves)

    def put_update(self, update: Mapping[str, Tensor]) -> None:
        """update.bin: the claimed update, in int8 blocks.

        Raises:
            CompressionError (consensus): it is none that a claim could name.
        """
        write_atomic(self.folder / UPDATE_NAME, pack_update(update))

    def put_claim(self, body: bytes) -> None:
        """claim.json: the claim as posted."""
        write_atomic(self.folder / CLAIM_NAME, body)

    def put_checkpoint(self, step: int, source: Path) -> None:
        """checkpoint-<step>.safetensors: the bytes of `source`, linked where the file system can, else copied."""
        self._put_file(checkpoint_name(step), source)

    def put_global(self, source: Path) -> None:
        """global.safetensors: the global state that the round starts from, linked or copied like a checkpoint."""
        self._put_file(GLOBAL_NAME, source)

    def put_base(self, source: Path) -> None:
        """base.safetensors: the global state that a late claim of the round began from, likewise."""
        self._put_file(BASE_NAME, source)

    def _put_file(self, name: str, source: Path) -> None:
        target = self.folder / name
        with reporting("publish", target):
            handle, temporary = temporary_beside(target)
            os.close(handle)
            try:
                _link_or_copy(source, temporary)
                publish(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)

    def add_ops(self, step: int, roots: Sequence[bytes]) -> None:
        """ops-<step>.bin, listed at once beside what is published already: a dispute does not wait for other files."""
        name = ops_name(step)
        write_atomic(self.folder / name, b"".join(roots))
        known = read_index(self.folder.parent, self.number)
        files = [] if known is None else [entry for entry in known.files if entry.name != name]
        files.append(_entry(self.folder / name))
        index = RoundIndex(round=self.number, files=tuple(sorted(files, key=lambda entry: entry.name)))
        write_atomic(self.folder / INDEX_NAME, index.model_dump_json().encode())

    def finish(self) -> RoundIndex:
        """Hash every file and write index.json; from now on the round is served."""
        with reporting("read", self.folder):
            names = sorted(path.name for path in self.folder.iterdir() if valid_name(path.name))
            index = RoundIndex(round=self.number, files=tuple(_entry(self.folder / name) for name in names))
        write_atomic(self.folder / INDEX_NAME, index.model_dump_json().encode())
        return index


def read_index(root: Path, number: int) -> RoundIndex | None:
    """The index of a round published below `root`; None if there is none or it is malformed.

    Raises:
        DiskError: it cannot be read.
    """
    try:
        index = parse_index(read_bounded(round_folder(root, number) / INDEX_NAME, INDEX_LIMIT))
    except FileNotFoundError:
        return None
    return index if index is not None and index.round == number else None


def drop_rounds_before(root: Path, number: int) -> None:
    """Remove rounds older than `number`: the index first, so that nothing half-gone is listed."""
    with reporting("remove old rounds in", root):
        for folder in root.iterdir() if root.is_dir() else ():
            if folder.name.isdecimal() and int(folder.name) < number:
                (folder / INDEX_NAME).unlink(missing_ok=True)
                shutil.rmtree(folder)


def _link_or_copy(source: Path, temporary: Path) -> None:
    temporary.unlink()
    try:
        temporary.hardlink_to(source)
    except (PermissionError, FileNotFoundError):
        raise
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, temporary)


def _entry(path: Path) -> IndexEntry:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        for chunk in read_chunks(file):
            digest.update(chunk)
            size += len(chunk)
    return IndexEntry(name=path.name, size=size, sha256=digest.hexdigest())
