"""Vouchers that must buy nothing: downgraded, repeated, foreign, forged, out of another chain or request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from economics.constants import CREDIT_TOKENS
from node.chain.escrow import EscrowDomain, RequestState
from node.errors import RevertError
from tests.payment.conftest import Accounts, Market
from tests.payment.driver import driving


def test_a_lower_or_repeated_voucher_buys_nothing_and_replaces_nothing(market: Market, served: str) -> None:
    record = market.asked(served, tokens=40)
    market.payer().open(record)
    with driving(market, served, record) as driver:
        driver.take(CREDIT_TOKENS)
        driver.pay(8)
        driver.take(8 + CREDIT_TOKENS)
        for tokens in (8, 4, 1, 0, 8):
            driver.pay(tokens)
        assert driver.nothing_more()
    market.await_over(record)
    assert market.escrow(0).request_of(record.id).tokens == 8


@pytest.mark.parametrize("kind", ["stranger", "request", "chain", "escrow", "high s", "junk", "unsent"])
def test_a_bad_voucher_ends_the_answer_and_pays_nothing_more(market: Market, served: str, kind: str) -> None:
    record = market.asked(served, tokens=40)
    payer = market.payer()
    payer.open(record)
    with driving(market, served, record) as driver:
        driver.take(CREDIT_TOKENS)
        driver.pay(4)
        driver.take(4 + CREDIT_TOKENS)
        client, domain, good = payer.contracts.client, payer.escrow.domain, driver.signature(8)
        bad = {
            "stranger": driver.signature(8, market.contracts(3)),
            "request": driver.signature(8, request=b"\x05" * 32),
            "chain": "0x" + replace(domain, chain_id=1).sign_voucher(client, record.id, 8).hex(),
            "escrow": "0x" + EscrowDomain(domain.chain_id, client.address).sign_voucher(client, record.id, 8).hex(),
            "high s": malleated(good),
            "junk": "0x" + "77" * 65,
            "unsent": driver.signature(13),
        }[kind]
        driver.pay(13 if kind == "unsent" else 8, bad)
        assert "voucher" in driver.refusal().lower()
    market.await_over(record)
    view = market.escrow(0).request_of(record.id)
    assert (view.state, view.tokens) == (RequestState.SETTLED, 4)


def test_a_voucher_settles_once_only(market: Market, served: str) -> None:
    record = market.asked(served)
    payer = market.payer()
    payer.open(record)
    "".join(payer.answer(record))
    market.await_over(record)
    before = Accounts.of(market)
    voucher = payer.escrow.domain.sign_voucher(payer.contracts.client, record.id, record.tokens)
    for index in (1, 2, 3):
        with pytest.raises(RevertError):
            market.escrow(index).settle(record.quote, record.tokens, voucher)
    assert Accounts.of(market) == before


@pytest.mark.parametrize("index", [1, 3])
def test_nobody_settles_a_server_s_answer_with_an_older_voucher(market: Market, served: str, index: int) -> None:
    """A payer could else end its request with a voucher for nothing while the newest is on its way."""
    record = market.asked(served, tokens=40)
    payer = market.payer()
    payer.open(record)
    with driving(market, served, record) as driver:
        driver.take(CREDIT_TOKENS)
        driver.pay(8)
        driver.take(8 + CREDIT_TOKENS)
        old = payer.escrow.domain.sign_voucher(payer.contracts.client, record.id, 0)
        with pytest.raises(RevertError):
            market.escrow(index).settle(record.quote, 0, old)
    market.await_over(record)
    assert market.escrow(0).request_of(record.id).tokens == 8


def malleated(signature: str) -> str:
    """The other signature that the curve accepts for the same message (EIP-2)."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    raw = bytes.fromhex(signature[2:])
    s = order - int.from_bytes(raw[32:64], "big")
    return "0x" + (raw[:32] + s.to_bytes(32, "big") + bytes([55 - raw[64]])).hex()
