"""Bodies that are too large for memory: streamed into the spool folder within bounds of size and time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Request
from starlette.requests import ClientDisconnect

from node.gateway.problems import Code, ProblemError
from node.storage.files import reporting, sweep_temporaries, temporary_beside

PIECE_SECONDS = 30.0
"""Longest silence within a body."""
_WRITE_BYTES = 1 << 20
Watch = Callable[[bytes], None]
"""Is shown each piece as it comes; what it raises ends the upload."""


class Spool:
    """Takes so many bodies at once, each into a file that is gone when its block ends."""

    def __init__(self, folder: Path, at_once: int) -> None:
        self._folder, self._free = folder, at_once

    def sweep(self) -> None:
        """Remove what a killed process left; only while no other one runs."""
        if self._folder.is_dir():
            sweep_temporaries(self._folder)

    @asynccontextmanager
    async def receive(self, request: Request, limit: int, watch: Watch | None = None) -> AsyncIterator[Path]:
        """The body as a file of at most `limit` bytes.

        Raises:
            ProblemError TOO_LARGE, TIMEOUT, BUSY, INVALID: the client went away. DiskError. What `watch` raises.
        """
        if _said(request) > limit:
            raise ProblemError(Code.TOO_LARGE, f"At most {limit} bytes are taken here.")
        if not self._free:
            raise ProblemError(Code.BUSY, "As many uploads as this process takes are under way.")
        self._free -= 1
        try:
            handle, path = await asyncio.to_thread(temporary_beside, self._folder / "upload")
            try:
                try:
                    await _fill(request, handle, path, limit, watch)
                finally:
                    os.close(handle)
                yield path
            finally:
                path.unlink(missing_ok=True)
        finally:
            self._free += 1


def _said(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 19 else 0


async def _fill(request: Request, handle: int, path: Path, limit: int, watch: Watch | None) -> None:
    held, total = bytearray(), 0
    async for piece in _pieces(request):
        total += len(piece)
        if total > limit:
            raise ProblemError(Code.TOO_LARGE, f"At most {limit} bytes are taken here.")
        if watch is not None:
            watch(piece)
        held += piece
        if len(held) >= _WRITE_BYTES:
            await asyncio.to_thread(_write, handle, path, bytes(held))
            held.clear()
    await asyncio.to_thread(_write, handle, path, bytes(held))


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(PIECE_SECONDS):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise ProblemError(Code.TIMEOUT, f"Nothing came for {PIECE_SECONDS:.0f} s.") from error
        except ClientDisconnect as error:
            raise ProblemError(Code.INVALID, "The upload broke off.") from error
        yield piece


def _write(handle: int, path: Path, data: bytes) -> None:
    with reporting("write", path):
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
