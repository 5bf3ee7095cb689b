"""The HTTP application: /v1/models, /v1/completions, /v1/chat/completions, /healthz, /metrics, and what is mounted.

Whoever has the seed can recompute an answer: `x-ponw-seed` and `x-ponw-model-root` of the response name what fixes it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ValidationError

from consensus.inference.sampling import Settings
from node.errors import PonwError
from node.inference.openai import problems
from node.inference.openai.answers import Answer, unless_gone
from node.inference.openai.keys import ApiKeys
from node.inference.openai.metrics import Metrics
from node.inference.openai.problems import Problem
from node.inference.openai.schemas import BODY_LIMIT, CHAT_STOP, ChatRequest, CompletionRequest, chat_prompt
from node.inference.openai.stops import StopScanner
from node.inference.service import InferenceService

SEED_TAG = b"ponw/openai-seed/1\0"
Form = TypeVar("Form", bound=BaseModel)
COMPLETION_TOKENS = 16
"""Tokens of a completion that does not say how many; a chat goes on to the end of the context."""


def create_app(
    service: InferenceService, keys: ApiKeys | None = None, extra_routers: Iterable[APIRouter] = ()
) -> FastAPI:
    """An application that answers with `service`; `keys` None asks for no key. `extra_routers` bring their own access
    rules."""
    app = FastAPI(title="ponw", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    api = OpenAiRoutes(service, keys)
    app.include_router(api.router)
    for router in extra_routers:
        app.include_router(router)

    @app.exception_handler(Problem)
    async def told(_request: Request, problem: Problem) -> Response:
        return problem.response()

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(api.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


class OpenAiRoutes:
    """The routes below /v1."""

    def __init__(self, service: InferenceService, keys: ApiKeys | None) -> None:
        self._service, self._keys = service, keys
        self._model = service.model
        self._root = "0x" + self._model.root.hex()
        self.metrics = Metrics(service)
        self.router = APIRouter(prefix="/v1")
        self.router.add_api_route("/models", self._list, methods=["GET"], response_model=None)
        self.router.add_api_route("/models/{name}", self._one, methods=["GET"], response_model=None)
        self.router.add_api_route("/completions", self._complete, methods=["POST"], response_model=None)
        self.router.add_api_route("/chat/completions", self._chat, methods=["POST"], response_model=None)

    async def _list(self, request: Request) -> Response:
        self._admit(request)
        return JSONResponse({"object": "list", "data": [self._described()]})

    async def _one(self, request: Request, name: str) -> Response:
        self._admit(request)
        self._require_model(name)
        return JSONResponse(self._described())

    async def _complete(self, request: Request) -> Response:
        self._admit(request)
        asked = await _read(request, CompletionRequest)
        prompt = asked.prompt
        if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int):
            prompt = prompt[0]
        ids = self._service.encode(prompt) if isinstance(prompt, str) else [int(str(token)) for token in prompt]
        return await self._answer(request, asked, ids, asked.max_tokens or COMPLETION_TOKENS)

    async def _chat(self, request: Request) -> Response:
        self._admit(request)
        asked = await _read(request, ChatRequest)
        ids = self._service.encode(chat_prompt(asked.messages))
        rest = max(1, self._model.config.seq_len - len(ids))
        return await self._answer(request, asked, ids, asked.max_completion_tokens or asked.max_tokens or rest)

    async def _answer(
        self, request: Request, asked: CompletionRequest | ChatRequest, ids: list[int], max_tokens: int
    ) -> Response:
        self._require_model(asked.model)
        chat = isinstance(asked, ChatRequest)
        settings = Settings(asked.temperature_milli, asked.top_p_bps, seed_of(asked.seed))
        try:
            generation = self._service.submit(ids, settings, max_tokens)
        except PonwError as error:
            raise problems.of_service(error) from error
        answer = Answer(
            generation,
            ("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(12),
            self._model.name,
            f"ponw-{self._model.root.hex()[:16]}",
            chat,
            StopScanner((*asked.stops, CHAT_STOP) if chat else asked.stops),
            self.metrics,
        )
        headers = {"x-ponw-seed": "0x" + settings.draw_seed.hex(), "x-ponw-model-root": self._root}
        if asked.stream:
            headers |= {"cache-control": "no-cache", "x-accel-buffering": "no"}
            return StreamingResponse(answer.events(asked.with_usage), media_type="text/event-stream", headers=headers)
        document = await unless_gone(request, answer)
        return Response(status_code=499) if document is None else JSONResponse(document, headers=headers)

    def _described(self) -> dict[str, object]:
        model = {"id": self._model.name, "object": "model", "created": 0, "owned_by": "ponw"}
        return {**model, "root": self._root, "context_length": self._model.config.seq_len}

    def _require_model(self, name: str) -> None:
        if name not in {self._model.name, self._root}:
            raise Problem(404, f"The model '{name}' does not exist.", param="model", code="model_not_found")

    def _admit(self, request: Request) -> None:
        if self._keys is None:
            return
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not self._keys.accepts(key.strip()):
            raise Problem(401, "This server asks for an API key, and this is none of its keys.", code="invalid_api_key")


def seed_of(number: int | None) -> bytes:
    """The 32-byte seed behind OpenAI's `seed`: a hash of it as 8 bytes, big-endian; a random one if there is none."""
    if number is None:
        return secrets.token_bytes(32)
    return hashlib.sha256(SEED_TAG + number.to_bytes(8, "big", signed=True)).digest()


async def _read(request: Request, form: type[Form]) -> Form:
    """Raises Problem: no JSON, too long, or not what `form` takes."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "The body must be application/json.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            raise Problem(413, f"The body exceeds {BODY_LIMIT} bytes.")
    try:
        return form.model_validate_json(bytes(body))
    except ValidationError as error:
        raise problems.of_validation(error) from error
