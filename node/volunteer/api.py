"""The gateway's API as a volunteer calls it: bounded answers, retries with backoff, tokens renewed in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_never,
    wait_random_exponential,
)

from node.gateway.problems import Code
from node.gateway.schemas import (
    BatchOffer,
    BatchRequest,
    BatchTrace,
    Challenge,
    GlobalStats,
    LeaderRow,
    Model,
    Problem,
    Receipt,
    Registered,
    Session,
    WorkerStats,
)
from node.volunteer.board import Board
from node.volunteer.control import Control
from node.volunteer.errors import AnswerError, GatewayDownError, NoWorkError, RefusedError

PREFIX: Final = "/api/v1"
ANSWER_LIMIT: Final = 8 << 20
RETRY_MAX_S: Final = 60.0
RETRY_AFTER_MAX_S: Final = 3_600.0
RENEW_BEFORE_S: Final = 60
"""A token is renewed so long before it ends."""
_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_AGAIN: Final = {408, 425, 429, 500, 502, 503, 504}
_backoff = wait_random_exponential(multiplier=0.5, max=RETRY_MAX_S)
Body = TypeVar("Body", bound=BaseModel)


class Gateway:
    """One gateway under one key. `attempts` None: keeps trying until `control` says otherwise.

    Every call raises GatewayDownError (through all attempts), RefusedError, AnswerError, StoppedError and
    WishChangedError.
    """

    def __init__(self, url: str, key: str, control: Control, board: Board, attempts: int | None = None) -> None:
        self.url, self._key, self._control, self._board = url, key, control, board
        self._attempts = attempts
        self._session: Session | None = None
        self._client = httpx.Client(
            timeout=_TIMEOUT,
            follow_redirects=False,
            headers={"accept-encoding": "identity", "user-agent": "ponw-volunteer"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # --- accounts ---

    def challenge(self) -> Challenge:
        """Proof of work for a registration."""
        return self._json(Challenge, "GET", "/auth/challenge", auth=False)

    def register(self, body: BaseModel) -> Registered:
        """Make this key's account."""
        return self._json(Registered, "POST", "/auth/register", body, auth=False)

    def login(self) -> Session:
        """A fresh token."""
        found = self._json(Session, "POST", "/auth/login", {"api_key": self._key}, auth=False)
        self._session = found
        return found

    def token(self) -> str:
        """A token that holds for a while."""
        return (self._session if self._fresh() else self.login()).token  # type: ignore[union-attr]

    # --- work ---

    def current(self) -> Model:
        """The version that is trained now."""
        return self._json(Model, "GET", "/model/current", auth=False)

    def versions(self) -> list[Model]:
        """Every version that is kept."""
        return self._list(Model, self._open_answer("/model/versions"))

    def request(self, body: BatchRequest) -> BatchOffer:
        """A batch; the same again while its lease holds. Raises NoWorkError besides."""
        return self._json(BatchOffer, "POST", "/batch/request", body)

    def release(self, batch_id: str) -> None:
        """Give a batch back."""
        self.raw("POST", f"{PREFIX}/batch/{batch_id}/release")

    def receipt(self, update_id: str) -> Receipt:
        """What became of an upload."""
        return self._json(Receipt, "GET", f"/gradients/{update_id}")

    # --- figures ---

    def global_stats(self) -> GlobalStats:
        """The whole network."""
        return self._json(GlobalStats, "GET", "/stats/global", auth=False)

    def worker_stats(self) -> WorkerStats:
        """This volunteer."""
        return self._json(WorkerStats, "GET", "/worker/stats")

    def leaderboard(self) -> list[LeaderRow]:
        """The best volunteers."""
        return self._list(LeaderRow, self._open_answer("/leaderboard"))

    def trace(self, batch_id: str) -> BatchTrace:
        """What became of a batch."""
        return self._json(BatchTrace, "GET", f"/batch/{batch_id}/trace", auth=False)

    # --- how ---

    def raw(self, method: str, path: str, *, auth: bool = True, json: Any = None) -> bytes:
        """The bytes of a successful answer, at most ANSWER_LIMIT."""
        answer: bytes = self.retrying(lambda: self._once(method, path, auth, json))
        return answer

    def retrying(self, call: Callable[[], Any]) -> Any:
        """Run `call` until it answers, honouring Retry-After."""
        attempts = 0
        for attempt in Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, GatewayDownError) and not isinstance(e, NoWorkError)),
            stop=stop_never if self._attempts is None else stop_after_attempt(self._attempts),
            wait=_wait,
            sleep=self._control.sleep,
            before_sleep=self._note,
            reraise=True,
        ):
            with attempt:
                attempts += 1
                result = self._renewing(call)
        self._board.update(connected=True, **({"reason": ""} if attempts > 1 else {}))
        return result

    @contextmanager
    def open(self, method: str, path: str, *, auth: bool = True, **options: Any) -> Iterator[httpx.Response]:
        """One request whose answer is streamed; only successful answers reach the block."""
        if not path.startswith("/"):
            raise AnswerError(f"The gateway names {path[:60]!r}, which is no path of its own.", "Tell its operator.")
        headers = {**options.pop("headers", {}), **({"authorization": f"Bearer {self.token()}"} if auth else {})}
        try:
            with self._client.stream(method, self.url + path, headers=headers, **options) as response:
                if not response.is_success:
                    self._refuse(response)
                yield response
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise GatewayDownError(
                f"{self.url} cannot be reached: {reason}.", "It is tried again; check the address and the network."
            ) from error

    def _once(self, method: str, path: str, auth: bool, json: Any) -> bytes:
        with self.open(method, path, auth=auth, json=json) as response:
            return _bounded(response)

    def _renewing(self, call: Callable[[], Any]) -> Any:
        """A token may end before its time: the gateway has been set up anew."""
        try:
            return call()
        except RefusedError as error:
            if error.status != httpx.codes.UNAUTHORIZED or self._session is None:
                raise
        self._session = None
        return call()

    def _json(self, kind: type[Body], method: str, path: str, body: Any = None, *, auth: bool = True) -> Body:
        data = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
        answer = self.raw(method, PREFIX + path, auth=auth, json=data)
        try:
            return kind.model_validate_json(answer)
        except ValidationError as error:
            raise _malformed(path, error) from error

    def _open_answer(self, path: str) -> bytes:
        return self.raw("GET", PREFIX + path, auth=False)

    def _list(self, kind: type[Body], answer: bytes) -> list[Body]:
        try:
            return TypeAdapter(list[kind]).validate_json(answer)  # type: ignore[valid-type]
        except ValidationError as error:
            raise _malformed("a list", error) from error

    def _fresh(self) -> bool:
        return self._session is not None and self._session.expires_at - time.time() > RENEW_BEFORE_S

    def _refuse(self, response: httpx.Response) -> None:
        status, after = response.status_code, _retry_after(response)
        problem = _problem(response)
        words = (problem.detail or problem.title) if problem else f"it answered {status}"
        code = problem.code if problem else ""
        if code == Code.NO_WORK:
            raise NoWorkError(words, "It is asked again later.", retry_after=after, answered=True)
        if status in _AGAIN or (code == Code.QUARANTINED and after is not None):
            raise GatewayDownError(words, "It is tried again.", retry_after=after, answered=True)
        raise RefusedError(f"The gateway refuses: {words}", "", status=status, code=code)

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, GatewayDownError):
            self._board.update(connected=error.answered, reason=error.message)
            self._board.log(error.message, "warning")


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, GatewayDownError) and error.retry_after is not None:
        return min(error.retry_after, RETRY_AFTER_MAX_S)
    return float(_backoff(state))


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds of Retry-After (RFC 9110, 10.2.3); the form with a date is not used by gateways and is left alone."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def _bounded(response: httpx.Response) -> bytes:
    data = bytearray()
    for piece in response.iter_raw():
        data += piece
        if len(data) > ANSWER_LIMIT:
            raise AnswerError(f"The gateway's answer is larger than {ANSWER_LIMIT} bytes.", "Tell its operator.")
    return bytes(data)


def _problem(response: httpx.Response) -> Problem | None:
    if "json" not in response.headers.get("content-type", ""):
        return None
    try:
        return Problem.model_validate_json(_bounded(response))
    except ValidationError:
        return None


def _malformed(path: str, error: ValidationError) -> AnswerError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])[:100]
    return AnswerError(f"The gateway's answer to {path} is malformed ({where}: {first['msg']}).", "Update ponw.")
