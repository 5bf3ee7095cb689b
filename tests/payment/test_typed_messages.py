"""Quotes and vouchers: the node and the contract hash, sign and refuse alike."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_utils.address import to_checksum_address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.chain.escrow import Payee, Quote, QuoteError, seed_of
from tests.payment.conftest import Market

ADDRESS = st.binary(min_size=20, max_size=20).map(to_checksum_address)
PAYEE = st.builds(Payee, ADDRESS, st.integers(0, 2**16 - 1))
QUOTES = st.builds(
    Quote,
    payer=ADDRESS,
    signer=ADDRESS,
    server=ADDRESS,
    price=st.integers(0, 2**256 - 1),
    max_tokens=st.integers(0, 2**32 - 1),
    valid_until=st.integers(0, 2**64 - 1),
    task=st.binary(min_size=32, max_size=32),
    embedding=ADDRESS,
    head=ADDRESS,
    payees=st.lists(PAYEE, min_size=1, max_size=5).map(tuple),
)
ON_CHAIN = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ON_CHAIN
@given(quote=QUOTES, request=st.binary(min_size=32, max_size=32), tokens=st.integers(0, 2**32 - 1))
def test_hashes_equal_the_contract_s(market: Market, quote: Quote, request: bytes, tokens: int) -> None:
    escrow = market.escrow(0)
    assert escrow.domain.quote_hash(quote) == escrow.hash_quote(quote)
    assert escrow.domain.voucher_hash(request, tokens) == escrow.hash_voucher(request, tokens)


@settings(max_examples=50)
@given(quote=QUOTES)
def test_a_quote_survives_json(quote: Quote) -> None:
    assert Quote.from_json(quote.to_json()) == quote


@pytest.mark.parametrize(
    "change",
    [
        {"payer": "0x" + "ab" * 20},
        {"server": "nobody"},
        {"price": -1},
        {"price": 2**256},
        {"max_tokens": 2**32},
        {"valid_until": 2**64},
        {"task": b"short"},
        {"payees": ()},
        {"payees": (Payee("0x" + "00" * 20, 1),) * 33},
        {"payees": (Payee("0x" + "00" * 20, 2**16),)},
    ],
    ids=str,
)
def test_a_quote_out_of_range_is_no_quote(change: dict[str, object]) -> None:
    zero = "0x" + "00" * 20
    quote = Quote(zero, zero, zero, 1, 1, 1, bytes(32), zero, zero, (Payee(zero, 1),))
    with pytest.raises(QuoteError):
        replace(quote, **change)  # type: ignore[arg-type]


def test_the_seed_is_what_the_chain_says(market: Market, served: str) -> None:
    record, payer = market.asked(served), market.payer()
    payer.open(record)
    opened = payer.escrow.opened_in(record.id, record.block)
    assert opened is not None
    assert opened.seed == seed_of(record.id, bytes.fromhex(record.salt[2:]))
    assert (opened.payer, opened.server, opened.locked) == (
        payer.address,
        record.quote.server,
        record.quote.most,
    )
    assert payer.escrow.opened_in(record.id, record.block - 1) is None
