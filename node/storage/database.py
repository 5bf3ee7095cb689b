"""Opening the database: connection settings, integrity check, migrations, and errors in words."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from node.errors import DatabaseError, DiskError
from node.paths import PRIVATE_FILE, private_folder
from node.storage.errors import BusyDatabaseError, CorruptDatabaseError, NewerDatabaseError
from node.storage.files import reporting

BUSY_TIMEOUT_MS = 10_000
DATABASE_NAME = "node.db"
WRITING = "ponw_writing"
"""Execution option of connections that will write: they take SQLite's write lock at once instead of half-way."""

POOL = 20
"""Connections to PostgreSQL a process keeps; half as many more come and go."""

_POSTGRES = {
    "connect_timeout": 10,
    "options": f"-c lock_timeout={BUSY_TIMEOUT_MS} -c idle_in_transaction_session_timeout=60000 -c timezone=UTC",
}
_MIGRATION_LOCK = 0x706F6E77
_CORRUPT_HINT = "Restore the file from a backup, or move it away and start again; the chain still has every claim."
_URL_HINT = "Give it as postgresql://USER@HOST/NAME or sqlite:///PATH."
_MIGRATIONS = Path(__file__).parent / "migrations"


def file_url(home: Path) -> str:
    """The URL of the database in a home folder."""
    return URL.create("sqlite", database=str(home / DATABASE_NAME)).render_as_string(hide_password=False)


def open_engine(url: str, migrations: Path = _MIGRATIONS) -> Engine:
    """An engine on a checked, migrated database; SQLite's file is created if it does not exist. `migrations`: folder of
    Alembic's scripts.

    Raises:
        CorruptDatabaseError: SQLite's quick_check fails, or the file is no database.
        NewerDatabaseError: its schema is of a later version than this code.
        BusyDatabaseError, DatabaseError: it is locked or cannot be opened.
        DiskError: the disk is full, or its folder cannot be created.
    """
    parsed = _parse(url)
    name = parsed.database or parsed.get_backend_name()
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
        engine = create_engine(parsed, pool_pre_ping=True, pool_size=POOL, connect_args=_POSTGRES)
    else:
        engine = create_engine(parsed)
    if parsed.get_backend_name() == "sqlite":
        _create_private(Path(name))
        _configure_sqlite(engine)
    try:
        with database_errors(name):
            _check_and_migrate(engine, name, migrations)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:  # its text may hold the password
        raise DatabaseError("The database's URL cannot be read.", _URL_HINT) from error
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise DatabaseError(f"There is no driver for databases of the kind {parsed.get_backend_name()}.", _URL_HINT)
    return parsed


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Turn the driver's errors inside the block into the node's, each one sentence about the database `name`."""
    try:
        yield
    except DBAPIError as error:
        raise _translate(name, str(error.orig)) from error


def _translate(name: str, reason: str) -> DatabaseError | DiskError:
    text = reason.lower()
    if "malformed" in text or "not a database" in text:
        return CorruptDatabaseError(f"The database {name} is corrupt ({reason}).", _CORRUPT_HINT)
    if "full" in text or "disk i/o error" in text:
        return DiskError(f"Cannot write the database {name}: {reason}.", "Free some space, then start again.")
    if "connection" in text and "sqlite" not in text:
        return DatabaseError(
            f"The database {name} cannot be reached: {reason.strip()}.", "Check that it runs and that its URL is right."
        )
    if "locked" in text or "lock timeout" in text or "deadlock" in text:
        return BusyDatabaseError(f"The database {name} is in use by another process.", "Stop the other process first.")
    return DatabaseError(f"The database {name} refused an operation: {reason}.", "Check the file and its permissions.")


def _create_private(path: Path) -> None:
    private_folder(path.parent)
    with reporting("open", path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE))


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are opened below, DDL included
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get(WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _check_and_migrate(engine: Engine, name: str, migrations: Path) -> None:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            _require_intact(connection, name)
    with engine.connect().execution_options(**{WRITING: True}) as connection, connection.begin():
        if engine.dialect.name == "postgresql":  # several processes may start at once
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        _migrate(connection, name, migrations)


def _require_intact(connection: Connection, name: str) -> None:
    result = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if result != "ok":
        raise CorruptDatabaseError(f"The database {name} is corrupt ({result}).", _CORRUPT_HINT)


def _migrate(connection: Connection, name: str, migrations: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    if current is not None and current not in {revision.revision for revision in script.walk_revisions()}:
        raise NewerDatabaseError(
            f"The database {name} has schema {current}, which this version of ponw does not know.",
            "Install the version that wrote it, or a newer one.",
        )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    command.upgrade(config, "head")
