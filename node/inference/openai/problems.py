"""Errors in OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from fastapi.responses import JSONResponse
from pydantic import ValidationError

from node.errors import PonwError
from node.inference.errors import BusyError, ClosedError, ContextLengthError, PromptError

INVALID = "invalid_request_error"


class Problem(Exception):  # noqa: N818 - it is what the client is told, not a failure of the node
    """What a client is told instead of an answer."""

    def __init__(
        self, status: int, message: str, kind: str = INVALID, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param, self.code = status, message, kind, param, code

    def body(self) -> dict[str, object]:
        """The JSON document."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """The whole response."""
        retry = {"retry-after": "1"} if self.status in {429, 503} else None
        return JSONResponse(self.body(), self.status, headers=retry)


def of_service(error: PonwError) -> Problem:
    """What the service refused."""
    if isinstance(error, ContextLengthError):
        return Problem(400, f"{error.message} {error.hint}", param="messages", code="context_length_exceeded")
    if isinstance(error, PromptError):
        return Problem(400, error.message, param="prompt", code="invalid_prompt")
    if isinstance(error, BusyError):
        return Problem(429, f"{error.message} {error.hint}", "rate_limit_error", code="rate_limit_exceeded")
    if isinstance(error, ClosedError):
        return Problem(503, f"{error.message} {error.hint}", "server_error", code="shutting_down")
    return Problem(500, "The server failed.", "server_error")


def of_validation(error: ValidationError) -> Problem:
    """The first field that is wrong."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    param = ".".join(str(part) for part in first["loc"]) or None
    return Problem(400, f"{first['msg'].removeprefix('Value error, ')}{f' ({param})' if param else ''}", param=param)
