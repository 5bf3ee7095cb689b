"""The client against the real server, a folder, and peers that misbehave on a raw socket."""

import hashlib
import json
import socket
import threading
from contextlib import contextmanager

import pytest
import torch

from node.artefacts.client import ArtefactClient
from node.artefacts.errors import (
    ArtefactHashError,
    ArtefactMissingError,
    ArtefactRefusedError,
    ArtefactSizeError,
    PeerUnreachableError,
    PeerUriError,
)
from node.artefacts.layout import parse_index
from node.artefacts.publisher import RoundPublisher
from node.artefacts.server import create_app
from node.artefacts.serving import serve_in_thread

BODY = bytes(range(256)) * 400
SIZE = len(BODY)
LEAVES = [bytes([step]) * 72 for step in range(5)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("home") / "artefacts"
    publisher = RoundPublisher(root, 3)
    publisher.put_trace(LEAVES)
    publisher.put_update({"w": torch.arange(6.0)})
    publisher.put_claim(b"{}")
    publisher.finish()
    return root


@pytest.fixture(scope="module", params=["http", "file"])
def client(request, root):
    if request.param == "file":
        with ArtefactClient(root.as_uri(), allow_file=True) as client:
            yield client
        return
    with serve_in_thread(create_app(root), "127.0.0.1", 0) as serving, ArtefactClient(serving.uri) as client:
        yield client


def test_fetches_what_was_published(client, tmp_path):
    index = client.index(3)
    assert client.fetch_trace(index, 5, tmp_path / "trace.bin") == LEAVES
    update = client.fetch_update(index, {"w": (6,)}, tmp_path / "update.bin")
    assert torch.equal(update["w"], torch.arange(6.0))
    assert client.fetch(index, "claim.json", tmp_path / "c", max_bytes=100).read_bytes() == b"{}"


def test_refuses_what_is_not_as_expected(client, tmp_path):
    index = client.index(3)
    with pytest.raises(ArtefactSizeError, match="does not have 6 leaves"):
        client.fetch_trace(index, 6, tmp_path / "t")
    with pytest.raises(ArtefactSizeError, match="bytes where 24 are due"):
        client.fetch_update(index, {"w": (7,)}, tmp_path / "u")
    with pytest.raises(ArtefactSizeError, match="at most 3"):
        client.fetch(index, "trace.bin", tmp_path / "t", max_bytes=3)
    with pytest.raises(ArtefactMissingError):
        client.fetch(index, "checkpoint-1.safetensors", tmp_path / "t", max_bytes=10**6)
    with pytest.raises(ArtefactMissingError):
        client.index(4)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    "uri",
    [
        "file:///tmp",
        "ftp://a/b",
        "http://",
        "http://user:pw@host",
        "http://a/?q=1",
        "gopher://a",
        "nonsense",
        "http://[::1",
    ],
)
def test_other_addresses_are_refused(uri):
    with pytest.raises(PeerUriError):
        ArtefactClient(uri)
    with pytest.raises(PeerUriError):
        ArtefactClient("file://elsewhere/tmp", allow_file=True)


def test_nobody_there_is_one_sentence():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with ArtefactClient(uri, attempts=2, backoff_s=0.01) as client, pytest.raises(PeerUnreachableError, match=uri):
        client.index(1)


@contextmanager
def scripted_peer(*answers):
    """A peer on a real socket that gives each connection the next of `answers` and hangs up; yields (uri, requests)."""
    requests = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    request = b""
                    while b"\r\n\r\n" not in request:
                        request += connection.recv(65536)
                    requests.append(request.decode().lower())
                    try:
                        connection.sendall(answer)
                    except (BrokenPipeError, ConnectionResetError):
                        continue  # the client had enough

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", requests
        thread.join(10)
        assert not thread.is_alive()


def http(status, body, *headers, length=None):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", "Connection: close"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def index_of(body=BODY, sha256=None):
    entry = {"name": "trace.bin", "size": len(body), "sha256": sha256 or hashlib.sha256(body).hexdigest()}
    return parse_index(json.dumps({"schema_version": 1, "round": 1, "files": [entry]}).encode())


def fetch(tmp_path, *answers, index=None, **options):
    with (
        scripted_peer(*answers) as (uri, requests),
        ArtefactClient(uri, attempts=3, backoff_s=0.01, **options) as client,
    ):
        try:
            return client.fetch(
                index or index_of(), "trace.bin", tmp_path / "got", max_bytes=10**6
            ).read_bytes(), requests
        finally:
            assert [path.name for path in tmp_path.iterdir()] in ([], ["got"])


def part(start, total=SIZE):
    return http("206 Partial", BODY[start:], f"Content-Range: bytes {start}-{len(BODY) - 1}/{total}")


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path):
    cut = http("200 OK", BODY[:50_000], length=len(BODY))
    data, requests = fetch(tmp_path, cut, part(50_000))
    assert data == BODY
    assert "range: bytes=50000-\r\n" in requests[1]
    assert "if-range" in requests[1]


def test_a_peer_without_ranges_starts_over(tmp_path):
    data, _ = fetch(tmp_path, http("200 OK", BODY[:50_000], length=len(BODY)), http("200 OK", BODY))
    assert data == BODY


def test_a_busy_peer_is_asked_again(tmp_path):
    assert fetch(tmp_path, http("503 Busy", b""), http("200 OK", BODY))[0] == BODY


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([http("200 OK", BODY[:-1] + b"x")], ArtefactHashError),
        ([http("200 OK", b"y" * 10_000_000)], ArtefactSizeError),
        ([http("302 Found", b"", "Location: http://127.0.0.1:1/")], ArtefactRefusedError),
        ([http("200 OK", BODY, "Content-Encoding: gzip")], ArtefactRefusedError),
        ([http("404 Not Found", b"")], ArtefactMissingError),
        ([http("403 Forbidden", b"")], ArtefactRefusedError),
        ([b"SSH-2.0-OpenSSH_9.6\r\n"] * 3, PeerUnreachableError),
        ([b""] * 3, PeerUnreachableError),
        ([http("200 OK", b"ab", length=len(BODY))] * 3, PeerUnreachableError),
        ([http("200 OK", BODY[:5])] * 3, PeerUnreachableError),
        ([http("200 OK", BODY[:9], length=len(BODY)), part(5)], ArtefactRefusedError),
        ([http("200 OK", BODY[:9], length=len(BODY)), part(9, total=7)], ArtefactRefusedError),
        ([http("200 OK", BODY[:9], length=len(BODY)), http("206 Partial", BODY[9:])], ArtefactRefusedError),
    ],
)
def test_a_peer_that_misbehaves(tmp_path, answers, error):
    with pytest.raises(error):
        fetch(tmp_path, *answers)
    assert list(tmp_path.iterdir()) == []


def test_a_trickling_peer_runs_into_the_limit(tmp_path):
    with pytest.raises(ArtefactRefusedError, match="longer than"):
        fetch(tmp_path, http("200 OK", BODY), total_timeout_s=-1.0)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", ArtefactRefusedError),
        (b'{"schema_version": 1, "round": 2, "files": []}', ArtefactRefusedError),
        (b" " * (2 << 20), ArtefactSizeError),
        (b"\xff" * 100, ArtefactRefusedError),
    ],
)
def test_a_bad_index_is_refused(body, error):
    with scripted_peer(http("200 OK", body)) as (uri, _), ArtefactClient(uri) as client, pytest.raises(error):
        client.index(1)
