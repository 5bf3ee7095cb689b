"""Every failure as application/problem+json."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from node.errors import DatabaseError, DiskError, PonwError
from node.gateway.errors import BlobError
from node.gateway.problems import MEDIA_TYPE, Code, ProblemError
from node.gateway.wire import UploadError
from node.logs import get_logger

_log = get_logger("gateway")
_OF_STATUS = {
    HTTPStatus.NOT_FOUND: Code.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Code.METHOD,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Code.TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: Code.MEDIA,
}


def problem_response(problem: ProblemError, path: str) -> Response:
    """The response to a refused request."""
    document = problem.document(path[:1000])
    return Response(document.model_dump_json(), problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def problem_of(error: Exception) -> ProblemError:
    """What a client is told of a failure; what is the operator's business goes to the log."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        return ProblemError(Code.INVALID, _first_fault(error))
    if isinstance(error, HTTPException):
        code = _OF_STATUS.get(HTTPStatus(error.status_code), Code.INVALID)
        return ProblemError(code, f"{error.detail}.", headers=dict(error.headers or {}))
    if isinstance(error, UploadError):
        return ProblemError(Code.PAYLOAD, f"{error.message} {error.hint}")
    if isinstance(error, DatabaseError | BlobError | DiskError):
        _log.error("storage_failed", reason=error.message, next=error.hint)
        return ProblemError(Code.BUSY, "The gateway's storage does not take or give this at the moment.")
    detail = error.message if isinstance(error, PonwError) else type(error).__name__
    _log.error("request_failed", reason=detail)
    return ProblemError(Code.INTERNAL, "The gateway failed at this request.")


def install(app: FastAPI) -> None:
    """Let every failure of the application be told as a problem."""

    async def told(request: Request, error: Exception) -> Response:
        return problem_response(problem_of(error), request.url.path)

    for kind in (PonwError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, told)


def _first_fault(error: RequestValidationError) -> str:
    faults = error.errors()
    first = faults[0]
    where = ".".join(str(part) for part in first["loc"])[:200]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{where}: {first['msg']}{more}."
