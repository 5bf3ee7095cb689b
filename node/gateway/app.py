"""The HTTP application of a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware

from node.gateway import replies
from node.gateway.edge import Edge
from node.gateway.gateway import Gateway
from node.gateway.problems import CATALOGUE
from node.gateway.routes import auth, batch, figures, gradients, model
from node.gateway.routes.common import PREFIX
from node.gateway.schemas import Beat, EventMessage, Hello, Problem, StatsMessage, UploadMeta

_BESIDE = (Problem, UploadMeta, Hello, Beat, StatsMessage, EventMessage)
"""Bodies that no route's signature names."""


def create_app(gateway: Gateway) -> FastAPI:
    """An application that serves `gateway`; its lifespan starts and ends the live messages."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await gateway.hub.start()
        yield
        await gateway.hub.stop()

    app = FastAPI(
        title="ponw gateway",
        version="1",
        description=_description(),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.gateway = gateway
    api = APIRouter(prefix=PREFIX)
    for part in (auth, model, batch, gradients, figures):
        api.include_router(part.router)
    app.include_router(api)
    app.include_router(figures.outside)
    replies.install(app)
    app.add_middleware(Edge, metrics=gateway.metrics)
    if gateway.settings.allow_origins:
        origins = [origin.strip() for origin in gateway.settings.allow_origins.split(",")]
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _description() -> str:
    codes = "\n".join(f"- `{code}` ({about.status}): {about.help}" for code, about in CATALOGUE.items())
    return (
        f"Volunteers train batches of one model. Errors are problem+json (RFC 9457) with one of these codes:\n\n{codes}"
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for form in _BESIDE:
            made = form.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(made.pop("$defs", {}))
            schemas[form.__name__] = made
        app.openapi_schema = document
    return app.openapi_schema
