"""Background work: each job in a thread of its own, in one process of a gateway only."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sqlmodel import Session

from node.errors import PonwError
from node.gateway.idle import JOB_FLAG
from node.gateway.ports import Job
from node.gateway.storage.store import Storage
from node.gateway.storage.tables import Flag
from node.logs import get_logger
from node.paths import PRIVATE_FILE, private_folder

LOCK_NAME = "jobs.lock"
_LOCK_KEY = 0x706F6E7767
_JOIN_S = 60
_log = get_logger("gateway")


def set_flag(session: Session, name: str, value: dict[str, Any], now: int) -> None:
    """Tell the other processes. `now`: Unix microseconds."""
    session.merge(Flag(name=name, value=value, at=now))


class Leadership:
    """One process at a time does the background work: by a lock in PostgreSQL, else by one on a file of the home
    folder. Who ends, however it ends, gives it up."""

    def __init__(self, storage: Storage, home: Path) -> None:
        self._storage, self._path = storage, home / LOCK_NAME
        self._mutex = threading.Lock()
        self._handle: int | None = None

    def held(self) -> bool:
        """Whether this process leads; takes the lead where nobody has it. Raises DatabaseError, DiskError."""
        with self._mutex:
            return self._storage.lead(_LOCK_KEY) if self._storage.postgres else self._file()

    def _file(self) -> bool:
        if self._handle is not None:
            return True
        private_folder(self._path.parent)
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def close(self) -> None:
        """Give up the lead."""
        with self._mutex:
            self._storage.follow()
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None


class Background:
    """Runs jobs until it is stopped. A job's PonwError is logged and kept as its flag, and it runs again; anything else
    ends the process by `died`, since a gateway that silently does half its work is worse than none."""

    def __init__(
        self, storage: Storage, leadership: Leadership, jobs: Iterable[Job], died: Callable[[str], None]
    ) -> None:
        self._storage, self._leadership, self._died = storage, leadership, died
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(job,), name=f"gateway-{job.name}", daemon=True) for job in jobs
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each job end what it is at."""
        self._ended.set()
        for thread in self._threads:
            thread.join(_JOIN_S)
        self._leadership.close()

    def _guarded(self, job: Job) -> None:
        finished = False
        try:
            while not self._ended.is_set():
                self._once(job)
                self._ended.wait(job.interval)
            finished = True
        finally:
            if not finished:
                self._died(job.name)

    def _once(self, job: Job) -> None:
        try:
            if not self._leadership.held():
                return
            error = _run(job)
            with self._storage.write() as session:
                set_flag(session, JOB_FLAG + job.name, {"error": error}, self._storage.now(session))
        except PonwError as failure:
            _log.warning("job_not_recorded", job=job.name, reason=failure.message)


def _run(job: Job) -> str:
    """What went wrong, in words for everyone; empty where nothing did."""
    try:
        job.run()
    except PonwError as error:
        _log.error("job_failed", job=job.name, reason=error.message, next=error.hint)
        return f"The gateway's job {job.name} fails: {type(error).__name__}."
    return ""
