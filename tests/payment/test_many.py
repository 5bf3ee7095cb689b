"""Many at a time: payees, and payers that all cancel at once."""

from __future__ import annotations

from contextlib import ExitStack

from economics.constants import PROGRESS_TIME
from economics.units import neuro
from node.chain.escrow import Payee, RequestState
from node.inference.paid.desk import Holders
from tests.payment.conftest import Market
from tests.payment.driver import driving

REQUESTS = 12


def test_every_payee_gets_its_share_to_the_wei(market: Market) -> None:
    embedding, head, *nodes = (account.address for account in market.network.accounts[2:6])
    holders = Holders(embedding, head, (Payee(nodes[0], 3), Payee(nodes[1], 1)))
    bank = market.contracts(0).token
    with market.local_server(holders) as uri:
        record, payer, supply = market.asked(uri, tokens=7), market.payer(), bank.total_supply()
        payer.open(record)
        "".join(payer.answer(record))
        market.await_over(record)
    escrow, fee = market.escrow(0), record.quote.most
    burned = supply - bank.total_supply()
    rest = fee - burned - fee * 15 // 100 - fee * 20 // 100
    credits = [escrow.credit_of(address) for address in (embedding, head, *nodes)]
    assert credits == [fee * 15 // 100, fee * 20 // 100, rest * 3 // 4, rest // 4]
    assert escrow.deposit_of(payer.address) == fee - burned - sum(credits)
    assert bank.balance_of(escrow.address) == sum(credits) + escrow.deposit_of(payer.address)


def test_payers_that_all_cancel_at_once_are_all_settled_in_time(market: Market, served: str) -> None:
    payer = market.payer()
    payer.escrow.deposit_with_permit(payer.contracts.token, neuro(1))
    records = [market.asked(served, tokens=20, prompt=f"Question {number}") for number in range(REQUESTS)]
    for record in records:
        payer.open(record)
    with ExitStack() as stack:
        drivers = [stack.enter_context(driving(market, served, record)) for record in records]
        for driver in drivers:
            driver.take(8)
            driver.pay(4)
        for driver in drivers:
            driver.take(12)
        market.network.advance(PROGRESS_TIME)
        for record in records:
            payer.escrow.cancel(record.quote, 0)
        for record in records:
            market.await_over(record)
    views = [market.escrow(0).request_of(record.id) for record in records]
    assert {(view.state, view.tokens) for view in views} == {(RequestState.SETTLED, 4)}
