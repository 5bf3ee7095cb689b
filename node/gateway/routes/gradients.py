"""Uploads of updates."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request

from node.gateway.problems import Code, ProblemError
from node.gateway.routes.common import Here, UpdateId, Volunteer, refusals
from node.gateway.schemas import Receipt, UploadMeta
from node.gateway.wire import MEDIA_TYPE, HeaderReader, UploadError

router = APIRouter(prefix="/gradients", tags=["gradients"])


class _Header:
    """Reads an upload's header as its first pieces come, and ends an upload that is somebody else's at once."""

    def __init__(self, worker_id: str) -> None:
        self._reader, self._worker_id = HeaderReader(), worker_id
        self.meta: UploadMeta | None = None

    def __call__(self, piece: bytes) -> None:
        if self.meta is not None:
            return
        try:
            found = self._reader.feed(piece)
        except UploadError as error:
            raise ProblemError(Code.HEADER, f"{error.message} {error.hint}") from error
        if found is not None:
            self.meta = found[0]
            if self.meta.worker_id != self._worker_id:
                raise ProblemError(Code.NOT_YOURS, "The header names another volunteer.")


@router.post(
    "/upload",
    responses=refusals(
        Code.TOKEN,
        Code.BATCH,
        Code.NOT_YOURS,
        Code.LEASE,
        Code.HEADER,
        Code.MISMATCH,
        Code.PAYLOAD,
        Code.STALE,
        Code.CONFLICT,
        Code.QUARANTINED,
        Code.TOO_LARGE,
        Code.TIMEOUT,
    ),
    openapi_extra={"requestBody": {"required": True, "content": {MEDIA_TYPE: {}}}},
)
async def upload(gateway: Here, worker: Volunteer, request: Request) -> Receipt:
    """An update; the body is described at `UploadMeta`. The same upload again gives the same receipt."""
    header = _Header(worker.id)
    async with gateway.spool.receive(request, gateway.upload_limit, header) as path:
        if header.meta is None:
            raise ProblemError(Code.HEADER, "The body ends inside its header.")
        gateway.metrics.upload_bytes.inc(path.stat().st_size)
        receipt = await asyncio.to_thread(gateway.intake.accept, worker, header.meta, path)
    gateway.metrics.uploads.labels(receipt.state).inc()
    return receipt


@router.put(
    "/{update_id}/residual",
    responses=refusals(
        Code.TOKEN, Code.UPDATE, Code.NOT_ASKED, Code.RESIDUAL, Code.PAYLOAD, Code.TOO_LARGE, Code.TIMEOUT
    ),
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)
async def residual(gateway: Here, worker: Volunteer, update_id: UpdateId, request: Request) -> Receipt:
    """The residual that a receipt asked for: zstd of safetensors."""
    async with gateway.spool.receive(request, gateway.upload_limit) as path:
        return await asyncio.to_thread(gateway.intake.residual, worker, update_id, path)


@router.get("/{update_id}", responses=refusals(Code.TOKEN, Code.UPDATE))
def receipt(gateway: Here, worker: Volunteer, update_id: UpdateId) -> Receipt:
    """How an upload of yours stands."""
    return gateway.intake.receipt(worker, update_id)
