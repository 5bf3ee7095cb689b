"""Opening: damaged, foreign, newer, locked and full databases each get one sentence; a killed writer loses nothing."""

import resource
import signal
import sqlite3
import subprocess
import sys

import pytest

from node.errors import DatabaseError, DiskError
from node.storage import database
from node.storage.errors import BusyDatabaseError, CorruptDatabaseError, NewerDatabaseError
from node.storage.store import Store
from node.storage.tables import Phase, Round


def a_round(number):
    return Round(
        number=number,
        start_root=bytes(32),
        randomness=bytes(32),
        phase=Phase.TRAIN,
        claim_deadline=1,
        challenge_deadline=2,
    )


@pytest.fixture
def home(tmp_path):
    with Store.open(tmp_path) as store:
        for number in range(300):
            store.save_round(a_round(number))
    return tmp_path


def test_settings_hold_on_every_connection(home):
    with Store.open(home) as store, store._read() as session:
        pragmas = {
            name: session.connection().exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
    assert (home / "node.db").stat().st_mode & 0o777 == 0o600


def test_reopening_keeps_what_was_written(home):
    with Store.open(home) as store:
        assert len(store.rounds()) == 300


@pytest.mark.parametrize("damage", ["header", "page", "text", "truncated"])
def test_a_corrupt_database_is_one_sentence(home, damage):
    path = home / "node.db"
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[:16] = bytes(16)
    elif damage == "page":
        data[4096:] = b"\xa5" * (len(data) - 4096)
    elif damage == "text":
        data = bytearray(b"this is no database at all\n" * 1000)
    else:
        del data[len(data) // 2 :]
    path.write_bytes(data)
    with pytest.raises(CorruptDatabaseError, match=r"node\.db is corrupt"):
        Store.open(home)
    assert path.read_bytes() == data


def test_a_newer_schema_is_refused_and_left_alone(home):
    with sqlite3.connect(home / "node.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(NewerDatabaseError, match="schema 9999"):
        Store.open(home)


def test_a_locked_database_is_one_sentence(home, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_MS", 20)
    other = sqlite3.connect(home / "node.db", isolation_level=None)
    with Store.open(home) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyDatabaseError, match="in use"):
            store.save_round(a_round(1))
        assert len(store.rounds()) == 300
        other.execute("ROLLBACK")
        store.save_round(a_round(1))
    other.close()


def test_a_folder_in_the_way_is_one_sentence(tmp_path):
    (tmp_path / "node.db").mkdir()
    with pytest.raises(DiskError, match=r"Cannot open .*node\.db"):
        Store.open(tmp_path)


WRITER = """
import sys
from pathlib import Path
from node.storage.store import Store
from tests_round import a_round
with Store.open(Path(sys.argv[1])) as store:
    for number in range(1000, 100000):
        store.save_round(a_round(number))
        print(number, flush=True)
"""


def run_writer(home, tmp_path_factory, **options):
    helper = tmp_path_factory.mktemp("helper")
    (helper / "tests_round.py").write_text(
        "from node.storage.tables import Phase, Round\n\n\ndef a_round(number):\n"
        "    return Round(number=number, start_root=bytes(32), randomness=bytes(32), phase=Phase.TRAIN,\n"
        "                 claim_deadline=1, challenge_deadline=2)\n"
    )
    code = f"import sys; sys.path.insert(0, {str(helper)!r})\n" + WRITER
    return subprocess.Popen([sys.executable, "-c", code, home], stdout=subprocess.PIPE, text=True, **options)


def test_kill_keeps_every_committed_write(home, tmp_path_factory):
    for _ in range(3):
        with run_writer(home, tmp_path_factory) as child:
            for _ in range(20):
                last = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            last = max([last, *(int(line) for line in child.stdout.read().splitlines() if line)])
        with Store.open(home) as store:
            assert store.latest_round().number >= last


def test_disk_full_is_one_sentence_and_keeps_what_was_there(home, tmp_path_factory):
    limit = 400_000
    with run_writer(
        home,
        tmp_path_factory,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    ) as child:
        out, errors = child.communicate()
    assert "DiskError: Cannot write the database" in errors.splitlines()[-1]
    with Store.open(home) as store:
        assert store.latest_round().number == int(out.split()[-1])


@pytest.mark.parametrize(
    "url", ["nonsense://ada:opensesame@host/x", "ada:opensesame@host", "mysql://ada:opensesame@host/x"]
)
def test_a_url_of_another_kind_is_refused_in_words(url: str) -> None:
    with pytest.raises(DatabaseError) as refused:
        database.open_engine(url)
    assert "postgresql://" in refused.value.hint
    assert "opensesame" not in refused.value.message + refused.value.hint
