"""A paid answer over real sockets, to the wei."""

from __future__ import annotations

from economics.units import neuro
from node.chain.escrow import RequestState
from tests.payment.conftest import Accounts, Market
from tests.payment.scripted import token_of


def test_a_paid_answer_settles_to_the_wei(market: Market, served: str) -> None:
    before, payer = Accounts.of(market), market.payer()
    record = market.asked(served, tokens=18)
    assert Accounts.of(market) == before, "a quote costs nothing"
    payer.open(record)
    quote = record.quote
    opened = Accounts.of(market)
    assert (opened.locked, opened.deposit, opened.held) == (quote.most, 0, quote.most)
    text = "".join(payer.answer(record))
    assert record.seed is not None
    seed = bytes.fromhex(record.seed[2:])
    assert record.ids == [token_of(seed, index) for index in range(18)]
    assert text == record.text == "".join(map(chr, record.ids))
    assert record.tokens == 18
    market.await_over(record)
    after = Accounts.of(market)
    assert market.state(record) is RequestState.SETTLED
    fee, burned = 18 * quote.price, before.supply - after.supply
    assert fee == quote.most
    assert burned == fee * 5 // 100
    assert after.locked == 0
    assert after.server_credit + after.deposit + burned == fee
    assert after.held == after.server_credit + after.deposit
    assert after.wallet == neuro(100) - quote.most
    assert after.deposit < 4, "only the remainder of rounding goes back"
