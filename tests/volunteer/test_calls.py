"""Calls and downloads: retried as the gateway asks, resumed, bounded, and never believed without their hash."""

from __future__ import annotations

import hashlib
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import make_volunteer
from fastapi import Request, Response
from seam import SmallGateway, problem
from starlette.responses import StreamingResponse

from node.errors import DiskError
from node.gateway.schemas import BatchRequest, Hardware
from node.volunteer import api
from node.volunteer.download import fetch
from node.volunteer.enrolment import sign_in
from node.volunteer.errors import AnswerError, GatewayDownError, NoWorkError, RefusedError

MODEL = "/api/v1/model/download/v0"


def signed_in(folder: Path, url: str) -> Any:
    """A volunteer with an account."""
    one = make_volunteer(folder, url)
    sign_in(one.gateway, one.session.key, None, Hardware(), one.board, one.control)
    return one


def nothing(_new: int, _done: int, _size: int) -> None:
    """No progress."""


def test_an_account_is_made_once(tmp_path: Path, url: str, small: SmallGateway) -> None:
    signed_in(tmp_path, url)
    signed_in(tmp_path, url)
    assert len(small.keys) == 1
    assert len(small.asked("/auth/register")) == 1


def test_retry_after_is_honoured(tmp_path: Path, url: str, small: SmallGateway, monkeypatch: Any) -> None:
    one, waits = signed_in(tmp_path, url), []
    answers = [problem(429, "rate-limited", "Slower.", **{"retry-after": "17"}), problem(503, "busy", "Busy.")]
    small.fault = lambda request: answers.pop(0) if answers and request.url.path.endswith("/current") else None
    monkeypatch.setattr(one.control, "sleep", waits.append)
    assert one.gateway.current().version == "v0"
    assert waits[0] == 17.0
    assert 0 <= waits[1] <= api.RETRY_MAX_S
    assert "Slower." in one.said()


def test_a_token_is_renewed_when_the_gateway_forgot_it(tmp_path: Path, url: str, small: SmallGateway) -> None:
    one = signed_in(tmp_path, url)
    one.gateway.worker_stats()
    small.tokens.clear()
    assert one.gateway.worker_stats().batches == 0
    small.tokens.clear()
    small.keys.clear()
    with pytest.raises(RefusedError) as refused:
        one.gateway.worker_stats()
    assert refused.value.code == "unknown-api-key"


def test_few_attempts_end_in_a_sentence(tmp_path: Path) -> None:
    one = make_volunteer(tmp_path, "http://127.0.0.1:1")
    one.gateway._attempts = 1
    with pytest.raises(GatewayDownError, match="cannot be reached"):
        one.gateway.current()


def test_no_work_is_no_failure(tmp_path: Path, url: str, small: SmallGateway) -> None:
    small.most = 0
    with pytest.raises(NoWorkError) as none:
        signed_in(tmp_path, url).gateway.request(BatchRequest())
    assert none.value.retry_after == 1.0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: Response(b"{", media_type="application/json"), "malformed"),
        (lambda: Response(b'{"version": "v0"}', media_type="application/json"), "malformed"),
        (lambda: Response(b" " * (api.ANSWER_LIMIT + 1), media_type="application/json"), "larger than"),
    ],
)
def test_answers_are_bounded_and_checked(
    tmp_path: Path, url: str, small: SmallGateway, answer: Any, words: str
) -> None:
    one = signed_in(tmp_path, url)
    small.fault = lambda request: answer() if request.url.path.endswith("/current") else None
    with pytest.raises(AnswerError, match=words):
        one.gateway.current()


def test_a_download_goes_on_where_it_broke_off(tmp_path: Path, url: str, small: SmallGateway, monkeypatch: Any) -> None:
    one, target, cuts = signed_in(tmp_path, url), tmp_path / "model", [5000, 9000]
    monkeypatch.setattr(one.control, "sleep", lambda _s: None)

    def cut(request: Request) -> Response | None:
        if not request.url.path.endswith("/v0") or not cuts:
            return None
        held = request.headers.get("range", "bytes=0-")
        start, stop = int(held[6:].rstrip("-")), cuts.pop(0)
        headers = {
            "content-length": str(len(small.file) - start),
            "content-range": f"bytes {start}-{len(small.file) - 1}/{len(small.file)}",
        }

        async def some() -> Any:
            yield small.file[start:stop]
            raise ConnectionError("cut")

        return StreamingResponse(some(), 206 if start else 200, headers)

    small.fault = cut
    fetch(one.gateway, MODEL, target, len(small.file), small.sha, nothing)
    assert target.read_bytes() == small.file
    assert small.asked("/v0") == ["", "bytes=5000-", "bytes=9000-"]
    fetch(one.gateway, MODEL, target, len(small.file), small.sha, nothing)
    assert len(small.asked("/v0")) == 3, "what is there is not fetched again"


def test_a_part_of_something_else_is_fetched_anew(tmp_path: Path, url: str, small: SmallGateway) -> None:
    one, target = signed_in(tmp_path, url), tmp_path / "model"
    (tmp_path / ".model.part").write_bytes(b"x" * 1000)
    fetch(one.gateway, MODEL, target, len(small.file), small.sha, nothing)
    assert target.read_bytes() == small.file
    assert small.asked("/v0") == ["bytes=1000-", ""]


def test_another_file_than_named_is_refused(tmp_path: Path, url: str, small: SmallGateway) -> None:
    one = signed_in(tmp_path, url)
    wrong = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(AnswerError, match="does not have the hash"):
        fetch(one.gateway, MODEL, tmp_path / "model", len(small.file), wrong, nothing)
    with pytest.raises(AnswerError, match="more of a file"):
        fetch(one.gateway, MODEL, tmp_path / "model", 100, wrong, nothing)
    assert not (tmp_path / "model").exists()
    with pytest.raises(AnswerError, match="no path of its own"):
        fetch(one.gateway, "http://elsewhere/", tmp_path / "model", 100, wrong, nothing)


def test_a_full_disk_is_said_before_anything_is_fetched(tmp_path: Path, url: str, monkeypatch: Any) -> None:
    one = signed_in(tmp_path, url)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _p: usage._replace(free=1 << 20))
    with pytest.raises(DiskError, match=r"1 MiB of free space; \d+ MiB are needed") as full:
        fetch(one.gateway, MODEL, tmp_path / "model", 1 << 20, "00" * 32, nothing)
    assert "Free some space" in full.value.hint


def test_a_disk_that_fills_meanwhile_is_said_too(tmp_path: Path, url: str, small: SmallGateway) -> None:
    one = signed_in(tmp_path, url)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(DiskError, match=r"Cannot write .*model\.part") as full:
            fetch(one.gateway, MODEL, tmp_path / "model", len(small.file), small.sha, nothing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Check the free space" in full.value.hint
    fetch(one.gateway, MODEL, tmp_path / "model", len(small.file), small.sha, nothing)
    assert small.asked("/v0") == ["", "bytes=4096-"], "what fitted is not fetched again"
