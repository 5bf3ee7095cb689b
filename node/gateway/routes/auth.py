"""Registration and login."""

from __future__ import annotations

from fastapi import APIRouter

from node.gateway.problems import Code
from node.gateway.routes.common import Here, limited, refusals
from node.gateway.schemas import Challenge, Login, Register, Registered, Session

router = APIRouter(prefix="/auth", tags=["auth"])


@router.get("/challenge", dependencies=[limited("register")], responses=refusals())
def challenge(gateway: Here) -> Challenge:
    """Proof of work for one registration."""
    return gateway.accounts.challenge()


@router.post(
    "/register",
    status_code=201,
    dependencies=[limited("register")],
    responses=refusals(Code.TICKET, Code.TICKET_USED, Code.WORK, Code.REGISTERED, Code.TOO_LARGE),
)
def register(gateway: Here, body: Register) -> Registered:
    """A new volunteer under an API key of its own making; the gateway keeps only the key's hash."""
    return gateway.accounts.register(body)


@router.post("/login", dependencies=[limited("login")], responses=refusals(Code.API_KEY, Code.TOO_LARGE))
def login(gateway: Here, body: Login) -> Session:
    """A bearer token for the other calls."""
    return gateway.accounts.login(body.api_key)
