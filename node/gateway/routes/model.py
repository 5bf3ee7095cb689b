"""Versions of the model."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from node.gateway.gateway import Gateway
from node.gateway.problems import Code, ProblemError
from node.gateway.ranges import blob_response
from node.gateway.routes.common import PREFIX, Credentials, Here, Responses, limited, refusals, volunteer
from node.gateway.schemas import Model, VersionName
from node.gateway.storage.store import MICROSECONDS
from node.gateway.storage.tables import ModelVersion, Worker

router = APIRouter(prefix="/model", tags=["model"])
Version = Annotated[VersionName, Path(description="name of a version, as v12")]
_BINARY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
BYTES: Responses = {
    200: {"description": "all of it", **_BINARY},
    206: {"description": "the range that was asked for", **_BINARY},
    304: {"description": "unchanged since the ETag in If-None-Match"},
}


def model_of(gateway: Gateway, row: ModelVersion) -> Model:
    """A version as the API shows it."""
    return Model.model_validate(
        {
            "version": row.name,
            "number": row.number,
            "parent": None if row.parent is None else f"v{row.parent}",
            "source": row.source,
            "architecture": asdict(gateway.workshop.config),
            "num_parameters": row.parameters,
            "root": row.root.hex(),
            "sha256": row.sha256.hex(),
            "size": row.size,
            "url": f"{PREFIX}/model/download/{row.name}",
            "active": row.active,
            "created_at": row.created_at // MICROSECONDS,
            "metrics": row.metrics,
        }
    )


@router.get("/current", dependencies=[limited("public")], responses=refusals(Code.NO_VERSION))
def current(gateway: Here) -> Model:
    """The version that batches are made for."""
    row = gateway.registry.current()
    if row is None:
        raise ProblemError(Code.NO_VERSION, "There is no version of the model yet.")
    return model_of(gateway, row)


@router.get("/versions", dependencies=[limited("public")], responses=refusals())
def versions(gateway: Here) -> list[Model]:
    """The newest 200, newest first."""
    return [model_of(gateway, row) for row in gateway.registry.versions()]


@router.api_route(
    "/download/{version}",
    methods=["GET", "HEAD"],
    response_class=Response,
    responses={**refusals(Code.TOKEN, Code.VERSION, Code.RANGE), **BYTES},
    operation_id="download",
)
async def download(
    request: Request, gateway: Here, version: Version, _worker: Annotated[Worker, Depends(volunteer("download"))]
) -> Response:
    """The weights, safetensors of fp32. One range a request; the ETag is the sha256."""
    row = await asyncio.to_thread(gateway.registry.find, version)
    if row is None:
        raise ProblemError(Code.VERSION, f"There is no version {version}.")
    name = f"{gateway.workshop.config.name}-{version}.safetensors"
    return await blob_response(request, gateway.blobs, row.checkpoint_url, row.size, row.sha256.hex(), name=name)


@router.post(
    "/rollback/{version}",
    status_code=201,
    dependencies=[limited("login")],
    responses=refusals(Code.TOKEN, Code.OPERATOR, Code.VERSION, Code.CONFLICT),
)
def rollback(gateway: Here, version: Version, credentials: Credentials) -> Model:
    """The operator's: a new version with the weights of an older one."""
    if credentials is None:
        raise ProblemError(Code.TOKEN, "There is no `Authorization: Bearer` header.")
    gateway.operator.require(credentials.credentials)
    return model_of(gateway, gateway.registry.rollback(version, "the operator asked for it"))
