"""Who calls: API keys that volunteers make, proof of work for a registration, signed session tokens."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from sqlmodel import col, delete, select, update

from node.errors import DatabaseError
from node.gateway.problems import Code, ProblemError
from node.gateway.schemas import Challenge, Register, Registered, Session
from node.gateway.settings import GatewaySettings
from node.gateway.storage.store import MICROSECONDS, Storage, new_id
from node.gateway.storage.tables import UsedChallenge, Worker

OPERATOR_NAME = "operator.token"
"""File of the operator's token in the home folder."""
SEEN_SECONDS = 15
"""`last_seen` is written at most so often."""


def key_hash(api_key: str) -> bytes:
    """What the gateway keeps of an API key, 32 bytes. A key has 256 random bits: nothing slower is needed."""
    return hashlib.sha256(api_key.encode()).digest()


def work_bits(challenge: bytes, hashed_key: bytes, nonce: int) -> int:
    """Zero bits that a nonce begins with: of sha256(challenge (32) ‖ sha256(API key) (32) ‖ nonce u64 BE)."""
    digest = hashlib.sha256(challenge + hashed_key + nonce.to_bytes(8, "big")).digest()
    return 256 - int.from_bytes(digest, "big").bit_length()


@dataclass(frozen=True)
class Caller:
    """Whose token a request carries, until when (Unix seconds)."""

    worker_id: str
    expires_at: int


class Signer:
    """Tokens and tickets, signed with the gateway's secret (HMAC), each kind with a salt of its own."""

    def __init__(self, secret: bytes, settings: GatewaySettings) -> None:
        self._tickets = URLSafeSerializer(secret, salt="ponw/gateway/ticket/1")
        self._tokens = URLSafeSerializer(secret, salt="ponw/gateway/token/1")
        self._settings = settings

    def challenge(self, now: int) -> Challenge:
        """A new one; nothing is kept of it. `now`: Unix seconds."""
        value, until = secrets.token_hex(32), now + self._settings.ticket_seconds
        bits = self._settings.pow_difficulty
        return Challenge(
            challenge=value, ticket=_text(self._tickets.dumps([value, bits, until])), difficulty=bits, expires_at=until
        )

    def ticket(self, ticket: str, now: int) -> tuple[bytes, int, int]:
        """(challenge, difficulty, expiry in Unix seconds). Raises ProblemError TICKET."""
        value, bits, until = _loaded(self._tickets, ticket, Code.TICKET, "The ticket was not made here.")
        if until < now:
            raise ProblemError(Code.TICKET, f"The ticket expired {now - until} s ago.")
        return bytes.fromhex(value), bits, until

    def session(self, worker_id: str, now: int) -> Session:
        """A bearer token."""
        until = now + self._settings.token_seconds
        return Session(token=_text(self._tokens.dumps([worker_id, until])), worker_id=worker_id, expires_at=until)

    def caller(self, token: str, now: int) -> Caller:
        """Whose token it is. Raises ProblemError TOKEN."""
        worker_id, until = _loaded(self._tokens, token, Code.TOKEN, "The token was not made here.")
        if until < now:
            raise ProblemError(Code.TOKEN, f"The token expired {now - until} s ago.")
        return Caller(worker_id, until)


class Accounts:
    """Volunteers in the database."""

    def __init__(self, storage: Storage, signer: Signer) -> None:
        self._storage, self._signer = storage, signer

    def challenge(self) -> Challenge:
        """Work to do before a registration."""
        return self._signer.challenge(self.seconds())

    def register(self, body: Register) -> Registered:
        """A new volunteer.

        Raises:
            ProblemError TICKET, TICKET_USED, WORK, REGISTERED.
        """
        hashed = key_hash(body.api_key)
        value, bits, until = self._signer.ticket(body.ticket, self.seconds())
        if work_bits(value, hashed, body.nonce) < bits:
            raise ProblemError(Code.WORK, f"The nonce does not give {bits} zero bits with this challenge and key.")
        try:
            with self._storage.write() as session:
                now = self._storage.now(session)
                if session.get(UsedChallenge, value) is not None:
                    raise ProblemError(Code.TICKET_USED, "This challenge has been used.")
                if session.exec(select(Worker.id).where(Worker.key_hash == hashed)).first() is not None:
                    raise ProblemError(Code.REGISTERED, "This API key is registered.")
                session.add(UsedChallenge(id=value, expires_at=until * MICROSECONDS))
                worker = _new_worker(body, hashed, now)
                session.add(worker)
        except DatabaseError as error:
            # Twice at once: a unique column lets one in; on the next try the other one is told which.
            raise ProblemError(Code.BUSY, f"The registration was not stored: {error.message}") from error
        return Registered(worker_id=worker.id, username=worker.username, created_at=now // MICROSECONDS)

    def login(self, api_key: str) -> Session:
        """A session token. Raises ProblemError API_KEY."""
        with self._storage.read() as session:
            found = session.exec(select(Worker).where(Worker.key_hash == key_hash(api_key))).one_or_none()
        if found is None:
            raise ProblemError(Code.API_KEY, "No volunteer has registered this API key.")
        return self._signer.session(found.id, self.seconds())

    def caller(self, token: str) -> Caller:
        """Whose token it is, without asking the database. Raises ProblemError TOKEN."""
        return self._signer.caller(token, self.seconds())

    def worker(self, caller: Caller) -> Worker:
        """The row of who calls; it counts as seen. Raises ProblemError TOKEN: no such volunteer any more."""
        with self._storage.read() as session:
            found = session.get(Worker, caller.worker_id)
            now = self._storage.now(session)
        if found is None:
            raise ProblemError(Code.TOKEN, "There is no such volunteer any more.")
        if now - found.last_seen >= SEEN_SECONDS * MICROSECONDS:
            self.seen(found.id)
        return found

    def seen(self, worker_id: str) -> None:
        """The volunteer showed itself."""
        with self._storage.write() as session:
            now = self._storage.now(session)
            session.exec(update(Worker).where(col(Worker.id) == worker_id).values(last_seen=now))

    def sweep(self) -> None:
        """Forget used challenges whose tickets have expired."""
        with self._storage.write() as session:
            now = self._storage.now(session)
            session.exec(delete(UsedChallenge).where(col(UsedChallenge.expires_at) < now - MICROSECONDS))

    def seconds(self) -> int:
        """Unix time by the clock that tokens go by: this host's, or the one given for tests."""
        return self._storage.host_now() // MICROSECONDS


class Operator:
    """The operator's token: one secret in a file (mode 600) of the home folder."""

    def __init__(self, token: bytes) -> None:
        self._token = token

    def require(self, token: str) -> None:
        """Raises ProblemError OPERATOR."""
        if not hmac.compare_digest(token.encode(), self._token):
            raise ProblemError(Code.OPERATOR, "This is not the operator's token.")


def _new_worker(body: Register, hashed: bytes, now: int) -> Worker:
    worker_id = new_id()
    return Worker(
        id=worker_id,
        key_hash=hashed,
        username=body.username or f"volunteer-{worker_id[:6]}",
        hardware=body.hardware.model_dump(),
        created_at=now,
        last_seen=now,
    )


def _loaded(serializer: URLSafeSerializer, text: str, code: Code, detail: str) -> Any:
    try:
        return serializer.loads(text)
    except BadData as error:
        raise ProblemError(code, detail) from error


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
