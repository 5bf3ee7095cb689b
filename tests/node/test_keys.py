"""The keystore: what is written, what is never overwritten, what a damaged file is answered with."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from node import keys
from node.errors import PasswordError, WalletError

FAST = 1 << 10
KEY = "0x" + "11" * 32


def _password(confirm: bool = False) -> str:
    return "correct horse"


def test_create_unlock_list(tmp_path: Path) -> None:
    folder = tmp_path / "keystore"
    key = keys.create(folder, "correct horse", scrypt_n=FAST)
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert keys.list_keys(folder) == [key]
    assert keys.unlock(folder, _password).address == key.address
    assert json.loads(key.path.read_text())["version"] == 3


def test_other_tools_can_open_it(tmp_path: Path) -> None:
    key = keys.import_private_key(tmp_path, KEY, "correct horse", scrypt_n=FAST)
    assert Account.decrypt(key.path.read_text(), "correct horse").hex() == "11" * 32


def test_import_never_overwrites(tmp_path: Path) -> None:
    key = keys.import_private_key(tmp_path, KEY, "one", scrypt_n=FAST)
    before = key.path.read_bytes()
    with pytest.raises(WalletError, match="already"):
        keys.import_private_key(tmp_path, KEY.removeprefix("0x"), "two", scrypt_n=FAST)
    assert key.path.read_bytes() == before


def test_import_keystore(tmp_path: Path) -> None:
    old = keys.create(tmp_path / "old", "correct horse", scrypt_n=FAST)
    new = keys.import_keystore(tmp_path / "new", old.path, "correct horse", scrypt_n=FAST)
    assert keys.unlock(tmp_path / "new", _password).address == old.address == new.address


@pytest.mark.parametrize("text", ["", "0x12", "zz" * 32, "00" * 32, "ff" * 32, "11" * 33])
def test_bad_private_keys_are_refused_without_showing_them(tmp_path: Path, text: str) -> None:
    with pytest.raises(WalletError) as caught:
        keys.import_private_key(tmp_path, text, "pw", scrypt_n=FAST)
    assert not text or text not in str(caught.value)
    assert keys.list_keys(tmp_path) == []


def test_wrong_password_is_one_sentence(tmp_path: Path) -> None:
    keys.create(tmp_path, "other", scrypt_n=FAST)
    with pytest.raises(PasswordError, match="does not open") as caught:
        keys.unlock(tmp_path, _password)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "damage",
    [
        lambda j: j.pop("crypto"),
        lambda j: j["crypto"].pop("mac"),
        lambda j: j["crypto"].update(kdf="none"),
        lambda j: j["crypto"].update(ciphertext="zz"),
        lambda j: j["crypto"]["kdfparams"].update(n=3),
        lambda j: j["crypto"]["kdfparams"].update(n=1 << 40),
        lambda j: j["crypto"].update(kdfparams=5),
        lambda j: j.update(crypto=5),
        lambda j: j.update(version=2),
        lambda j: j["crypto"]["cipherparams"].update(iv="z"),
        lambda j: j["crypto"].update(mac=5),
    ],
)
def test_damaged_keystores_are_refused(tmp_path: Path, damage: Callable[[Any], Any]) -> None:
    key = keys.create(tmp_path, "correct horse", scrypt_n=FAST)
    document = json.loads(key.path.read_text())
    damage(document)
    key.path.write_text(json.dumps(document))
    with pytest.raises(WalletError, match="not a usable"):
        keys.unlock(tmp_path, _password)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{", b"x" * (keys.KEYSTORE_LIMIT + 1)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    key = keys.create(tmp_path, "correct horse", scrypt_n=FAST)
    key.path.write_bytes(content)
    with pytest.raises((WalletError, keys.paths.DiskError)):
        keys.unlock(tmp_path, _password)


def test_a_renamed_keystore_is_refused(tmp_path: Path) -> None:
    key = keys.create(tmp_path, "correct horse", scrypt_n=FAST)
    other = Account.create().address
    key.path.rename(tmp_path / f"{other}.json")
    with pytest.raises(WalletError, match=key.address):
        keys.unlock(tmp_path, _password)


def test_select(tmp_path: Path) -> None:
    with pytest.raises(WalletError, match="no key"):
        keys.select(tmp_path)
    one = keys.create(tmp_path, "pw", scrypt_n=FAST)
    assert keys.select(tmp_path) == one
    keys.create(tmp_path, "pw", scrypt_n=FAST)
    with pytest.raises(WalletError, match="2 keys"):
        keys.select(tmp_path)
    assert keys.select(tmp_path, one.address.lower()) == one
    with pytest.raises(WalletError, match="no key for"):
        keys.select(tmp_path, "0x" + "12" * 20)


def _secret(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_password_file(tmp_path: Path) -> None:
    path = _secret(tmp_path / "pw", b"correct horse\r\nnot this\n")
    assert keys.password_source(path)() == "correct horse"


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        (b"pw", 0o640, "chmod 600"),
        (b"pw", 0o604, "chmod 600"),
        (b"\n", 0o600, "empty"),
        (b"\xff", 0o600, "UTF-8"),
        (b"x" * (keys.PASSWORD_LIMIT + 1), 0o600, "too large"),
    ],
)
def test_bad_password_files(tmp_path: Path, content: bytes, mode: int, expected: str) -> None:
    with pytest.raises(PasswordError) as caught:
        keys.read_password_file(_secret(tmp_path / "pw", content, mode))
    assert expected in caught.value.message + caught.value.hint


def test_password_file_must_be_a_plain_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(PasswordError, match="plain file"):
        keys.read_password_file(tmp_path / "fifo")
    with pytest.raises(PasswordError, match="cannot be read"):
        keys.read_password_file(tmp_path / "missing")


def test_prompt_needs_a_terminal() -> None:
    with pytest.raises(PasswordError, match="no terminal"):
        keys.prompt_password()


def test_prompt_asks_twice_for_a_new_password(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["one", "two", "same", "same", ""])
    monkeypatch.setattr(keys.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(keys.getpass, "getpass", lambda _prompt: next(answers))
    with pytest.raises(PasswordError, match="differ"):
        keys.prompt_password(confirm=True)
    assert keys.prompt_password(confirm=True) == "same"
    with pytest.raises(PasswordError, match="empty"):
        keys.prompt_password()
