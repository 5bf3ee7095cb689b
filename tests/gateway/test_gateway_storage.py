"""Schema, transactions and blobs: SQLite and PostgreSQL, a folder and an S3 server."""

from __future__ import annotations

import hashlib
import threading
import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlmodel import select

from node.errors import DatabaseError, PonwError
from node.gateway.auth import key_hash
from node.gateway.blobs import BlobStore
from node.gateway.errors import BlobError, GatewayConfigError
from node.gateway.jobs import Background, Leadership
from node.gateway.ports import Job
from node.gateway.settings import load
from node.gateway.storage.store import Storage, new_id
from node.gateway.storage.tables import Flag, Gateway, Worker
from node.storage.errors import NewerDatabaseError

PATIENCE_S = 30


def a_worker(key):
    return Worker(id=new_id(), key_hash=key_hash(key), username="x", created_at=1, last_seen=1)


def test_migrations_make_the_tables(database_url):
    with Storage.open(database_url) as storage, storage._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Gateway.metadata) == []


def test_a_database_of_a_later_version_is_refused(database_url):
    with Storage.open(database_url) as storage, storage.write() as session:
        session.connection().execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabaseError):
        Storage.open(database_url)


def test_several_open_a_new_database_at_once(database_url):
    opened, faults = [], []

    def run():
        try:
            opened.append(Storage.open(database_url))
        except PonwError as error:
            faults.append(error)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    for storage in opened:
        storage.close()
    assert len(opened) == 6, faults


def test_a_transaction_is_whole_or_nothing(database_url):
    with Storage.open(database_url) as storage:
        with pytest.raises(ZeroDivisionError), storage.write() as session:
            session.add(a_worker("a"))
            session.flush()
            raise ZeroDivisionError
        with pytest.raises(DatabaseError), storage.write() as session:
            session.add_all([a_worker("b"), a_worker("b")])
        with storage.read() as session:
            assert not list(session.exec(select(Worker)))


def test_a_database_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(DatabaseError, match="cannot be reached"):
        Storage.open(f"postgresql://ponw@/none?host={tmp_path}")


def test_the_clock_is_the_database_s_own(postgres_url):
    with Storage.open(postgres_url) as storage, storage.read() as session:
        first = storage.now(session)
        assert abs(storage.now(session) - storage.host_now()) < 60_000_000
        assert storage.now(session) >= first


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_blobs_are_whole_or_absent(kind, tmp_path):
    store = BlobStore(f"file://{tmp_path}/blobs" if kind == "file" else f"memory://{new_id()}")
    check_store(store, tmp_path)


@pytest.fixture(scope="module")
def s3_server():
    """An S3 server of this machine, in a thread."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_blobs_in_s3(s3_server, tmp_path, monkeypatch):
    s3fs = pytest.importorskip("s3fs")
    for name, value in (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_ENDPOINT_URL", s3_server)):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem(endpoint_url=s3_server, key="a", secret="b").mkdir("models")
    check_store(BlobStore("s3://models/ponw"), tmp_path)
    with pytest.raises(BlobError):
        BlobStore("s3://no-such-bucket-here/ponw").put_bytes("text", b"x")


def check_store(store, tmp_path):
    data = bytes(range(256)) * 10_000
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(data)
    blob = store.put("text", source)
    assert blob.key == f"text/{hashlib.sha256(data).hexdigest()}" and blob.size == len(data)
    assert store.put("text", source) == blob == store.put_bytes("text", data)
    assert b"".join(store.read(blob.key)) == data
    assert b"".join(store.read(blob.key, 5, 9)) == data[5:9]
    assert b"".join(store.read(blob.key, len(data) - 3)) == data[-3:]
    store.fetch(blob.key, target)
    assert target.read_bytes() == data
    target.unlink()
    path = store._path(blob.key)
    with store._fs.open(path, "wb") as file:
        file.write(b"damaged")
    with pytest.raises(BlobError, match="damaged"):
        store.fetch(blob.key, target)
    assert not target.exists()
    store.delete(blob.key)
    store.delete(blob.key)
    with pytest.raises(BlobError, match="no blob"):
        list(store.read(blob.key))
    with pytest.raises(BlobError, match="no key"):
        list(store.read("../../etc/passwd"))


def test_a_store_that_nobody_knows_is_refused():
    with pytest.raises(BlobError):
        BlobStore("nonsense://here")


def test_one_process_does_the_background_work(database_url, tmp_path):
    with Storage.open(database_url) as one, Storage.open(database_url) as other:
        first, second = Leadership(one, tmp_path), Leadership(other, tmp_path)
        assert first.held() and first.held() and not second.held()
        first.close()
        deadline = time.monotonic() + PATIENCE_S
        while not second.held():  # PostgreSQL notices the end of a connection a moment later
            assert time.monotonic() < deadline
        assert not first.held()
        second.close()


def test_jobs_go_on_after_failures_and_say_so(database_url, tmp_path):
    runs, done = [], threading.Event()

    def job():
        runs.append(1)
        if len(runs) == 1:
            raise BlobError("The store is away.")
        done.set()

    with Storage.open(database_url) as storage:
        background = Background(storage, Leadership(storage, tmp_path), [Job("work", 0.01, job)], runs.append)
        background.start()
        assert done.wait(PATIENCE_S)
        background.stop()
        with storage.read() as session:
            assert session.get_one(Flag, "job:work").value == {"error": ""}


def test_what_nobody_expected_ends_the_process(tmp_path):
    died, told = threading.Event(), []

    def job():
        raise KeyError("unexpected")

    def end(name):
        told.append(name)
        died.set()

    with Storage.open(f"sqlite:///{tmp_path}/g.db") as storage:
        background = Background(storage, Leadership(storage, tmp_path), [Job("work", 1, job)], end)
        hook, threading.excepthook = threading.excepthook, lambda _given: None
        try:
            background.start()
            assert died.wait(PATIENCE_S) and told == ["work"]
        finally:
            background.stop()
            threading.excepthook = hook


def test_settings_name_what_is_wrong(tmp_path):
    with pytest.raises(GatewayConfigError, match="rate_login"):
        load(tmp_path, rate_login="many")
    with pytest.raises(GatewayConfigError, match="Redis"):
        load(tmp_path, workers=2)
    with pytest.raises(GatewayConfigError, match="lease_max_seconds"):
        load(tmp_path, lease_seconds=100, lease_max_seconds=50)


def test_sqlite_keeps_what_it_was_told(tmp_path):
    with Storage.open(f"sqlite:///{tmp_path}/g.db") as storage, storage.write() as session:
        session.add(a_worker("a"))
    engine = create_engine(f"sqlite:///{tmp_path}/g.db")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("SELECT count(*) FROM workers")).scalar() == 1
    engine.dispose()
