"""`/dashboard/api/v1`: what a node's home and its chain say, for reading."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response

from node.dashboard.chain import Chain
from node.dashboard.guard import require_local, require_same_origin
from node.dashboard.home import Home
from node.dashboard.pages import pages_router
from node.dashboard.problems import problem
from node.dashboard.schemas import Claims, Disputes, Network, Rounds, Status, VocabularyAnswer
from node.errors import PonwError

PREFIX = "/dashboard"
API = f"{PREFIX}/api/v1"


def node_router(home: Home, chain: Chain, public: bool = False) -> APIRouter:
    """The read-only routes. Unless `public`, they answer to this machine alone."""
    router = APIRouter(prefix=API, dependencies=[Depends(guard(public))])

    @router.get("/status")
    def status() -> Status:
        return home.status()

    @router.get("/network")
    def network() -> Network:
        return home.network()

    @router.get("/rounds")
    def rounds() -> Rounds:
        return home.rounds()

    @router.get("/claims")
    def claims() -> Claims:
        return home.claims()

    @router.get("/disputes")
    def disputes() -> Disputes:
        return chain.disputes()

    @router.get("/vocabulary")
    def vocabulary() -> VocabularyAnswer:
        return chain.vocabulary()

    return router


def guard(public: bool) -> Callable[[HTTPConnection], None]:
    """The check before every answer."""

    def check(connection: HTTPConnection) -> None:
        if public:
            require_same_origin(connection)
        else:
            require_local(connection)

    return check


def add_dashboard(app: FastAPI, routers: Iterable[APIRouter], features: dict[str, bool], public: bool = False) -> None:
    """Put a node's dashboard into an application: `routers` with the interface, then the pages below /dashboard."""
    app.add_exception_handler(PonwError, _told)
    for router in routers:
        app.include_router(router)
    app.add_api_route(PREFIX, _redirect, methods=["GET"], include_in_schema=False)
    app.add_api_route(f"{API}/{{path:path}}", _unknown, methods=["GET", "POST"], include_in_schema=False)
    app.include_router(pages_router(features, PREFIX), dependencies=[Depends(guard(public))])


def _redirect() -> Response:
    return RedirectResponse(f"{PREFIX}/", 307)


def _unknown(path: str) -> Response:
    return JSONResponse({"title": "No such call.", "status": 404, "detail": path[:100], "code": "not-found"}, 404)


async def _told(_request: Request, error: Exception) -> Response:
    if not isinstance(error, PonwError):
        raise error
    return problem(error)
