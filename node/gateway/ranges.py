"""Bytes of a blob over HTTP: one range a request, strong ETags, conditions (RFC 9110, 13 and 14)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from node.gateway.ports import Blobs
from node.gateway.problems import Code, ProblemError

_RANGE = re.compile(r"^bytes=([0-9]{0,18})-([0-9]{0,18})$")
_BINARY = "application/octet-stream"


def matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names the tag; weak ones count (RFC 9110, 13.1.2)."""
    if header is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or etag in tags


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Bytes [start, stop) that a Range header asks for; None: all, as for a header that is malformed or has several.

    Raises:
        ProblemError RANGE: nothing of it is within `size` bytes.
    """
    found = _RANGE.match(header) if header is not None else None
    if found is None or not (found[1] or found[2]):
        return None
    if found[1]:
        start, stop = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
        if found[2] and int(found[2]) < start:
            return None
    else:
        start, stop = max(0, size - int(found[2])), size
    if start >= stop:
        raise ProblemError(Code.RANGE, f"The file has {size} bytes.", headers={"content-range": f"bytes */{size}"})
    return start, stop


async def blob_response(
    request: Request, blobs: Blobs, key: str, size: int, sha256: str, *, name: str, private: bool = False
) -> Response:
    """A blob whose key never changes its bytes, or what the request's conditions leave of it.

    Raises:
        ProblemError RANGE. BlobError: the store lacks it.
    """
    etag = f'"{sha256}"'
    headers = {
        "etag": etag,
        "accept-ranges": "bytes",
        "cache-control": f"{'private' if private else 'public'}, max-age=31536000, immutable, no-transform",
        "content-disposition": f'attachment; filename="{name}"',
    }
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("range") if request.method == "GET" else None
    if request.headers.get("if-range", etag) != etag:
        asked = None  # the client's part is of other bytes
    part = parse_range(asked, size)
    start, stop = part or (0, size)
    headers["content-length"] = str(stop - start)
    if part is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=_BINARY)
    pieces = blobs.read(key, start, stop)
    first = await asyncio.to_thread(next, pieces, b"")  # a blob that is missing is found before the answer begins
    return StreamingResponse(_stream(first, pieces), status_code=status, headers=headers, media_type=_BINARY)


async def _stream(first: bytes, rest: Iterator[bytes]) -> AsyncIterator[bytes]:
    piece = first
    while piece:
        yield piece
        piece = await asyncio.to_thread(next, rest, b"")
