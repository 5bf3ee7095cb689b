"""Backups: whole, checked, and never over something that is there."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
import threading
from pathlib import Path

import pytest

from node.operating import backup
from node.operating.backup import MANIFEST, Entry, Manifest
from node.operating.errors import BackupError
from node.storage.database import DATABASE_NAME
from node.storage.store import Store

NOW = 1_800_000_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    with Store.open(home):
        pass
    (home / "config.toml").write_text('preset = "tiny"\n')
    (home / "keystore").mkdir()
    (home / "keystore" / "key.json").write_text("{}")
    (home / "states").mkdir()
    (home / "states" / "big.safetensors").write_bytes(b"x" * 1000)
    (home / "keystore" / ".key.json.tmp").write_text("half")
    return home


def made(home: Path, tmp_path: Path, *, large: bool = False) -> Path:
    target = tmp_path / "backup.tar"
    backup.create(home, target, large=large, now=NOW)
    return target


def test_a_restored_home_holds_what_was_there(home: Path, tmp_path: Path) -> None:
    source = made(home, tmp_path)
    back = tmp_path / "back"
    manifest = backup.restore(source, back)
    assert {entry.path for entry in manifest.files} == {DATABASE_NAME, "config.toml", "keystore/key.json"}
    assert (back / "config.toml").read_text() == 'preset = "tiny"\n'
    assert (back / "keystore/key.json").stat().st_mode & 0o777 == 0o600
    with Store.open(back) as store:
        assert store.latest_round() is None
    assert sorted(path.name for path in back.iterdir()) == ["config.toml", "keystore", DATABASE_NAME]


def test_large_files_are_kept_where_asked_for(home: Path, tmp_path: Path) -> None:
    assert "states/big.safetensors" in {entry.path for entry in backup.check(made(home, tmp_path, large=True)).files}


def test_a_database_that_is_written_meanwhile_is_copied_as_of_one_moment(home: Path, tmp_path: Path) -> None:
    path = home / "gateway.db"
    with sqlite3.connect(path) as held:
        held.execute("PRAGMA journal_mode=WAL")
        held.execute("CREATE TABLE pairs (a INTEGER, b INTEGER)")
    over, started = threading.Event(), threading.Event()

    def write() -> None:
        with sqlite3.connect(path, timeout=30) as busy:
            number = 0
            while not over.is_set():
                number += 1
                with busy:
                    busy.execute("INSERT INTO pairs VALUES (?, ?)", (number, 0))
                    busy.execute("UPDATE pairs SET b = ? WHERE a = ?", (number, number))
                started.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert started.wait(10)
        source = made(home, tmp_path)
    finally:
        over.set()
        thread.join()
    backup.restore(source, tmp_path / "back")
    with sqlite3.connect(tmp_path / "back" / "gateway.db") as copy:
        rows, torn = copy.execute("SELECT count(*), sum(a != b) FROM pairs").fetchone()
    assert rows >= 1
    assert torn == 0


def test_nothing_is_replaced(home: Path, tmp_path: Path) -> None:
    source = made(home, tmp_path)
    with pytest.raises(BackupError, match="exists already"):
        backup.create(home, source, large=False, now=NOW)
    back = tmp_path / "back"
    back.mkdir()
    (back / "config.toml").write_text("mine")
    with pytest.raises(BackupError, match=r"config\.toml exists already"):
        backup.restore(source, back)
    assert [path.name for path in back.iterdir()] == ["config.toml"]
    assert (back / "config.toml").read_text() == "mine"


@pytest.mark.parametrize("at", [600, 3000, -1400])
def test_a_damaged_backup_is_refused_whole(home: Path, tmp_path: Path, at: int) -> None:
    source = made(home, tmp_path)
    data = bytearray(source.read_bytes())
    data[at] ^= 1
    source.write_bytes(data)
    changed = bytes(data)
    back = tmp_path / "back"
    try:
        backup.restore(source, back)
    except BackupError:
        assert list(back.iterdir()) == []
    else:  # the bit was in padding, which nothing reads
        assert {e.path: e.sha256 for e in backup.check(source).files}
        assert changed[at] ^ 1 == 0


def test_a_backup_that_was_cut_is_refused(home: Path, tmp_path: Path) -> None:
    source = made(home, tmp_path)
    data = source.read_bytes()
    with tarfile.open(source) as tar:
        last = tar.getmembers()[-1].offset
    source.write_bytes(data[:last])
    with pytest.raises(BackupError):
        backup.restore(source, tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b"])
def test_a_file_outside_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    source = tmp_path / "evil.tar"
    digest = "0" * 64
    manifest = Manifest(format=backup.FORMAT, made_at=NOW, files=[Entry(path=name, size=0, sha256=digest)])
    with tarfile.open(source, "w") as tar:
        text = json.dumps(manifest.model_dump()).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
        tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(BackupError, match="outside"):
        backup.restore(source, tmp_path / "back")


def test_what_its_list_does_not_name_is_refused(home: Path, tmp_path: Path) -> None:
    source = made(home, tmp_path)
    with tarfile.open(source, "a") as tar:
        tar.addfile(tarfile.TarInfo("more"))
    with pytest.raises(BackupError, match="which its list does not"):
        backup.check(source)


def test_an_empty_folder_has_no_backup(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="nothing to back up"):
        backup.create(tmp_path / "nothing", tmp_path / "backup.tar", large=False, now=NOW)
