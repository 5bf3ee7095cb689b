"""Ends the process at a named point of an aggregation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlmodel import Session

from bench.gateway_house import House
from node.gateway.storage.tables import Aggregation, ModelVersion


def at(house: House, point: str, die: Callable[[], None]) -> None:
    """`die` is called after the blobs are stored, after the version or the aggregation is in the transaction, or after
    the transaction has ended."""
    if point == "stored":
        plain = house.registry.store

        def stored(*given: Any, **named: Any) -> Any:
            plain(*given, **named)
            die()

        house.registry.store = stored  # type: ignore[method-assign]
    elif point == "committed":
        house.aggregator._tell = lambda *_: die()  # type: ignore[method-assign]
    else:
        kind = ModelVersion if point == "published" else Aggregation

        @event.listens_for(Session, "after_flush")
        def _flushed(session: Session, _context: Any) -> None:
            if any(isinstance(row, kind) for row in session.new):
                die()
