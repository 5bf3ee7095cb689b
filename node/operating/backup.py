"""Backups of a home folder: one tar file, whole or absent, each file with its sha256; checked before it is put back.

The keystore is in it as it lies on disk: encrypted. So is the gateway's secret, in the clear: keep the file private
(it is written with mode 600).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node import paths
from node.operating.errors import BackupError
from node.operating.snapshots import DATABASES, copy_database, files_of
from node.storage.files import CHUNK_BYTES, atomic_file, read_chunks, reporting

MANIFEST: Final = "manifest.json"
FORMAT: Final = "ponw-backup-1"
MANIFEST_LIMIT: Final = 64 << 20
FILES_MAX: Final = 1_000_000
Progress = Callable[[str], None]


class Entry(BaseModel):
    """One file of a backup."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """First member of the tar file. `made_at`: Unix seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    made_at: int
    files: list[Entry] = Field(max_length=FILES_MAX)


@dataclass(frozen=True)
class Made:
    """What a backup holds."""

    path: Path
    files: int
    size: int


def create(home: Path, target: Path, *, large: bool, now: int, progress: Progress = lambda _: None) -> Made:
    """Write a backup of `home` to `target`; databases may be in use meanwhile.

    Raises:
        BackupError: there is nothing in `home`, or `target` exists. DatabaseError, DiskError.
    """
    if target.exists():
        raise BackupError(f"{target} exists already.", "Choose another name; a backup never replaces one.")
    with tempfile.TemporaryDirectory(prefix=".backup.", dir=paths.private_folder(home)) as staging:
        sources = {name: home / name for name in map(str, files_of(home, large))}
        for name in DATABASES:
            if (home / name).is_file():
                progress(name)
                copy_database(home / name, Path(staging) / name)
                sources[name] = Path(staging) / name
        if not sources:
            raise BackupError(f"There is nothing to back up in {home}.", "Name the node's folder with --home.")
        manifest = Manifest(format=FORMAT, made_at=now, files=[_entry(name, sources[name]) for name in sorted(sources)])
        with atomic_file(target) as file:
            _write(file, manifest, sources, progress)
    return Made(target, len(manifest.files), target.stat().st_size)


def restore(source: Path, home: Path, progress: Progress = lambda _: None) -> Manifest:
    """Put a backup into a home folder that has none of its files. Nothing is put there unless every file is right.

    Raises:
        BackupError: damaged, of another format, or a file is there already. DiskError.
    """
    paths.private_folder(home)
    with tempfile.TemporaryDirectory(prefix=".restore.", dir=home) as staging:
        manifest = _unpack(source, Path(staging), progress)
        there = [entry.path for entry in manifest.files if (home / entry.path).exists()]
        if there:
            raise BackupError(f"{home / there[0]} exists already.", "Restore into an empty folder, or move it away.")
        for entry in manifest.files:
            paths.private_folder((home / entry.path).parent)
            with reporting("restore", home / entry.path):
                (Path(staging) / entry.path).replace(home / entry.path)
    return manifest


def check(source: Path) -> Manifest:
    """Read a whole backup and compare every hash. Raises BackupError, DiskError."""
    with tempfile.TemporaryDirectory(prefix="ponw-backup-") as staging:
        return _unpack(source, Path(staging), lambda _: None)


def _entry(name: str, path: Path) -> Entry:
    digest, size = hashlib.sha256(), 0
    with reporting("read", path), path.open("rb") as file:
        for chunk in read_chunks(file):
            digest.update(chunk)
            size += len(chunk)
    return Entry(path=name, size=size, sha256=digest.hexdigest())


def _write(file: BinaryIO, manifest: Manifest, sources: dict[str, Path], progress: Progress) -> None:
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        text = json.dumps(manifest.model_dump(), indent=1).encode()
        tar.addfile(_member(MANIFEST, len(text), manifest.made_at), io.BytesIO(text))
        for entry in manifest.files:
            progress(entry.path)
            with reporting("read", sources[entry.path]), sources[entry.path].open("rb") as held:
                tar.addfile(_member(entry.path, entry.size, manifest.made_at), held)


def _member(name: str, size: int, at: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, paths.PRIVATE_FILE, at
    return info


def _unpack(source: Path, folder: Path, progress: Progress) -> Manifest:
    hint = "Take another backup; this one is not put back."
    try:
        with reporting("read", source), tarfile.open(source, mode="r|") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or first.size > MANIFEST_LIMIT:
                raise BackupError(f"{source} is no backup of a node.", hint)
            manifest = _manifest(source, tar, first)
            due = {entry.path: entry for entry in manifest.files}
            while (member := tar.next()) is not None:
                entry = due.pop(member.name, None)
                if entry is None or not member.isreg() or member.size != entry.size:
                    raise BackupError(f"{source} holds {member.name}, which its list does not.", hint)
                progress(entry.path)
                _extract(source, tar, member, entry, folder)
    except tarfile.TarError as error:
        raise BackupError(f"{source} is damaged ({error}).", hint) from error
    if due:
        raise BackupError(f"{source} ends before {min(due)}.", hint)
    return manifest


def _manifest(source: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Manifest:
    held = tar.extractfile(member)
    try:
        manifest = Manifest.model_validate_json(b"" if held is None else held.read(MANIFEST_LIMIT))
    except ValidationError as error:
        raise BackupError(f"The list of {source} is unreadable.", "Take another backup.") from error
    if manifest.format != FORMAT:
        raise BackupError(
            f"{source} is a backup of format {manifest.format}.", "Restore it with the ponw that wrote it."
        )
    wrong = [entry.path for entry in manifest.files if not _inside(entry.path)]
    if wrong:
        raise BackupError(f"{source} names a file outside of the folder.", "This backup is not put back.")
    return manifest


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _extract(source: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, entry: Entry, folder: Path) -> None:
    held = tar.extractfile(member)
    digest, target = hashlib.sha256(), folder / entry.path
    paths.private_folder(target.parent)
    with reporting("write", target), atomic_file(target) as out:
        while held is not None and (chunk := held.read(CHUNK_BYTES)):
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != entry.sha256:
        raise BackupError(f"{entry.path} in {source} is damaged.", "Take another backup; this one is not put back.")
