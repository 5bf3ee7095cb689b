"""Batches: leases, texts, states for claims, and the way to the chain."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from node.gateway.problems import Code, ProblemError
from node.gateway.ranges import blob_response
from node.gateway.routes.common import BatchId, Here, Volunteer, limited, refusals
from node.gateway.routes.model import BYTES
from node.gateway.schemas import BatchOffer, BatchRequest, BatchTrace
from node.gateway.trace import trace_of

router = APIRouter(prefix="/batch", tags=["batch"])


@router.post(
    "/request",
    responses=refusals(Code.TOKEN, Code.QUARANTINED, Code.NO_VERSION, Code.NO_WORK, Code.TOO_LARGE),
)
def request(gateway: Here, worker: Volunteer, body: BatchRequest) -> BatchOffer:
    """A lease of a batch; the same again while it lasts."""
    return gateway.queue.request(worker, body)


@router.post(
    "/{batch_id}/release", status_code=204, responses=refusals(Code.TOKEN, Code.BATCH, Code.LEASE, Code.TOO_LARGE)
)
def release(gateway: Here, worker: Volunteer, batch_id: BatchId) -> None:
    """Give a lease back."""
    gateway.queue.release(worker, batch_id)


@router.get(
    "/{batch_id}/data",
    response_class=Response,
    responses={**refusals(Code.TOKEN, Code.BATCH, Code.NOT_YOURS, Code.LEASE, Code.RANGE), **BYTES},
)
async def data(gateway: Here, worker: Volunteer, batch_id: BatchId, request: Request) -> Response:
    """The tokens, u16 LE [steps, batch, seq_len + 1], of a batch that is or was yours."""
    batch = await asyncio.to_thread(gateway.queue.taken_by, worker, batch_id)
    if not batch.data_url:
        raise ProblemError(Code.LEASE, "The batch ended long ago; its text is no longer kept.")
    config = gateway.workshop.config
    size = 2 * batch.steps * config.batch * (config.seq_len + 1)
    sha256 = batch.data_url.partition("/")[2]
    return await blob_response(
        request, gateway.blobs, batch.data_url, size, sha256, name=f"{batch_id}.tokens", private=True
    )


@router.put(
    "/{batch_id}/checkpoint/{step}",
    status_code=204,
    responses=refusals(
        Code.TOKEN, Code.BATCH, Code.NOT_YOURS, Code.LEASE, Code.NOT_ASKED, Code.PAYLOAD, Code.TOO_LARGE, Code.TIMEOUT
    ),
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
)
async def checkpoint(
    gateway: Here,
    worker: Volunteer,
    batch_id: BatchId,
    step: Annotated[int, Path(ge=0, lt=1 << 32)],
    request: Request,
) -> None:
    """A whole state (weights and both moments, safetensors) at a step that the offer names."""
    async with gateway.spool.receive(request, 3 * gateway.weights_limit) as path:
        await asyncio.to_thread(gateway.intake.checkpoint, worker, batch_id, step, path)


@router.get("/{batch_id}/trace", dependencies=[limited("public")], responses=refusals(Code.BATCH))
def trace(gateway: Here, batch_id: BatchId) -> BatchTrace:
    """From volunteers' work to the claim that it became part of."""
    return trace_of(gateway.storage, batch_id)
