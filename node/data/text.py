"""Finding text files and looking at them once before anything is written: size, hash, encoding, held-out border."""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from node.data.errors import NotTextError
from node.errors import DataError
from node.storage.files import Progress, read_chunks, reporting

HELDOUT_PERCENT = 5
"""Share of every source text, at its end, that training never draws from. Part of the dataset's definition."""
_MAX_CHARACTER = 4  # bytes of the longest UTF-8 sequence (RFC 3629)
_SOURCE_NAME_LIMIT = 200


@dataclass(frozen=True)
class SourceText:
    """A text file as it was when looked at: `border` is the byte where its held-out end begins."""

    path: Path
    name: str
    size: int
    sha256: str
    border: int


@dataclass(frozen=True)
class Skipped:
    """A file found in a folder that is not text, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Selection:
    """What a list of paths comes down to."""

    texts: tuple[SourceText, ...]
    skipped: tuple[Skipped, ...]


def select(paths: Iterable[Path], progress: Progress | None = None) -> Selection:
    """Inspect every file named and every file below every folder named, in sorted order; hidden files are passed over.

    Reads each file whole, in pieces; writes nothing.

    Raises:
        NotTextError: a file that was named itself is binary, empty, or not UTF-8.
        DataError: a path does not exist or is neither file nor folder, or nothing usable was found.
        DiskError: a file cannot be read.
    """
    texts: list[SourceText] = []
    skipped: list[Skipped] = []
    for path in paths:
        if not path.is_dir():
            texts.append(inspect(path, progress))
            continue
        for file in _walk(path):
            try:
                texts.append(inspect(file, progress))
            except NotTextError as error:
                skipped.append(Skipped(file, error.message))
    if not texts:
        raise DataError(
            "No text file was found in the given paths.", "Name a UTF-8 text file or a folder that has some."
        )
    return Selection(tuple(texts), tuple(skipped))


def inspect(path: Path, progress: Progress | None = None) -> SourceText:
    """Size, SHA-256 and held-out border of one UTF-8 text file.

    Raises:
        NotTextError: it is binary, empty, or not UTF-8.
        DataError: it does not exist or is not a regular file.
        DiskError: it cannot be read.
    """
    _require_regular(path)
    digest, decoder, size = hashlib.sha256(), codecs.getincrementaldecoder("utf-8")(), 0
    with reporting("read", path), path.open("rb") as file:
        for chunk in read_chunks(file):
            digest.update(chunk)
            _require_text(path, decoder, chunk)
            size += len(chunk)
            if progress is not None:
                progress(len(chunk))
        _require_text(path, decoder, b"", final=True)
        if size == 0:
            raise NotTextError(f"{path} is empty.", "Leave it out.")
        border = _border(file, size)
    return SourceText(path, _display_name(path), size, digest.hexdigest(), border)


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    with reporting("read", folder):
        for root, folders, files in os.walk(folder, onerror=refuse):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                path = Path(root) / name
                if not name.startswith(".") and not path.is_symlink() and path.is_file():
                    yield path


def _require_regular(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.", "Check the spelling of the path.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is not a regular file.", "Name a text file or a folder.")


def _require_text(path: Path, decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool = False) -> None:
    if b"\x00" in chunk:
        raise NotTextError(f"{path} is a binary file, not text.", "Only UTF-8 text can be added.")
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        raise NotTextError(
            f"{path} is not valid UTF-8.", "Convert it first, for example with `iconv -f latin1 -t utf-8`."
        ) from error


def _border(file: BinaryIO, size: int) -> int:
    """The first character boundary at or after the first 95% of the bytes."""
    border = size * (100 - HELDOUT_PERCENT) // 100
    file.seek(border)
    for byte in file.read(_MAX_CHARACTER):
        if byte & 0xC0 != 0x80:
            break
        border += 1
    return border


def _display_name(path: Path) -> str:
    """The file's name without its folder (paths are private), always valid UTF-8."""
    return os.fsencode(path.name).decode("utf-8", "replace")[:_SOURCE_NAME_LIMIT]
