"""What clients are told when something is refused: one catalogue of codes, one exception, RFC 9457 on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, unique
from http import HTTPStatus
from typing import Final

from node.errors import ExitCode, PonwError
from node.gateway.schemas import Problem

MEDIA_TYPE: Final = "application/problem+json"


@unique
class Code(StrEnum):
    """Every code that a problem can carry."""

    INVALID = "invalid-request"
    NOT_FOUND = "not-found"
    METHOD = "method-not-allowed"
    TOO_LARGE = "body-too-large"
    MEDIA = "unsupported-media-type"
    LENGTH = "length-required"
    TIMEOUT = "request-timeout"
    RANGE = "range-not-satisfiable"
    RATE = "rate-limited"
    BUSY = "busy"
    INTERNAL = "internal-error"
    SHUTDOWN = "shutting-down"
    TICKET = "bad-ticket"
    TICKET_USED = "ticket-used"
    WORK = "proof-of-work-missing"
    REGISTERED = "already-registered"
    API_KEY = "unknown-api-key"
    TOKEN = "bad-token"  # noqa: S105 - a code, no secret
    OPERATOR = "operator-only"
    QUARANTINED = "quarantined"
    NO_VERSION = "no-version"
    VERSION = "unknown-version"
    NO_WORK = "no-work"
    BATCH = "unknown-batch"
    NOT_YOURS = "not-your-batch"
    LEASE = "lease-ended"
    HEADER = "bad-header"
    MISMATCH = "upload-mismatch"
    PAYLOAD = "bad-payload"
    UPDATE = "unknown-update"
    NOT_ASKED = "not-asked-for"
    RESIDUAL = "residual-mismatch"
    STALE = "stale-version"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class About:
    """A code's HTTP status and title, and what a client can do about it."""

    status: int
    title: str
    help: str


CATALOGUE: Final[dict[Code, About]] = {
    Code.INVALID: About(422, "Invalid request", "Correct the fields that the detail names; see /openapi.json."),
    Code.NOT_FOUND: About(404, "Not found", "Check the path; /openapi.json lists all of them."),
    Code.METHOD: About(405, "Method not allowed", "Use one of the methods in the Allow header."),
    Code.TOO_LARGE: About(413, "Body too large", "Send less; the detail gives the limit."),
    Code.MEDIA: About(415, "Unsupported media type", "Set the Content-Type that the detail names."),
    Code.LENGTH: About(411, "Length required", "Send Content-Length or a chunked body."),
    Code.TIMEOUT: About(408, "Request timeout", "Send again, faster or in one go."),
    Code.RANGE: About(416, "Range not satisfiable", "Ask for a range within the size in Content-Range."),
    Code.RATE: About(429, "Too many requests", "Wait as long as Retry-After says."),
    Code.BUSY: About(503, "Busy", "Try again after Retry-After; nothing was done."),
    Code.INTERNAL: About(500, "Internal error", "Try again later; the operator's log has the reason."),
    Code.SHUTDOWN: About(503, "Shutting down", "Try again after Retry-After."),
    Code.TICKET: About(403, "Bad ticket", "Fetch a new challenge: this ticket has expired or is not this gateway's."),
    Code.TICKET_USED: About(409, "Ticket used", "Fetch a new challenge: each is good for one registration."),
    Code.WORK: About(403, "Proof of work missing", "Find a nonce that gives as many zero bits as the challenge asks."),
    Code.REGISTERED: About(409, "Already registered", "Log in with this key."),
    Code.API_KEY: About(401, "Unknown API key", "Register the key first."),
    Code.TOKEN: About(401, "Bad token", "Log in again: the token is missing, malformed or has expired."),
    Code.OPERATOR: About(403, "Operator only", "Use the operator's token."),
    Code.QUARANTINED: About(403, "Quarantined", "Wait until the time in the detail; it also says why."),
    Code.NO_VERSION: About(503, "No version", "Try again later: the gateway has no model yet."),
    Code.VERSION: About(404, "Unknown version", "GET /api/v1/model/versions lists all."),
    Code.NO_WORK: About(503, "No work", "Ask again after Retry-After; the detail says why there is none."),
    Code.BATCH: About(404, "Unknown batch", "Ask for a batch with POST /api/v1/batch/request."),
    Code.NOT_YOURS: About(403, "Not your batch", "Use the batch and the lease that you were given."),
    Code.LEASE: About(409, "Lease ended", "Ask for another batch: this one has gone to somebody else."),
    Code.HEADER: About(422, "Bad upload header", "Begin the body with PVU1, a length and the JSON of UploadMeta."),
    Code.MISMATCH: About(422, "Upload does not match its batch", "Send what the offer asked for."),
    Code.PAYLOAD: About(422, "Bad payload", "The payload is not what its header says; encode the update again."),
    Code.UPDATE: About(404, "Unknown update", "Use the update_id of a receipt of yours."),
    Code.NOT_ASKED: About(409, "Not asked for", "Send it only when the offer or the receipt asks for it."),
    Code.RESIDUAL: About(422, "Residual mismatch", "Send the residual that residual_in of the upload names."),
    Code.STALE: About(409, "Stale version", "Ask for another batch: this one's version is no longer trained."),
    Code.CONFLICT: About(409, "Conflict", "Read the current state and try again."),
}
RETRY_SECONDS: Final = 5
"""What Retry-After says where nothing better is known."""


class ProblemError(PonwError):
    """A request is refused; `detail` is one sentence of what happened, `retry_after` is in seconds."""

    exit_code = ExitCode.FAILED

    def __init__(
        self, code: Code, detail: str, retry_after: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        self.about = CATALOGUE[code]
        super().__init__(detail, self.about.help)
        self.code, self.detail, self.extra = code, detail, headers or {}
        waits = self.about.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
        self.retry_after = RETRY_SECONDS if waits and retry_after is None else retry_after

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.about.status

    @property
    def headers(self) -> dict[str, str]:
        """The response's headers beside its type."""
        retry = {} if self.retry_after is None else {"retry-after": str(max(1, self.retry_after))}
        challenge = {"www-authenticate": "Bearer"} if self.status == HTTPStatus.UNAUTHORIZED else {}
        return retry | challenge | self.extra

    def document(self, instance: str = "") -> Problem:
        """The body of the response; `instance`: the request's path."""
        return Problem(
            type=f"urn:ponw:problem:{self.code}",
            title=self.about.title,
            status=self.status,
            detail=f"{self.detail} {self.about.help}",
            code=self.code,
            instance=instance,
        )
