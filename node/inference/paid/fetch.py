"""Bounded HTTP to a server of answers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx

from node.inference.paid.errors import OfferError
from node.inference.paid.messages import REPLY_BYTES, Refused

TIMEOUT_S = 30.0


def post(uri: str, body: str) -> bytes:
    """The bounded body of a server's answer. Raises OfferError: unreachable, too large, or a refusal."""
    headers = {"content-type": "application/json"}
    return _fetch(lambda client: client.stream("POST", uri, content=body, headers=headers), uri)


def get(uri: str) -> bytes:
    """The same of a GET."""
    return _fetch(lambda client: client.stream("GET", uri), uri)


def _fetch(send: Callable[[httpx.Client], AbstractContextManager[httpx.Response]], uri: str) -> bytes:
    try:
        client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False)
        with client, send(client) as answer:
            data = b""
            for part in answer.iter_bytes():
                data += part
                if len(data) > REPLY_BYTES:
                    raise OfferError(f"{uri} answers with more than {REPLY_BYTES} bytes.", "Use another server.")
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OfferError(f"{uri} does not answer: {error}.", "Check --server, or use another server.") from error
    if status != 200:
        hint = "Correct the request, or use another server."
        raise OfferError(f"The server makes no offer: {_reason(data, status)}", hint)
    return data


def _reason(data: bytes, status: int) -> str:
    try:
        return Refused.model_validate_json(data).reason
    except ValueError:
        return f"it answers with status {status}."
