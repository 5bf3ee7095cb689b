"""Copies of SQLite databases that are in use, and a list of what a home folder holds that cannot be made again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from node import paths
from node.errors import DatabaseError
from node.net.settings import FOLDER as NET_NAME
from node.storage.database import DATABASE_NAME

DATABASES = (DATABASE_NAME, "gateway.db")
"""Vouchers, journals, planned claims, volunteers' work: everything that has a value of its own."""
SMALL = (paths.CONFIG_NAME, paths.CONTRACTS_NAME, "gateway.secret", "volunteer.toml")
HOT_KEY_NAME = "hot.key"
FOLDERS = (paths.KEYSTORE_NAME, "volunteer")
LARGE = ("states", "checkpoints", "blobs", paths.DATA_NAME)
"""What peers, the chain or a computation give again; kept with `--large`."""


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a database that may be written meanwhile (sqlite.org/backup.html).

    Raises:
        DatabaseError: it cannot be read, or the copy fails its integrity check.
    """
    try:
        with closing(_reading(source)) as held, closing(sqlite3.connect(target)) as copy:
            held.backup(copy)
            verdict = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise DatabaseError(
            f"Cannot copy {source} ({error}).", "Stop the node and copy the folder as it is."
        ) from error
    if verdict != "ok":
        raise DatabaseError(f"The copy of {source} is corrupt ({verdict}).", "Take an older backup; keep the original.")


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def files_of(home: Path, large: bool) -> Iterator[Path]:
    """Files besides the databases, relative to `home`, in order; links and unfinished files are left out."""
    hot = Path(NET_NAME) / HOT_KEY_NAME
    singles = [home / name for name in (*SMALL, hot)]
    folders = [home / name for name in FOLDERS + (LARGE if large else ())]
    found = [path for path in singles if path.is_file()]
    for folder in folders:
        found += [path for path in folder.rglob("*") if path.is_file()]
    for path in sorted(found):
        if not path.is_symlink() and not path.name.endswith(".tmp") and path.name != ".lock":
            yield path.relative_to(home)
