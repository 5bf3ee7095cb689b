"""The server over real sockets: what it serves, and that it serves nothing else."""

import http.client
import socket
import threading

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.artefacts.publisher import RoundPublisher
from node.artefacts.server import create_app
from node.artefacts.serving import ServerError, serve_in_thread

BODY = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("home") / "artefacts"
    publisher = RoundPublisher(root, 3)
    publisher.put_claim(b'{"secret": false}')
    source = root.parent / "source"
    source.write_bytes(BODY)
    publisher.put_checkpoint(5, source)
    publisher.finish()
    (root.parent / "keystore.json").write_text("SECRET")
    (publisher.folder / "notes.txt").write_text("SECRET")
    RoundPublisher(root, 4).put_claim(b"SECRET, not finished")
    return root


@pytest.fixture(scope="module")
def served(root):
    with serve_in_thread(create_app(root), "127.0.0.1", 0) as serving, httpx.Client(base_url=serving.uri) as client:
        yield serving, client


@pytest.fixture
def client(served):
    return served[1]


FILE = "/v1/rounds/3/files/checkpoint-5.safetensors"


def test_health_index_and_file(client):
    assert client.get("/v1/health").json() == {"status": "ok"}
    index = client.get("/v1/rounds/3/index").json()
    assert [entry["name"] for entry in index["files"]] == ["checkpoint-5.safetensors", "claim.json"]
    answer = client.get(FILE)
    assert answer.content == BODY
    assert answer.headers["etag"] == f'"{index["files"][0]["sha256"]}"'
    assert client.head("/v1/health").status_code == 405
    for verb in ("POST", "PUT", "DELETE"):
        assert client.request(verb, FILE).status_code == 405


@pytest.mark.parametrize(
    ("value", "status", "content"),
    [
        ("bytes=0-9", 206, BODY[:10]),
        ("bytes=255990-", 206, BODY[255990:]),
        ("bytes=-7", 206, BODY[-7:]),
        ("bytes=100-999999999", 206, BODY[100:]),
        ("bytes=256000-", 416, None),
        ("bytes=9-3", 400, None),
        ("lines=0-3", 400, None),
        ("bytes=0-1,5-9", 416, None),
        ("bytes=" + "9" * 5000 + "-", 400, None),
    ],
)
def test_ranges(client, value, status, content):
    answer = client.get(FILE, headers={"range": value})
    assert answer.status_code == status
    if content is not None:
        assert answer.content == content
        assert answer.headers["content-range"].endswith("/256000")


def test_conditional_requests(client):
    etag = client.get(FILE).headers["etag"]
    assert client.get(FILE, headers={"if-none-match": etag}).status_code == 304
    assert client.get(FILE, headers={"range": "bytes=5-", "if-range": etag}).status_code == 206
    assert client.get(FILE, headers={"range": "bytes=5-", "if-range": '"other"'}).content == BODY


@pytest.mark.parametrize(
    "path",
    [
        "/v1/rounds/4/index",
        "/v1/rounds/4/files/claim.json",
        "/v1/rounds/99/index",
        "/v1/rounds/03/index",
        "/v1/rounds/-3/index",
        "/v1/rounds/3/files/notes.txt",
        "/v1/rounds/3/files/index.json",
        "/v1/rounds/3/files/trace.bin",
        "/v1/rounds/3/files/..%2f..%2f..%2fkeystore.json",
        "/v1/rounds/3/files/../../../keystore.json",
        "/v1/rounds/..%2f..%2f/files/keystore.json",
        "/v1/rounds/3/files/claim.json%00",
        "/v1/rounds/3/files/claim.json%0a",
        "/v1/rounds/%D9%A3/index",
        "//etc/passwd",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_else_is_served(served, path):
    connection = http.client.HTTPConnection(served[0].host, served[0].port, timeout=10)
    connection.putrequest("GET", path, skip_host=False)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 404
    assert b"SECRET" not in answer.read()
    connection.close()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.binary(min_size=1, max_size=60))
def test_fuzzed_names_reach_no_file(served, name):
    quoted = "".join(f"%{byte:02x}" for byte in name)
    answer = served[1].get(f"/v1/rounds/3/files/{quoted}")
    assert answer.status_code == 404
    assert "SECRET" not in answer.text


def test_a_link_or_changed_file_is_not_served(tmp_path):
    publisher = RoundPublisher(tmp_path / "a", 1)
    publisher.put_claim(b"claim")
    publisher.put_trace([bytes(72)])
    publisher.finish()
    (tmp_path / "SECRET").write_bytes(b"claim")
    (publisher.folder / "claim.json").unlink()
    (publisher.folder / "claim.json").symlink_to(tmp_path / "SECRET")
    (publisher.folder / "trace.bin").write_bytes(bytes(71))
    with serve_in_thread(create_app(tmp_path / "a"), "127.0.0.1", 0) as serving:
        for name in ("claim.json", "trace.bin"):
            assert httpx.get(f"{serving.uri}/v1/rounds/1/files/{name}").status_code == 404


def test_the_port_is_free_again_and_a_taken_one_is_one_sentence(tmp_path):
    with serve_in_thread(create_app(tmp_path), "127.0.0.1", 0) as serving:
        with (
            pytest.raises(ServerError, match="Cannot listen"),
            serve_in_thread(create_app(tmp_path), "127.0.0.1", serving.port),
        ):
            pass
        assert httpx.get(serving.uri + "/v1/health").status_code == 200
    with serve_in_thread(create_app(tmp_path), "127.0.0.1", serving.port) as again:
        assert again.port == serving.port
    assert not [thread for thread in threading.enumerate() if thread.name == "artefacts" and thread.is_alive()][1:]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", serving.port)) != 0
