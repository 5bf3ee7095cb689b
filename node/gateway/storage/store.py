"""The gateway's database: transactions on SQLite or PostgreSQL, and the clock that leases go by."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from node.storage.database import WRITING, database_errors, open_engine

MIGRATIONS = Path(__file__).parent / "migrations"
MICROSECONDS = 1_000_000
Clock = Callable[[], int]
"""Unix time in microseconds."""


def system_clock() -> int:
    """This machine's."""
    return time.time_ns() // 1_000


def new_id() -> str:
    """A random UUID in text."""
    return str(uuid.uuid4())


class Storage:
    """Where everything of a gateway is kept. What a transaction returns stays usable after it.

    Durable: what a write transaction did is on disk when its block ends; when the block raises, nothing of it is.
    Several processes may share it: one writer at a time on SQLite, row locks on PostgreSQL. Whoever locks several rows
    takes a worker's first, then the active version's, batches', leases', updates'.
    """

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self._engine, self._clock = engine, clock
        self._writing = engine.execution_options(**{WRITING: True})
        self._name = engine.url.database or engine.dialect.name
        self._leading: Connection | None = None

    @classmethod
    def open(cls, url: str, clock: Clock | None = None) -> Storage:
        """The database at a URL (sqlite:///… or postgresql://…), migrated as needed; `clock` is for tests.

        Raises:
            DatabaseError: see node.storage.database.open_engine.
        """
        return cls(open_engine(url, MIGRATIONS), clock)

    @property
    def postgres(self) -> bool:
        """Whether rows are locked one by one."""
        return self._engine.dialect.name == "postgresql"

    def now(self, session: Session) -> int:
        """Unix microseconds. PostgreSQL's own clock, so that hosts whose clocks differ agree on leases; on SQLite all
        processes are on one host."""
        if self._clock is None and self.postgres:
            seconds = session.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
            return int(seconds * MICROSECONDS)
        return self.host_now()

    def host_now(self) -> int:
        """Unix microseconds by this host's clock, or the given one: for what no other host compares."""
        return system_clock() if self._clock is None else self._clock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that changes nothing.

        Raises:
            DatabaseError: the database cannot be reached or is damaged.
        """
        with database_errors(self._name), Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that ends with the block: committed, or undone if the block raises.

        Raises:
            BusyDatabaseError: others held it for too long.
            DatabaseError, DiskError: it cannot be reached, is damaged or full.
        """
        with (
            database_errors(self._name),
            Session(self._writing, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def lead(self, key: int) -> bool:
        """Hold an advisory lock of PostgreSQL, on a connection of its own for as long as that lives; by one thread.

        Raises:
            DatabaseError: the database cannot be reached; the lock is lost.
        """
        with database_errors(self._name):
            try:
                if self._leading is None:
                    self._leading = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                # Asking again counts up within the same session, and shows that the session still lives.
                return bool(self._leading.execute(select(func.pg_try_advisory_lock(key))).scalar_one())
            except DBAPIError:
                self.follow()
                raise

    def follow(self) -> None:
        """Give the lock up: its connection ends."""
        if self._leading is not None:
            self._leading.invalidate()
            self._leading.close()
            self._leading = None

    def close(self) -> None:
        """Close every connection."""
        self.follow()
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
