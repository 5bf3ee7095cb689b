"""Gateways on a micro model over a small real text, on SQLite and on a PostgreSQL that the tests start themselves."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.gateway.storage.store import MICROSECONDS

START_S = 30


class ManualClock:
    """Unix microseconds that stand until they are moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * MICROSECONDS

    def __call__(self) -> int:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on, or back."""
        self.now += int(seconds * MICROSECONDS)


def _demoted() -> Callable[[], None] | None:
    """PostgreSQL refuses to run as root: becomes `nobody` in the child."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")

    def demote() -> None:
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)

    return demote


class Cluster:
    """A PostgreSQL of the tests' own, at a socket in a folder of its own."""

    def __init__(self) -> None:
        found = [shutil.which(name) for name in ("initdb", "pg_ctl")]
        if None in found:
            pytest.skip("initdb and pg_ctl are not installed")
        initdb, self._pg_ctl = (str(Path(str(path)).resolve()) for path in found)
        self.folder = Path(tempfile.mkdtemp(prefix="ponw-pg-"))
        self._data, self._log = self.folder / "data", self.folder / "log"
        self._demote = _demoted()
        if self._demote is not None:
            os.chown(self.folder, pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)
        self._run(initdb, "-D", str(self._data), "-A", "trust", "-U", "ponw", "--no-sync")
        self.url = f"postgresql://ponw@/postgres?host={self.folder}"

    def start(self) -> None:
        """Returns once it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c max_connections=200"
        words = ["-D", str(self._data), "-l", str(self._log), "-o", options, "-w", "-t", str(START_S)]
        self._run(self._pg_ctl, *words, "start")

    def crash(self) -> None:
        """Stop it without any care for who is connected; the next start recovers from its log."""
        self._run(self._pg_ctl, "-D", str(self._data), "-m", "immediate", "stop")

    def _run(self, *words: str) -> None:
        done = subprocess.run(
            words, preexec_fn=self._demote, cwd=self.folder, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr + (self._log.read_text() if self._log.exists() else "")
        assert done.returncode == 0, said


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A running cluster that a test may stop and start."""
    made = Cluster()
    made.start()
    yield made
    made.crash()
    shutil.rmtree(made.folder)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a fresh cluster's `postgres` database."""
    made = Cluster()
    made.start()
    yield made.url
    made.crash()
    shutil.rmtree(made.folder)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A new, empty database."""
    import psycopg

    name = "t" + uuid.uuid4().hex
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    yield postgres_server.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each test that takes this runs on both databases."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'gateway.db'}"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis of its own at a socket."""
    import redis

    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="ponw-redis-"))
    place = folder / "redis.sock"
    words = [program, "--port", "0", "--unixsocket", str(place), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        client, deadline = redis.Redis(unix_socket_path=str(place)), time.monotonic() + START_S
        while not (place.exists() and client.ping()):
            assert time.monotonic() < deadline and process.poll() is None, "redis-server does not start"
        client.close()
        yield f"unix://{place}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_S)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def micro_workshop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The smallest model there can be, over the shipped books."""
    from consensus.arithmetic import choose_engine
    from consensus.model.config import ModelConfig
    from node.data.corpus import ensure_default
    from node.training.work import Workshop

    config = ModelConfig("micro", layers=1, width=32, heads=2, seq_len=32, batch=4)
    return Workshop(config, choose_engine(1), ensure_default(tmp_path_factory.mktemp("text")))


@pytest.fixture
def clock() -> ManualClock:
    """Stands at a fixed time."""
    return ManualClock()


EASY: dict[str, Any] = {
    "sizes": (8, 16, 32),
    "prepared": 2,
    "samples_max": 64,
    "pow_difficulty": 4,
    "rate_register": "100000/minute",
    "rate_login": "100000/minute",
    "rate_worker": "100000/minute",
    "rate_download": "100000/minute",
    "rate_public": "100000/minute",
}
"""Settings of the tests' gateways."""


@pytest.fixture
def open_gateways(micro_workshop: Any, tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., Any]]:
    """Opens gateways that are closed when the test ends; options as of `node.gateway.settings.load`."""
    from node.gateway.gateway import open_gateway
    from node.gateway.settings import load

    opened = []

    def make(database_url: str = "", *, real_clock: bool = False, **options: Any) -> Any:
        settings = load(tmp_path / "home", database_url=database_url, **{**EASY, **options})
        gateway = open_gateway(settings, micro_workshop, None if real_clock else clock)
        opened.append(gateway)
        gateway.start()
        return gateway

    yield make
    for gateway in opened:
        gateway.close()


@pytest.fixture
def gateway(request: pytest.FixtureRequest, open_gateways: Callable[..., Any], database_url: str) -> Any:
    """A gateway with its genesis version, on each database; or, by parameter, the one of another fixture."""
    other = getattr(request, "param", None)
    return open_gateways(database_url) if other is None else request.getfixturevalue(other)


@pytest.fixture
def api(gateway: Any) -> Iterator[Any]:
    """A client of the gateway's application, in this process."""
    from starlette.testclient import TestClient

    from node.gateway.app import create_app

    with TestClient(create_app(gateway), raise_server_exceptions=False) as client:
        yield client
