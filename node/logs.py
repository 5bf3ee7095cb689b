"""Structured logs on stderr. Fields that could hold key material never reach the renderer."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import structlog

REDACTED = "[redacted]"
SECRET_NAME = re.compile(
    r"pass(word|phrase)|secret|mnemonic|seed_?phrase|private|keystore_json|api_?key|authorization", re.I
)
URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s\"'<>]+", re.I)
MAX_DEPTH = 6


def redact_url(url: str) -> str:
    """`url` without user, password, path and query: RPC providers put API keys into all four."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    hidden = parts.path.strip("/") or parts.query or parts.username or parts.password
    return f"{parts.scheme}://{host}" + ("/…" if hidden else "")


def redact_text(text: str) -> str:
    """`text` with every URL in it reduced by `redact_url`."""
    return URL.sub(lambda match: redact_url(match.group()), text)


def redact_value(value: object, depth: int = 0) -> object:
    """A copy of `value` that is safe to print: secret fields blanked, URLs reduced, signing objects dropped."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {redact_text(str(value))}"
    if hasattr(value, "sign_transaction") or depth >= MAX_DEPTH:
        return REDACTED
    if isinstance(value, Mapping):
        return {k: REDACTED if SECRET_NAME.search(str(k)) else redact_value(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(item, depth + 1) for item in value]
    return value


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The structlog processor: `redact_value` over all fields of one event."""
    for name, value in event.items():
        event[name] = REDACTED if SECRET_NAME.search(name) else redact_value(value)
    return event


def print_logger(*_args: object) -> structlog.PrintLogger:
    """A logger on the stderr of this moment: a stream kept from set-up may have been replaced and closed since."""
    return structlog.PrintLogger(sys.stderr)


def configure(level: str = "info", as_json: bool = False) -> None:
    """Set up structlog for the process: UTC times, redaction, text for people or JSON lines for machines, on stderr."""
    for_people = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    renderer: Any = structlog.processors.JSONRenderer() if as_json else for_people
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=print_logger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> Any:
    """A logger whose events carry `name` as their component."""
    return structlog.get_logger(component=name)
