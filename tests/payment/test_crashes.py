"""Either side killed in the middle: each loses at most the credit that it gave."""

from __future__ import annotations

import subprocess

import pytest

from economics.constants import CREDIT_TOKENS, PROGRESS_TIME, SETTLE_TIME
from node.chain.escrow import RequestState
from node.inference.paid.closing import Closer
from node.inference.paid.journal import Journal, Step
from tests.payment.conftest import ROOT, Accounts, Market
from tests.payment.driver import driving

pytestmark = pytest.mark.process


def test_kill_9_of_the_server_returns_exactly_the_unserved_part(market: Market) -> None:
    server, payer = market.server(), market.payer()
    record = market.asked(server.uri, tokens=40)
    payer.open(record)
    with driving(market, server.uri, record) as driver:
        driver.take(CREDIT_TOKENS)
        record.tokens = 8
        payer.journal.save(record)
        driver.pay(8)
        driver.take(8 + CREDIT_TOKENS)
        assert driver.nothing_more(), "never more than the credit ahead of the newest voucher"
        server.kill()
    # The server never comes back. The payer's program restarts from its own file.
    again = Journal(market.home / "payer1").load(record.request)
    closer = Closer(payer.contracts, payer.escrow, payer.journal)
    assert closer.step(again).view.state is RequestState.OPEN, "too early to cancel"
    market.network.advance(PROGRESS_TIME)
    assert closer.step(again).view.state is RequestState.CANCELLED
    assert closer.step(again).view.state is RequestState.CANCELLED, "the server may still settle"
    market.network.advance(SETTLE_TIME + 1)
    standing = closer.step(again)
    assert (standing.over, standing.view.state) == (True, RequestState.REFUNDED)
    assert Journal(market.home / "payer1").load(record.request).step is Step.OVER
    after, price = Accounts.of(market), record.quote.price
    served = 8 * price
    assert after.deposit >= 32 * price, "all of the unserved part, and the remainder of rounding"
    assert after.server_credit == served - served * 5 // 100 - (after.deposit - 32 * price)
    assert (after.locked, after.held) == (0, after.deposit + after.server_credit)


def test_a_restarted_server_settles_exactly_its_vouchers(market: Market) -> None:
    server, payer = market.server(), market.payer()
    record = market.asked(server.uri, tokens=40)
    payer.open(record)
    with driving(market, server.uri, record) as driver:
        driver.take(CREDIT_TOKENS)
        driver.pay(4)
        driver.pay(8)
        driver.take(8 + CREDIT_TOKENS)  # they come only when the voucher is on disk
        server.kill()
    assert market.state(record) is RequestState.OPEN
    server.start()
    market.await_over(record)
    view = market.escrow(0).request_of(record.id)
    assert (view.state, view.tokens) == (RequestState.SETTLED, 8)
    after = Accounts.of(market)
    assert after.server_credit + after.deposit + 8 * record.quote.price * 5 // 100 == record.quote.most


def test_a_restarted_server_releases_what_it_never_was_paid_for(market: Market) -> None:
    server, payer = market.server(), market.payer()
    record = market.asked(server.uri)
    payer.open(record)
    with driving(market, server.uri, record) as driver:
        driver.take(CREDIT_TOKENS)
        server.kill()
    server.start()
    market.await_over(record)
    assert Accounts.of(market).deposit == record.quote.most
    assert Accounts.of(market).server_credit == 0


def test_kill_9_of_the_payer_leaves_the_server_exactly_what_vouchers_cover(market: Market, served: str) -> None:
    payer = market.payer()
    record = market.asked(served, tokens=40)
    payer.open(record)
    command = market.command("paying", market.home / "payer1", 1, record.request)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(10):
            assert process.stdout.readline()
            process.stdin.write("\n")
            process.stdin.flush()
        assert process.stdout.readline()  # token 11 is there: the vouchers for 4 and 8 are sent, the next is not due
        process.kill()
    market.await_over(record)
    view = market.escrow(0).request_of(record.id)
    assert (view.state, view.tokens) == (RequestState.SETTLED, 8)
    after, most, paid = Accounts.of(market), record.quote.most, 8 * record.quote.price
    assert after.server_credit + after.deposit + paid * 5 // 100 == most
    assert most - paid <= after.deposit < most - paid + 4, "the rest, and the remainder of rounding"
    again = payer.journal.load(record.request)
    assert again.tokens == 8
    assert Closer(payer.contracts, payer.escrow, payer.journal).step(again).over


def test_a_payer_that_cancels_mid_stream_pays_every_voucher(market: Market) -> None:
    server, payer = market.server(), market.payer()
    record = market.asked(server.uri, tokens=40)
    payer.open(record)
    with driving(market, server.uri, record) as driver:
        driver.take(CREDIT_TOKENS)
        driver.pay(8)
        driver.take(8 + CREDIT_TOKENS)
        market.network.advance(PROGRESS_TIME)
        payer.escrow.cancel(record.quote, 0)
        market.await_over(record)
        assert driver.next().type == "end"
    view = market.escrow(0).request_of(record.id)
    assert (view.state, view.tokens) == (RequestState.SETTLED, 8)
