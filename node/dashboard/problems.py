"""Errors as RFC 9457 documents: the same shape as the gateway's."""

from __future__ import annotations

import re

from starlette.responses import JSONResponse

from node.dashboard.guard import ForbiddenError, TokenError
from node.errors import ChainError, ConfigError, PeerError, PonwError

_STATUS: tuple[tuple[type[PonwError], int], ...] = (
    (ForbiddenError, 403),
    (TokenError, 401),
    (PeerError, 502),
    (ChainError, 503),
    (ConfigError, 422),
)


def status_of(error: PonwError) -> int:
    """The status under which a failure is told."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 503)


def body_of(error: PonwError, status: int) -> dict[str, object]:
    """The document: `detail` says what happened and what to do next."""
    code = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__.removesuffix("Error")).lower()
    return {
        "type": f"urn:ponw:problem:{code}",
        "title": error.message,
        "status": status,
        "detail": error.hint or error.message,
        "code": code,
    }


def problem(error: PonwError) -> JSONResponse:
    """The whole response."""
    status = status_of(error)
    return JSONResponse(body_of(error, status), status, media_type="application/problem+json")
