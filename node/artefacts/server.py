"""The read-only HTTP interface to published rounds.

GET /v1/health · GET /v1/rounds/{round}/index · GET /v1/rounds/{round}/files/{name}. Files support one byte range a
request (RFC 9110, 14) and carry their SHA-256 as ETag, so that an interrupted download can go on where it stopped.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, Response
from fastapi.responses import FileResponse, JSONResponse

from node.artefacts.layout import IndexEntry, RoundIndex, parse_round, round_folder, valid_name
from node.artefacts.publisher import read_index

_BINARY = "application/octet-stream"


def create_app(root: Path) -> FastAPI:
    """An application that serves the files listed in the index of a round published below `root`, and nothing else."""
    app = FastAPI(title="ponw artefacts", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    @app.get("/v1/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/rounds/{number}/index")
    def index(number: str) -> Response:
        return JSONResponse(_index(root, number).model_dump())

    @app.get("/v1/rounds/{number}/files/{name}")
    def file(
        number: str,
        name: str,
        if_none_match: Annotated[str | None, Header()] = None,
        byte_range: Annotated[str | None, Header(alias="range")] = None,
    ) -> Response:
        found = _index(root, number)
        entry = found.find(name) if valid_name(name) else None
        if entry is None:
            raise HTTPException(404, "no such file")
        headers = {"etag": f'"{entry.sha256}"', "accept-ranges": "bytes", "cache-control": "no-transform"}
        if if_none_match is not None and headers["etag"] in if_none_match:
            return Response(status_code=304, headers=headers)
        if byte_range is not None and "," in byte_range:
            raise HTTPException(416, "one range a request", {"content-range": f"bytes */{entry.size}"})
        path = round_folder(root, found.round) / entry.name
        return FileResponse(path, headers=headers, media_type=_BINARY, stat_result=_stat(path, entry))

    return app


def _index(root: Path, number: str) -> RoundIndex:
    parsed = parse_round(number)
    index = None if parsed is None else read_index(root, parsed)
    if index is None:
        raise HTTPException(404, "no such round")
    return index


def _stat(path: Path, entry: IndexEntry) -> os.stat_result:
    """The file's status, without following links; a file that is no longer what the index lists is not served."""
    try:
        result = path.lstat()
    except FileNotFoundError as error:
        raise HTTPException(404, "no such file") from error
    if not stat.S_ISREG(result.st_mode) or result.st_size != entry.size:
        raise HTTPException(404, "no such file")
    return result
