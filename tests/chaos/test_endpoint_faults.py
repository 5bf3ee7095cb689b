"""The chain's endpoint refuses, is silent, or loses the answer to a transaction: nothing is sent twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from bench.chaos.proxy import Proxy
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.transport import RetryingProvider
from node.errors import RpcError

if TYPE_CHECKING:
    from tests.conftest import Network

pytestmark = pytest.mark.process
AMOUNT = 10**18


@pytest.fixture
def proxy(network: Network) -> Iterator[Proxy]:
    with Proxy(network.running.port) as proxy:
        yield proxy


def contracts(network: Network, proxy: Proxy, timeout: int) -> Contracts:
    client = ChainClient(RetryingProvider(proxy.url, timeout), network.accounts[0], receipt_timeout=20)
    return Contracts.at(client, network.deployment)


def held(network: Network) -> int:
    return network.contracts().token.balance_of(network.accounts[1].address)


@pytest.mark.parametrize("cut", [Proxy.refuse, Proxy.hush])
def test_an_endpoint_that_is_gone_is_said_in_time_and_serves_the_same_client_again(
    network: Network, proxy: Proxy, cut: object
) -> None:
    ours = contracts(network, proxy, 1)
    assert callable(cut)
    cut(proxy)
    with pytest.raises(RpcError, match="does not answer"):
        ours.client.block()
    proxy.heal()
    assert ours.client.block().number > 0


def test_a_transaction_whose_answer_is_lost_is_sent_once(network: Network, proxy: Proxy) -> None:
    ours, before = contracts(network, proxy, 2), held(network)
    sent = network.contracts().client.web3.eth.get_transaction_count(network.accounts[0].address)
    proxy.silent_after = b"eth_sendRawTransaction"
    healer = threading.Thread(target=heal_after_sending, args=(network, proxy, before))
    healer.start()
    ours.token.transfer(network.accounts[1].address, AMOUNT)
    healer.join(30)
    assert held(network) - before == AMOUNT
    after = network.contracts().client.web3.eth.get_transaction_count(network.accounts[0].address)
    assert after - sent == 1


def heal_after_sending(network: Network, proxy: Proxy, before: int) -> None:
    """The answer is lost for good; what is asked from then on is answered."""
    waiting = threading.Event()
    for _ in range(600):
        if held(network) > before:
            break
        waiting.wait(0.05)
    proxy.refuse()
    proxy.heal()
