"""What routes share: the gateway, who calls, rate limits, and the refusals that each of them documents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Path
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import HTTPConnection

from node.gateway.auth import Caller
from node.gateway.gateway import Gateway
from node.gateway.limits import address_key
from node.gateway.problems import CATALOGUE, MEDIA_TYPE, Code, ProblemError
from node.gateway.schemas import Id
from node.gateway.storage.tables import Worker

PREFIX = "/api/v1"
_ALWAYS = (Code.INVALID, Code.RATE, Code.BUSY, Code.INTERNAL)
_bearer = HTTPBearer(auto_error=False, description="token of /auth/login")
Responses = dict[int | str, dict[str, Any]]


def refusals(*codes: Code) -> Responses:
    """The entries of a route's documentation for what it may refuse with, beside what every route may."""
    found: Responses = {}
    for code in sorted({*_ALWAYS, *codes}):
        about = CATALOGUE[code]
        line = f"`{code}`: {about.help}"
        known = found.get(about.status)
        found[about.status] = {
            "description": line if known is None else f"{known['description']}\n\n{line}",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return found


async def gateway_of(connection: HTTPConnection) -> Gateway:
    """The gateway that the application was made with."""
    gateway: Gateway = connection.app.state.gateway
    return gateway


Here = Annotated[Gateway, Depends(gateway_of)]


def address_of(connection: HTTPConnection) -> str:
    """What the caller's address is counted as."""
    return address_key(connection.client.host if connection.client else "")


def limited(name: str) -> Any:
    """Counts a call of an address against a rate limit."""

    async def check(connection: HTTPConnection, gateway: Here) -> None:
        await gateway.limits.require(name, address_of(connection))

    return Depends(check)


Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def caller_of(gateway: Here, credentials: Credentials) -> Caller:
    """Who calls. Raises ProblemError TOKEN."""
    if credentials is None:
        raise ProblemError(Code.TOKEN, "There is no `Authorization: Bearer` header.")
    return gateway.accounts.caller(credentials.credentials)


def volunteer(name: str = "worker") -> Callable[..., Awaitable[Worker]]:
    """A dependency: the volunteer who calls, counted against a rate limit.

    It raises ProblemError TOKEN, RATE.
    """

    async def check(gateway: Here, caller: Annotated[Caller, Depends(caller_of)]) -> Worker:
        await gateway.limits.require(name, caller.worker_id)
        return await asyncio.to_thread(gateway.accounts.worker, caller)

    return check


Volunteer = Annotated[Worker, Depends(volunteer())]
BatchId = Annotated[Id, Path(description="of an offer")]
UpdateId = Annotated[Id, Path(description="of a receipt")]
