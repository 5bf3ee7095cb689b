"""A node that was started again finds its network, though nobody tells it where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.net.book import Book
from node.net.client import Network
from node.net.limits import ADDRESSES_MAX, REMEMBERED_MAX
from node.net.remembered import PEERS_NAME, load, merged
from tests.net.peer_nodes import Signer, ids, settings, stake_file, until

HERE = "/ip4/127.0.0.1/tcp/4001"


@pytest.mark.process
def test_a_restarted_node_dials_who_it_knew(tmp_path: Path) -> None:
    stake_file(tmp_path, 1, 2)
    saved = tmp_path / "a" / "net" / PEERS_NAME
    with (
        Network.start(settings(tmp_path, "a"), Signer(1)) as a,
        Network.start(settings(tmp_path, "b"), Signer(2)) as b,
    ):
        # Nothing but `a` ever names the other: it alone dials, and then it is restarted on another port.
        a.connect(b.addresses()[0])
        until(lambda: a.me in ids(b))
        until(lambda: saved.exists() and b.me in json.loads(saved.read_text()))
        a.__exit__(None, None, None)
        until(lambda: not ids(b))
        with Network.start(settings(tmp_path, "a"), Signer(1)) as again:
            until(lambda: b.me in ids(again))


def test_what_is_damaged_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / PEERS_NAME
    assert load(path) == {}
    for junk in ("", "{", "[1]", "3", '{"a": 3}', '{"a": ["nowhere"]}', '{"../a": ["/ip4/1.2.3.4/tcp/1"]}'):
        path.write_text(junk)
        assert load(path) == {}
    path.write_text(json.dumps({"good": [HERE, 7], "empty": [], **{f"p{n}": [HERE] for n in range(999)}}))
    found = load(path)
    assert found["good"] == [HERE]
    assert len(found) == REMEMBERED_MAX - 1
    path.write_text(json.dumps({"good": [HERE] * 99}))
    assert len(load(path)["good"]) == ADDRESSES_MAX


def test_those_connected_now_push_out_earlier_ones() -> None:
    book = Book("me")
    for number in range(REMEMBERED_MAX + 5):
        book.learn(f"now{number}", [HERE])
    earlier = {f"then{number}": [HERE] for number in range(REMEMBERED_MAX)}
    assert merged(earlier, book, []) == earlier
    two = merged(earlier, book, ["now1", "now2", "unknown"])
    assert list(two)[:2] == ["now1", "now2"]
    assert len(two) == REMEMBERED_MAX
    assert set(merged(earlier, book, [contact.peer for contact in book])) <= {contact.peer for contact in book}
