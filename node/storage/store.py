"""The repository: every read and write of the node's database, each its own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine
from sqlmodel import Session

from node.storage.answers import AnswerMethods
from node.storage.audits import AuditMethods
from node.storage.claims import ClaimMethods
from node.storage.database import WRITING, database_errors, file_url, open_engine
from node.storage.journal import JournalMethods
from node.storage.paid import PaidMethods
from node.storage.rounds import RoundMethods


class Store(RoundMethods, ClaimMethods, AuditMethods, JournalMethods, PaidMethods, AnswerMethods):
    """The node's memory. What a method returned is a plain record, detached from the database.

    Durable: with SQLite every write is on disk (WAL, synchronous=FULL) when its method returns. Safe to use from
    several threads; one writer at a time is enforced by the database.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(**{WRITING: True})
        self._name = engine.url.database or "database"

    @classmethod
    def open(cls, home: Path) -> Store:
        """The database of a home folder; see `open_url` for errors."""
        return cls.open_url(file_url(home))

    @classmethod
    def open_url(cls, url: str) -> Store:
        """The database at an SQLAlchemy URL, created and migrated as needed; errors: see database.open_engine."""
        return cls(open_engine(url))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with database_errors(self._name), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        with (
            database_errors(self._name),
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session
