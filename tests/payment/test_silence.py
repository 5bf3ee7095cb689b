"""A payer that takes tokens and says nothing more."""

from __future__ import annotations

from pathlib import Path

import pytest

from economics.units import neuro
from node.chain import artifacts
from node.chain.escrow import RequestState
from node.inference.paid.errors import AnswerError
from node.inference.paid.messages import End
from tests.conftest import Network
from tests.payment.conftest import Market
from tests.payment.driver import driving
from tests.payment.scripted import ScriptedAnswerer

PROGRESS_SECONDS = SETTLE_SECONDS = 2


@pytest.fixture
def quick(network: Network, tmp_path: Path) -> Market:
    """An escrow whose clocks run in seconds: a server's patience is real time."""
    bank = network.contracts(network.accounts[0])
    artifact = artifacts.load("InferenceEscrow")
    created = bank.client.web3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode)
    constructor = created.constructor(bank.token.address, PROGRESS_SECONDS, SETTLE_SECONDS)
    bank.token.transfer(network.accounts[1].address, neuro(100))
    return Market(network, bank.client.create(constructor, "deploy InferenceEscrow"), tmp_path)


@pytest.mark.parametrize("paid", [0, 4])
def test_a_silent_payer_gets_its_credit_once_and_pays_its_vouchers(quick: Market, paid: int) -> None:
    payer = quick.payer()
    with quick.local_server() as uri:
        record = quick.asked(uri, tokens=40)
        payer.open(record)
        with driving(quick, uri, record) as driver:
            driver.take(8)
            if paid:
                driver.pay(paid)
                driver.take(8 + paid)
            end = driver.next()
            assert isinstance(end, End)
            assert (end.reason, end.tokens) == ("stopped", 8 + paid)
            quick.await_over(record)
    view = quick.escrow(0).request_of(record.id)
    assert view.state is (RequestState.SETTLED if paid else RequestState.REFUNDED)
    assert view.tokens == paid
    assert payer.escrow.deposit_of(payer.address) >= (40 - paid) * record.quote.price


def test_a_silent_server_is_left(quick: Market) -> None:
    """The payer waits for PROGRESS_TIME; then it says how to take the rest back."""
    payer = quick.payer()
    with quick.local_server(answerer=ScriptedAnswerer(hang=6)) as uri:
        record = quick.asked(uri, tokens=40)
        payer.open(record)
        with pytest.raises(AnswerError, match=r"silent for 2 s after 6 tokens"):
            "".join(payer.answer(record))
        quick.await_over(record)
    assert quick.escrow(0).request_of(record.id).tokens == 4
