"""The endpoint's failures, from a real HTTP server that misbehaves."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from node.chain import transport
from node.chain.devnet import free_port
from node.chain.transport import RetryingProvider
from node.errors import RpcError

Reply = tuple[int, bytes]
GOOD = (200, json.dumps({"jsonrpc": "2.0", "id": 0, "result": "0x1"}).encode())


@contextmanager
def _server(answer: Callable[[int], Reply]) -> Iterator[tuple[str, list[int]]]:
    calls: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append(1)
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answer(len(calls))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v3/secretkey", calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(transport, "LONGEST_PAUSE", 0.002)


def _call(url: str) -> Any:
    return RetryingProvider(url, timeout=1).make_request("eth_chainId", [])


def test_passing_failures_are_retried() -> None:
    with _server(lambda n: GOOD if n == 3 else (503, b"busy")) as (url, calls):
        assert _call(url)["result"] == "0x1"
    assert len(calls) == 3


def test_lasting_failures_end_in_one_sentence_without_the_key() -> None:
    with _server(lambda _n: (503, b"busy")) as (url, calls), pytest.raises(RpcError, match="HTTP 503") as caught:
        _call(url)
    assert len(calls) == transport.ATTEMPTS
    assert "secretkey" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ((401, b""), "HTTP 401"),
        ((200, b"<html>"), "not in JSON|not answer in JSON"),
        ((200, b"\xff"), "not answer in JSON"),
        ((200, b"{}"), "neither result nor error"),
        ((200, b"[]"), "neither result nor error"),
    ],
)
def test_wrong_endpoints_are_not_retried(reply: Reply, expected: str) -> None:
    with _server(lambda _n: reply) as (url, calls), pytest.raises(RpcError, match=expected):
        _call(url)
    assert len(calls) == 1


def test_nobody_listens() -> None:
    with pytest.raises(RpcError, match="does not answer"):
        _call(f"http://127.0.0.1:{free_port()}")


def test_silence_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(RpcError, match="Timeout"):
        _call(f"http://127.0.0.1:{silent.getsockname()[1]}")
