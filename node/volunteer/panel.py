"""The local control API (`panel_schemas`): for a browser on this machine and nobody else."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.middleware.base import RequestResponseEndpoint

from node.artefacts.serving import serve_in_thread
from node.errors import ConfigError, PonwError
from node.gateway.schemas import Problem
from node.volunteer.api import PREFIX, Gateway
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.errors import RefusedError
from node.volunteer.limits_desk import LimitsDesk
from node.volunteer.panel_schemas import Limits, PanelState

LOCAL: Final = "/local/v1"
STATIC: Final = Path(__file__).parent.parent / "dashboard" / "static"
_PASSED_ON: Final = frozenset({"/stats/global", "/leaderboard", "/model/current", "/model/versions"})
_BODY_LIMIT: Final = 1 << 14
_TICK_S: Final = 0.25
_COMMENT_TICKS: Final = 60
_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


@dataclass
class Panel:
    """What the API works on. `gateway`: with few attempts, for figures that are passed on."""

    control: Control
    board: Board
    desk: LimitsDesk
    gateway: Gateway
    static: Path = STATIC
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    ended: bool = False


def address(given: str) -> tuple[str, int]:
    """HOST:PORT of the panel. Raises ConfigError unless HOST is a loopback address."""
    host, _, port = given.rpartition(":")
    host = {"": "127.0.0.1", "localhost": "127.0.0.1"}.get(host, host.strip("[]"))
    try:
        loopback = ipaddress.ip_address(host).is_loopback
        number = int(port)
    except ValueError:
        loopback, number = False, -1
    if not loopback or not 0 <= number <= 65535:
        raise ConfigError(
            f"The panel cannot be at {given!r}.", "Only this machine may use it: 127.0.0.1:PORT, 0 for a free port."
        )
    return host, number


@contextmanager
def serve_panel(panel: Panel, host: str, port: int) -> Iterator[str]:
    """Serve while the block runs; gives the URL to open, its secret in the fragment. Raises ServerError."""
    with serve_in_thread(create_app(panel), host, port) as serving:
        try:
            yield f"{serving.uri}/#token={panel.token}"
        finally:
            panel.ended = True


def create_app(panel: Panel) -> FastAPI:
    """The application."""
    app = FastAPI(title="ponw volunteer panel", openapi_url=None, docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def guard(request: Request, call: RequestResponseEndpoint) -> Response:
        refused = _stranger(request) or _without_token(request, panel.token) or _too_large(request)
        response = refused or await call(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    app.add_exception_handler(PonwError, _failed)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.include_router(_control(panel), prefix=LOCAL)
    app.include_router(_passing_on(panel), prefix=PREFIX)
    app.include_router(_files(panel))
    return app


def _control(panel: Panel) -> APIRouter:
    router = APIRouter()

    @router.get("/state")
    def state() -> PanelState:
        return panel.board.whole()

    @router.post("/{wish}")
    def press(wish: str) -> PanelState:
        if wish not in {"start", "pause", "finish"}:
            raise RefusedError(f"There is no button {wish[:20]!r}.", "start, pause or finish.", status=404)
        panel.control.set(wish)  # type: ignore[arg-type]
        panel.board.update(wish=panel.control.wish)
        return panel.board.whole()

    @router.get("/limits")
    def limits() -> Limits:
        return panel.desk.limits()

    @router.put("/limits")
    def change(limits: Limits) -> Limits:
        return panel.desk.change(limits)

    @router.get("/events")
    def events() -> StreamingResponse:
        return StreamingResponse(_events(panel), media_type="text/event-stream")

    return router


async def _events(panel: Panel) -> AsyncIterator[str]:
    """State and log lines as they change."""
    version, seen, quiet = -1, panel.board.lines_after(0)[0], 0
    while not panel.ended:
        lines_seen, lines = panel.board.lines_after(seen)
        for line in lines:
            yield f"event: log\ndata: {line.model_dump_json()}\n\n"
        seen = lines_seen
        if panel.board.version != version:
            version, quiet = panel.board.version, 0
            yield f"event: state\ndata: {panel.board.whole().model_dump_json()}\n\n"
        elif quiet == _COMMENT_TICKS:
            quiet = 0
            yield ": still here\n\n"
        quiet += 1
        await asyncio.sleep(_TICK_S)


def _passing_on(panel: Panel) -> APIRouter:
    router = APIRouter()

    @router.get("/{path:path}")
    def pass_on(path: str, request: Request) -> Response:
        trace = path.startswith("batch/") and path.endswith("/trace") and path.count("/") == 2
        if f"/{path}" not in _PASSED_ON and not trace:
            raise RefusedError("The panel does not pass this on.", "Ask the gateway itself.", status=404)
        query = f"?{request.url.query}" if request.url.query else ""
        body = panel.gateway.raw("GET", f"{PREFIX}/{path}{query}", auth=False)
        return Response(body, media_type="application/json")

    return router


def _files(panel: Panel) -> APIRouter:
    router = APIRouter()

    @router.get("/{path:path}")
    def file(path: str) -> Response:
        root = panel.static.resolve()
        wanted = (root / path).resolve()
        found = wanted if wanted.is_file() and wanted.is_relative_to(root) else root / "index.html"
        if not found.is_file():
            raise RefusedError(
                "The dashboard's pages are not in this installation.", "The terminal shows the same.", status=404
            )
        return FileResponse(found)

    return router


def _stranger(request: Request) -> Response | None:
    """A page of another site must not reach this API, whatever name it makes the browser look up for 127.0.0.1."""
    port = request.scope["server"][1]
    own = {f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"}
    origin = request.headers.get("origin")
    if request.headers.get("host") not in own or (origin is not None and origin not in {f"http://{o}" for o in own}):
        return _problem(403, "stranger", "Only pages of this panel may call it; open the address that it printed.")
    return None


def _without_token(request: Request, token: str) -> Response | None:
    if not request.url.path.startswith(LOCAL):
        return None
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(given.encode(), token.encode()):
        return None
    return _problem(401, "bad-token", "Open the address that `ponw volunteer` printed, with what follows the #.")


def _too_large(request: Request) -> Response | None:
    length = request.headers.get("content-length", "0")
    if "transfer-encoding" in request.headers or not length.isdigit() or int(length) > _BODY_LIMIT:
        return _problem(413, "body-too-large", f"Send at most {_BODY_LIMIT} bytes with a Content-Length.")
    return None


def _problem(status: int, code: str, detail: str) -> JSONResponse:
    body = Problem(type=f"urn:ponw:problem:{code}", title=code, status=status, detail=detail, code=code)
    return JSONResponse(body.model_dump(), status, media_type="application/problem+json")


def _failed(_request: Request, error: Any) -> JSONResponse:
    status = error.status if isinstance(error, RefusedError) and error.status else 502
    return _problem(status, getattr(error, "code", "") or "failed", f"{error.message} {error.hint}".strip())


def _malformed(_request: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")[:100]
    return _problem(422, "invalid-request", f"{where}: {first['msg']}")
