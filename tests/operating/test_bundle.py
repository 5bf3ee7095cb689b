"""The bundle for others holds what helps and no secret."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from node import config
from node.operating import bundle
from node.storage.store import Store

SECRETS = ("correct horse", "0xdeadbeefcafe", "hunter2", "pv1_secretkey", "sk-live-1")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    with Store.open(home):
        pass
    (home / "keystore").mkdir()
    (home / "keystore" / "key.json").write_text(json.dumps({"crypto": "0xdeadbeefcafe"}))
    (home / "password").write_text("correct horse")
    (home / "gateway.secret").write_text("hunter2")
    (home / "volunteer").mkdir()
    (home / "volunteer" / "key").write_text("pv1_secretkey")
    (home / "status.json").write_text(json.dumps({"activity": "training", "uri": "http://me:hunter2@10.0.0.1/x"}))
    (home / "node.log").write_text("asking https://eth.example/v3/sk-live-1 again\n" * 3)
    return home


def test_it_holds_no_secret(home: Path, tmp_path: Path) -> None:
    settings = config.load(home, rpc_url="https://user:hunter2@eth.example/v3/sk-live-1")
    target = tmp_path / "bundle.tar.gz"
    names = bundle.create(settings, target, 1_800_000_000)
    with tarfile.open(target) as tar:
        held = {member.name.removeprefix("ponw-debug/"): tar.extractfile(member) for member in tar.getmembers()}
        texts = {name: file.read().decode() for name, file in held.items() if file}
    assert sorted(texts) == sorted(names)
    for name, text in texts.items():
        for secret in SECRETS:
            assert secret not in text, f"{secret} is in {name}"
    assert not [name for name in names if "keystore" in name]


def test_it_holds_what_helps(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "bundle.tar.gz"
    names = bundle.create(config.load(home), target, 1_800_000_000)
    for name in ("versions.json", "settings.json", "doctor.json", "files.json", "node.db.json", "logs/node.log"):
        assert name in names
    with tarfile.open(target) as tar:
        file = tar.extractfile("ponw-debug/node.db.json")
        assert file
        counts = json.load(file)
    assert counts["quick_check"] == "ok"
    assert counts["rows"]["claims"] == 0
