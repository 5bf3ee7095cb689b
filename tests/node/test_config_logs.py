"""No key material in a log line."""

import io
import json
import sys

import pytest
from eth_account import Account

from node import logs


def test_secrets_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", as_json=True)
    account = Account.create()
    secret = account.key.hex()
    logs.get_logger("test").info(
        "event",
        password="hunter2",
        nested={"private_key": secret, "list": [{"mnemonic": "one two"}], "account": account},
        url="calls https://user:hunter2@host:1/v3/abcdef?key=1 now",
        error=ValueError("http://h/secretpath"),
        root="0x" + "ab" * 32,
    )
    captured = capsys.readouterr()
    assert captured.out == ""
    line = json.loads(captured.err)
    for leaked in ("hunter2", secret, "one two", "abcdef", "secretpath"):
        assert leaked not in captured.err
    assert line["url"] == "calls https://host:1/… now"
    assert line["root"] == "0x" + "ab" * 32
    assert line["component"] == "test"


def test_level_filters(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning")
    logs.get_logger("test").info("quiet")
    assert capsys.readouterr().err == ""


def test_a_stderr_replaced_after_set_up_gets_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    logs.configure("info", as_json=True)
    logger = logs.get_logger("test")
    first.close()
    monkeypatch.setattr(sys, "stderr", second)
    logger.info("after")
    assert json.loads(second.getvalue())["event"] == "after"
