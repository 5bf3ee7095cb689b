"""A bundle that an operator can show others when something is wrong. It is made from a list of what may be in it;
keys, passwords, secrets, vouchers and answers are not on that list."""

from __future__ import annotations

import io
import json
import platform
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, distributions
from pathlib import Path
from typing import Any, Final

from node import paths
from node.cli.checks import run_checks
from node.config import Settings
from node.errors import PonwError
from node.logs import redact_text, redact_value
from node.modes.view import VIEW_NAME
from node.operating.snapshots import DATABASES
from node.storage.files import atomic_file, reporting
from node.training.snapshot import STATUS_NAME

LOG_TAIL: Final = 2 << 20
"""Bytes of each log, the newest."""
LOGS_MAX: Final = 20
SHOWN: Final = (STATUS_NAME, VIEW_NAME, "net/bans.json")
"""JSON files that a node writes about itself; none holds a secret."""


def create(settings: Settings, target: Path, now: int) -> list[str]:
    """Write the bundle (tar.gz) and list what is in it. Raises DiskError."""
    parts = dict(_parts(settings))
    with atomic_file(target) as file, tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for name, data in parts.items():
            info = tarfile.TarInfo(f"ponw-debug/{name}")
            info.size, info.mode, info.mtime = len(data), paths.PRIVATE_FILE, now
            tar.addfile(info, io.BytesIO(data))
    return list(parts)


def _parts(settings: Settings) -> Iterator[tuple[str, bytes]]:
    home = settings.home
    yield "versions.json", _json(_versions())
    yield "settings.json", _json(redact_value(settings.model_dump(mode="json")))
    yield "doctor.json", _json(_doctor(settings))
    yield "files.json", _json({str(path): size for path, size in _sizes(home)})
    for name in DATABASES:
        if (home / name).is_file():
            yield f"{name}.json", _json(_counts(home / name))
    for name in SHOWN:
        path = home / name
        if path.is_file():
            yield name, redact_text(_tail(path, paths.SMALL_FILE_LIMIT)).encode()
    for path in sorted(home.glob("**/*.log"))[:LOGS_MAX]:
        yield f"logs/{path.relative_to(home)}", redact_text(_tail(path, LOG_TAIL)).encode()


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, default=str).encode()


def _versions() -> dict[str, Any]:
    packages = {}
    for found in distributions():
        try:
            packages[found.metadata["Name"]] = found.version
        except PackageNotFoundError:
            continue  # a package that was removed while this ran
    return {
        "python": sys.version,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": dict(sorted(packages.items(), key=lambda item: str(item[0]))),
    }


def _doctor(settings: Settings) -> list[dict[str, Any]]:
    try:
        return [{k: redact_value(v) for k, v in asdict(line).items()} for line in run_checks(settings)]
    except PonwError as error:
        return [{"check": "doctor", "verdict": "fail", "detail": redact_text(error.message)}]


def _sizes(home: Path) -> Iterator[tuple[Path, int]]:
    for path in sorted(home.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(home), path.stat().st_size


def _counts(path: Path) -> dict[str, Any]:
    """Rows of every table, and the schema's revision; no row of any."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as held:
            names = [
                row[0] for row in held.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
            ]
            counts = {name: held.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}  # noqa: S608
            check = held.execute("PRAGMA quick_check(1)").fetchone()[0]
            revision = held.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        return {"error": str(error)}
    return {"rows": counts, "quick_check": check, "revision": revision and revision[0]}


def _tail(path: Path, most: int) -> str:
    with reporting("read", path), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read(most).decode(errors="replace")
