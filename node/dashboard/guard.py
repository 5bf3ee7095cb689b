"""Who may ask: browsers of this machine on this very address, and with the operator's token where money moves."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from node.errors import PonwError

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class ForbiddenError(PonwError):
    """The request comes from elsewhere, or is made by a page of another site."""


class TokenError(PonwError):
    """The request needs the token that the command printed."""


def require_local(connection: HTTPConnection) -> None:
    """Raises ForbiddenError unless the client is on this machine and calls it by a local name (no DNS rebinding)."""
    client = connection.client.host if connection.client else ""
    name = urlsplit("//" + connection.headers.get("host", "")).hostname or ""
    if not _loopback(client) or name not in LOCAL_NAMES:
        raise ForbiddenError("The dashboard is for this machine only.", "Set `dashboard` to public to show it to all.")
    require_same_origin(connection)


def require_same_origin(connection: HTTPConnection) -> None:
    """Raises ForbiddenError for a call that a page of another site makes."""
    origin = connection.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("host", ""):
        raise ForbiddenError("A page of another site may not ask here.", "Open the dashboard's own address.")


def require_token(connection: HTTPConnection, token: str) -> None:
    """Raises TokenError unless the call carries `token`."""
    given = connection.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise TokenError("This needs the token of the address that was printed.", "Open that address again.")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
