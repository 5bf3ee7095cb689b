"""Files of the gateway: resumed where a download broke off, by another process too, and hashed before they are used."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import httpx

from node.errors import DiskError
from node.paths import PRIVATE_FILE, private_folder
from node.storage.files import publish, read_chunks, reporting
from node.volunteer.api import Gateway
from node.volunteer.errors import AnswerError, GatewayDownError

Progress = Callable[[int, int, int], None]
"""Called with (bytes that just came, bytes there, bytes of the whole)."""
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_SPARE: Final = 64 << 20


def fetch(gateway: Gateway, path: str, target: Path, size: int, sha256: str, progress: Progress) -> Path:
    """`target` with exactly `size` bytes of hash `sha256`; what is there already is not fetched again.

    Raises what `Gateway` does, AnswerError for other bytes than named, and DiskError.
    """
    if target.is_file() and target.stat().st_size == size:
        return target
    require_space(target.parent, size)
    part = target.with_name(f".{target.name}.part")
    for fresh in (False, True):
        if fresh:
            part.unlink(missing_ok=True)
        with reporting("write", part):
            gateway.retrying(lambda: _rest(gateway, path, part, size, sha256, progress))
            if _hash_of(part) == sha256:
                publish(part, target)
                return target
    part.unlink(missing_ok=True)
    raise AnswerError(f"{path} of the gateway does not have the hash that it names.", "Tell the gateway's operator.")


def require_space(folder: Path, size: int) -> None:
    """Raises DiskError where the file system has no room for `size` bytes more and a little."""
    private_folder(folder)
    with reporting("read", folder):
        free = shutil.disk_usage(folder).free
    if free < size + _SPARE:
        raise DiskError(
            f"{folder} has {free >> 20} MiB of free space; {(size + _SPARE) >> 20} MiB are needed.",
            "Free some space, or choose another folder with --home.",
        )


def _rest(gateway: Gateway, path: str, part: Path, size: int, sha256: str, progress: Progress) -> None:
    """Append what is missing of `part`."""
    part.touch(mode=PRIVATE_FILE)
    have = part.stat().st_size
    if have > size:
        part.unlink()
        part.touch(mode=PRIVATE_FILE)
        have = 0
    if have == size:
        return
    headers = {"range": f"bytes={have}-", "if-range": f'"{sha256}"'} if have else {}
    with gateway.open("GET", path, headers=headers) as response, part.open("r+b") as file:
        file.seek(_start(response, have, size))
        file.truncate()
        _take(response, file, size, progress)


def _start(response: httpx.Response, have: int, size: int) -> int:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise AnswerError("The gateway compresses a file that was asked for as it is.", "Tell its operator.")
    if response.status_code == httpx.codes.OK:
        return 0
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
    if match is None or int(match[1]) != have or int(match[3]) != size:
        raise AnswerError("The gateway sent another part of a file than was asked for.", "Tell its operator.")
    return have


def _take(response: httpx.Response, file: BinaryIO, size: int, progress: Progress) -> None:
    for piece in response.iter_raw():
        if file.tell() + len(piece) > size:
            raise AnswerError("The gateway sends more of a file than it named.", "Tell its operator.")
        file.write(piece)
        progress(len(piece), file.tell(), size)
    if file.tell() < size:
        raise GatewayDownError("The gateway broke off in the middle of a file.", "The rest is fetched next.")


def _hash_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in read_chunks(file):
            digest.update(piece)
    return digest.hexdigest()


def keep_newest(folder: Path, count: int) -> None:
    """Remove all but the `count` files used last. Raises DiskError."""
    if not folder.is_dir():
        return
    with reporting("clean up", folder):
        found = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in found[count:]:
            path.unlink(missing_ok=True)
