"""Servers that take the money and do something else: the payer signs for nothing that it did not get."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.sync.server import ServerConnection, serve

from economics.constants import CREDIT_TOKENS, VOUCHER_TOKENS
from node.inference.paid.desk import Desk
from node.inference.paid.errors import AnswerError
from node.inference.paid.journal import FOLDER, Record
from node.inference.paid.messages import TEXT_CHARACTERS, Accepted, End, Refused, Token
from node.inference.paid.verify import compare
from tests.payment.conftest import TERMS, Market
from tests.payment.scripted import ScriptedAnswerer

Script = Callable[[ServerConnection], object]


@contextmanager
def lying(script: Script) -> Iterator[str]:
    """A server that reads a payer's first message and then does what the script says."""

    def converse(socket: ServerConnection) -> None:
        socket.recv()
        script(socket)
        for _ in socket:  # whatever the payer still says, until it leaves
            pass

    with serve(converse, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def opened(market: Market, uri: str) -> Record:
    """A request of 16 tokens, open on chain, whose server is at `uri`."""
    payer, desk = market.payer(), Desk(ScriptedAnswerer(), market.contracts(2), market.escrow(2))
    asked = payer.question("How much?", 16, 0, 10_000)
    record = payer.accept(uri, asked, desk.offer(asked), TERMS)
    payer.open(record)
    return record


def say(socket: ServerConnection, *messages: Token | End | Accepted | Refused) -> None:
    for message in messages:
        socket.send(message.model_dump_json())


def tokens(count: int, first: int = 0) -> list[Token]:
    return [Token(index=index, id=65, text="A") for index in range(first, first + count)]


def leave(socket: ServerConnection, vouchers: int) -> None:
    """Close when so many vouchers have come."""
    for _ in range(vouchers):
        socket.recv()
    socket.close()


SCRIPTS: dict[str, tuple[Script, int, str]] = {
    "skips a token": (lambda s: say(s, *tokens(4), *tokens(1, 5)), 0, "token 5 where 4"),
    "repeats a token": (lambda s: say(s, *tokens(5), *tokens(1, 3)), 4, "token 3 where 5"),
    "sends more than agreed": (lambda s: say(s, *tokens(17)), 12, "token 16 where 16"),
    "counts more than it sent": (lambda s: say(s, *tokens(4), End(reason="eos", tokens=5)), 0, "counts 5 tokens"),
    "breaks off": (lambda s: (say(s, *tokens(6)), leave(s, 1)), 4, "broke off after 6"),
    "refuses": (lambda s: say(s, Refused(reason="No more today.")), 0, "No more today"),
    "accepts out of turn": (lambda s: say(s, Accepted(tokens=16)), 0, "out of turn"),
    "takes the last voucher in silence": (
        lambda s: (say(s, *tokens(5), End(reason="eos", tokens=5)), leave(s, 2)),
        5,
        "broke off after 5",
    ),
    "junk": (lambda s: s.send('{"type": "token", "index": 0, "id": 65, "text": "A", "free": true}'), 0, "malformed"),
    "bytes": (lambda s: s.send(b"\xff\xfe"), 0, "malformed"),
    "a flood": (lambda s: s.send("x" * (1 << 17)), 0, "broke off"),
}


@pytest.mark.parametrize("lie", list(SCRIPTS))
def test_a_lying_server_gets_vouchers_for_nothing_more_than_it_sent(market: Market, lie: str) -> None:
    script, signed, reason = SCRIPTS[lie]
    with lying(script) as uri:
        record = opened(market, uri)
        with pytest.raises(AnswerError, match=reason):
            "".join(market.payer().answer(record))
    assert record.tokens == signed
    assert market.payer().journal.load(record.request).tokens == signed
    assert len(record.ids) - record.tokens <= VOUCHER_TOKENS <= CREDIT_TOKENS


def test_endless_text_leaves_a_record_that_can_be_read(market: Market) -> None:
    long = [Token(index=index, id=65, text="\x00" * TEXT_CHARACTERS) for index in range(16)]
    with lying(lambda s: (say(s, *long), leave(s, 3))) as uri:
        record = opened(market, uri)
        with pytest.raises(AnswerError):
            "".join(market.payer().answer(record))
    assert len(record.text) == 16 * TEXT_CHARACTERS
    assert (market.home / "payer1" / FOLDER / f"{record.request}.json").stat().st_size < 8_192
    assert market.payer().journal.load(record.request).ids == [65] * 13


def test_other_tokens_than_the_model_s_are_found_by_recomputing() -> None:
    assert compare([1, 2, 3], [1, 2, 3], ended=True).matches
    assert compare([1, 2], [1, 2, 3], ended=False).matches, "an answer that its payer stopped"
    assert not compare([1, 2], [1, 2, 3], ended=True).matches, "the model had more to say"
    assert not compare([1, 2, 4], [1, 2, 3], ended=True).matches
    assert not compare([1, 2, 3], [1, 2], ended=False).matches, "the model would have ended"
    with pytest.raises(AnswerError, match="token 2 is 4 and should be 3"):
        compare([1, 2, 4], [1, 2, 3], ended=True).require()
