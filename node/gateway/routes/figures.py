"""Statistics, the leaderboard, live messages, and what operators look at."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response, WebSocket
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from node.gateway.problems import Code
from node.gateway.routes.common import Here, Volunteer, address_of, limited, refusals
from node.gateway.schemas import GlobalStats, LeaderRow, WorkerStats

router = APIRouter(tags=["figures"])
outside = APIRouter(tags=["operation"])


class Health(BaseModel):
    """GET /health"""

    status: str = "ok"


@router.get("/stats/global", dependencies=[limited("public")], responses=refusals(), response_model=GlobalStats)
async def global_stats(gateway: Here) -> Response:
    """The network as a whole, at most a second old."""
    return Response(await gateway.global_stats.get(), media_type="application/json")


@router.get("/leaderboard", dependencies=[limited("public")], responses=refusals(), response_model=list[LeaderRow])
async def leaderboard(gateway: Here) -> Response:
    """The 100 volunteers with the most accepted batches."""
    return Response(await gateway.leaders.get(), media_type="application/json")


@router.get("/worker/stats", responses=refusals(Code.TOKEN))
def worker_stats(gateway: Here, worker: Volunteer) -> WorkerStats:
    """What you have done, and how it was taken."""
    return gateway.statistics.worker(worker)


@router.websocket("/ws/status")
async def live(socket: WebSocket, gateway: Here) -> None:
    """See `node.gateway.live`."""
    await gateway.hub.serve(socket, address_of(socket))


@outside.get("/health", responses=refusals())
def health(gateway: Here) -> Health:
    """Whether the gateway answers and reaches its database."""
    gateway.registry.current()
    return Health()


@outside.get(
    "/metrics",
    response_class=Response,
    responses={**refusals(), 200: {"description": "Prometheus's text format", "content": {CONTENT_TYPE_LATEST: {}}}},
)
async def metrics(gateway: Here) -> Response:
    """Figures for Prometheus."""
    return Response(await asyncio.to_thread(gateway.metrics.text), media_type=CONTENT_TYPE_LATEST)
