"""Whatever a stranger sends: the server refuses, goes on, and serves the next payer."""

from __future__ import annotations

import json
import random

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from node.inference.paid.messages import (
    MESSAGE_BYTES,
    Asked,
    MessageError,
    read_begin,
    read_from_payer,
    read_from_server,
    read_offer,
)
from tests.payment.conftest import Market
from tests.payment.driver import driving

MESSAGES = 9_800
CONNECTIONS = 200
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(max_examples=300)
@given(st.binary(max_size=400) | st.text(max_size=400) | JSON.map(json.dumps))
def test_nothing_but_messages_is_read(junk: str | bytes) -> None:
    for read in (read_begin, read_from_payer, read_from_server, read_offer):
        with pytest.raises(MessageError):
            read(junk)


def mutations(good: str, count: int) -> list[bytes]:
    """A good message with a few bytes changed, cut, doubled or inserted, the same in every run."""
    draw, out = random.Random(20260727), []  # noqa: S311 - the same in every run
    for _ in range(count):
        data = bytearray(good.encode())
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(data) or 1)
            kind = draw.randrange(4)
            if kind == 0 and data:
                data[at] = draw.randrange(256)
            elif kind == 1:
                del data[at : at + draw.randint(1, 40)]
            elif kind == 2:
                data[at:at] = data[at : at + draw.randint(1, 40)]
            else:
                data[at:at] = draw.choice([b'"', b"{", b"}", b"[", b",", b"null", b"1e999", b"\\ud800", b"\x00", b"-"])
        out.append(bytes(data))
    return out


def test_ten_thousand_malformed_messages_stop_nothing(market: Market, served: str) -> None:
    payer = market.payer()
    asked = payer.question("x", 40, 0, 10_000).model_dump_json()
    with httpx.Client(trust_env=False) as client:
        for body in filter(_is_malformed, mutations(asked, MESSAGES)):
            answer = client.post(f"{served}/ponw/v1/quotes", content=body)
            assert answer.status_code == 422, answer.text
        assert client.post(f"{served}/ponw/v1/quotes", content=b"x" * (MESSAGE_BYTES + 1)).status_code == 413
        assert client.get(f"{served}/ponw/v1/price").status_code == 200
    record = market.asked(served, tokens=40)
    payer.open(record)
    begin = json.dumps({"type": "begin", "asked": json.loads(asked), "block": record.block})
    for path in ("0x", "0x" + "g" * 64, record.request[:-1], record.request + "0"):
        with pytest.raises(InvalidStatus), connect(_uri(served, path), proxy=None):
            pass
    assert all(_refused(served, record.request, junk) for junk in mutations(begin, CONNECTIONS))
    "".join(payer.answer(record))
    market.await_over(record)
    assert market.escrow(0).request_of(record.id).tokens == 40


def _is_malformed(body: bytes) -> bool:
    try:
        Asked.model_validate_json(body)
    except ValueError:
        return True
    return False


JUNK = ["", "{}", "[]", '{"type":"voucher"}', '{"type":"token"}', "\x00", b"\x01\x02", "9" * 5000]


@pytest.mark.parametrize("junk", JUNK)
def test_junk_mid_stream_ends_the_answer_at_its_newest_voucher(market: Market, served: str, junk: str | bytes) -> None:
    record, payer = market.asked(served, tokens=40), market.payer()
    payer.open(record)
    with driving(market, served, record) as driver:
        driver.take(8)
        driver.pay(8)
        driver.take(16)
        driver.socket.send(junk)
        assert driver.refusal()
    market.await_over(record)
    assert market.escrow(0).request_of(record.id).tokens == 8


def _refused(served: str, request: str, junk: bytes) -> bool:
    """Whether the server closes the connection after junk as the first message."""
    try:
        with connect(_uri(served, request), proxy=None) as socket:
            socket.send(junk)
            answer = json.loads(socket.recv(timeout=20))
            return bool(answer["type"] == "refused")
    except ConnectionClosed:
        return True


def _uri(served: str, request: str) -> str:
    return served.replace("http://", "ws://") + f"/ponw/v1/answers/{request}"
