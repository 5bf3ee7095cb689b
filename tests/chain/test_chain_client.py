"""The transaction pipeline against a real EVM, by RPC and in process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account

from consensus.commitments.claim import Claim, ClaimKind, claim_hash
from economics.networks import DEVNET
from economics.units import neuro
from node import config
from node.chain.bootstrap import START_GAS_WEI, START_NEURO_WEI, fund
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.cost import Cost
from node.chain.deploy import Genesis, create_address, deploy, registry_parameters
from node.chain.embedded import EmbeddedChain
from node.chain.events import ChallengeAnswered, ClaimChallenged, ClaimFinal, ClaimLost, ClaimPosted, RoundOpened
from node.chain.transport import RetryingProvider
from node.chain.types import ChallengeState, ClaimState, LossReason, Opening, Phase
from node.errors import (
    CancelledError,
    ContractsError,
    FundsError,
    PendingError,
    PonwError,
    RevertError,
    RpcError,
    WrongChainError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Network

pytestmark = pytest.mark.process


def _claim(contracts: Contracts, genesis: Genesis, **changes: Any) -> Claim:
    fields = {
        "kind": ClaimKind.TRAIN,
        "round": 1,
        "node": bytes.fromhex(contracts.client.address[2:]),
        "program_hash": genesis.program_hash,
        "data_root": genesis.data_root,
        "start_root": genesis.start_root,
        "end_root": b"\x04" * 32,
        "trace_root": b"\x05" * 32,
        "update_root": b"\x06" * 32,
        "steps": 3,
        "tokens": 3 * genesis.tokens_per_step,
        "first_layer": 0,
        "layer_count": genesis.layers,
        "base": 1,
    }
    return Claim(**(fields | changes))


def _seconds(network: Network, name: str) -> int:
    return int(network.deployment.parameters[name])


Staked = Callable[[int, int], Contracts]


def test_life_of_a_claim(network: Network, staked: Staked) -> None:
    node = staked(1, neuro(500))
    node.registry.announce("http://127.0.0.1:9440")
    node.registry.open_round()
    assert node.registry.phase_of(1) is Phase.TRAIN
    claim = _claim(node, network.genesis)
    node.registry.post(claim)
    digest = claim_hash(claim, node.client.chain_id, bytes.fromhex(node.registry.address[2:]))
    assert node.registry.hash_claim(claim) == digest
    slot = node.registry.claim_of(node.client.address)
    assert slot.state is ClaimState.POSTED
    assert slot.holds(digest)
    assert not slot.holds(b"\x00" + digest[1:])
    with pytest.raises(RevertError) as early:
        node.registry.finalise(claim)
    assert early.value.name == "TooEarly"
    network.advance(_seconds(network, "train_time") + _seconds(network, "window") + 1)
    quote = node.registry.quote_reward(node.client.address, claim.steps)
    node.registry.finalise(claim)
    assert node.registry.record_of(node.client.address).finals == 1
    assert node.emission.accrued_of(node.client.address) == quote > 0
    before = node.token.balance_of(node.client.address)
    node.emission.collect()
    assert node.token.balance_of(node.client.address) - before == quote
    found = list(node.registry.events(network.deployment.block, node.client.block().number))
    kinds = [type(event) for event in found if getattr(event, "node", node.client.address) == node.client.address]
    assert kinds[-3:] == [RoundOpened, ClaimPosted, ClaimFinal]
    [posted] = [event for event in found if isinstance(event, ClaimPosted)]
    assert posted.claim == claim
    assert posted.claim_hash == digest
    [final] = [event for event in found if isinstance(event, ClaimFinal)]
    assert final.reward == quote


def test_a_silent_prover_is_slashed(network: Network, staked: Staked) -> None:
    prover, challenger = staked(1, neuro(500)), staked(2, neuro(500))
    prover.registry.open_round()
    claim = _claim(prover, network.genesis)
    prover.registry.post(claim)
    digest = prover.registry.hash_claim(claim)
    challenger.registry.challenge(claim, 2)
    challenge = challenger.registry.challenge_of(digest, challenger.client.address)
    assert (challenge.state, challenge.step) == (ChallengeState.WAITING, 2)
    with pytest.raises(RevertError) as refused:
        prover.registry.answer(claim, challenger.client.address, Opening.empty(), Opening.empty(), bytes(32))
    assert refused.value.name == "BadProof"
    network.advance(_seconds(network, "response_time") + 1)
    challenger.registry.timeout(claim, challenger.client.address)
    assert prover.registry.claim_of(prover.client.address).state is ClaimState.LOST
    bond = DEVNET.claim_bond
    assert prover.staking.account_of(prover.client.address).active == neuro(500) - 2 * bond
    assert challenger.staking.credit_of(challenger.client.address) == bond
    challenger.staking.collect()
    assert challenger.token.balance_of(challenger.client.address) == bond
    found = list(challenger.registry.events(network.deployment.block, challenger.client.block().number))
    [lost] = [event for event in found if isinstance(event, ClaimLost)]
    assert (lost.step, lost.reason, lost.challenger) == (2, LossReason.SILENCE, challenger.client.address)
    assert any(isinstance(event, ClaimChallenged) for event in found)
    assert not any(isinstance(event, ChallengeAnswered) for event in found)


def test_thaw_and_withdraw(network: Network, staked: Staked) -> None:
    node = staked(1, neuro(500))
    with pytest.raises(RevertError, match="below the minimum") as low:
        node.staking.thaw(neuro(450))
    assert low.value.name == "BelowMinimum"
    node.staking.thaw(neuro(500))
    with pytest.raises(RevertError, match="thawing until"):
        node.staking.withdraw()
    network.advance(node.staking.thaw_period() + 1)
    node.staking.withdraw()
    assert node.token.balance_of(node.client.address) == neuro(500)
    assert not node.staking.is_staker(node.client.address)


def test_costs_are_shown_and_can_be_declined(network: Network) -> None:
    asked: list[Cost] = []

    def decline(cost: Cost) -> bool:
        asked.append(cost)
        return False

    contracts = network.contracts(network.accounts[0], confirm=decline)
    block = contracts.client.block().number
    with pytest.raises(CancelledError, match="Cancelled: open"):
        contracts.registry.open_round()
    assert contracts.client.block().number == block
    [cost] = asked
    assert cost.gas > 21000
    assert "open the next round" in str(cost)
    assert cost.fee == cost.gas * cost.gas_price > 0


def test_no_funds(network: Network) -> None:
    poor = network.contracts(Account.create())
    with pytest.raises(FundsError, match="holds 0 ETH"):
        poor.registry.open_round()
    with pytest.raises(FundsError, match="holds 0 NEURO"):
        network.contracts(network.accounts[3]).token.transfer(network.accounts[0].address, 1)


def test_a_reader_cannot_send(network: Network) -> None:
    with pytest.raises(RpcError, match="only read"):
        network.contracts().registry.open_round()


def test_threads_share_one_nonce_counter(network: Network) -> None:
    contracts = network.contracts(network.accounts[0])
    target = Account.create().address
    errors: list[PonwError] = []

    def work() -> None:
        try:
            for _ in range(5):
                contracts.client.transfer(target, 1, "test")
        except PonwError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert contracts.client.balance(target) == 20


def test_another_process_with_the_same_key(network: Network) -> None:
    first, second = network.contracts(network.accounts[0]), network.contracts(network.accounts[0])
    target = Account.create().address
    first.client.transfer(target, 1, "test")
    second.client.transfer(target, 1, "test")
    first.client.transfer(target, 1, "test")
    assert first.client.balance(target) == 3


def test_not_mined_in_time(network: Network) -> None:
    contracts = network.contracts(network.accounts[0])
    contracts.client._receipt_timeout = 0.3
    network.rpc("evm_setAutomine", False)
    try:
        with pytest.raises(PendingError, match="not mined") as caught:
            contracts.registry.open_round()
    finally:
        network.rpc("evm_setAutomine", True)
        network.rpc("evm_mine")
    receipt = contracts.client.web3.eth.get_transaction_receipt(caught.value.tx_hash)
    assert receipt["status"] == 1


def test_a_revert_after_simulation_is_explained(network: Network, staked: Staked) -> None:
    """Two accounts open the same round in one block: the second passes simulation and reverts when mined."""
    one, two = network.contracts(network.accounts[1]), network.contracts(network.accounts[2])
    caught: list[PonwError] = []
    network.rpc("evm_setAutomine", False)
    ready = threading.Barrier(3)

    def send(contracts: Contracts) -> None:
        original = contracts.client._submit

        def submit(transaction: Any) -> bytes:
            tx_hash = original(transaction)
            ready.wait(10)
            return tx_hash

        contracts.client._submit = submit  # type: ignore[method-assign]
        try:
            contracts.registry.open_round()
        except PonwError as error:
            caught.append(error)

    threads = [threading.Thread(target=send, args=(contracts,)) for contracts in (one, two)]
    for thread in threads:
        thread.start()
    try:
        ready.wait(10)
        network.rpc("evm_mine")
    finally:
        network.rpc("evm_setAutomine", True)
    for thread in threads:
        thread.join()
    [error] = caught
    assert isinstance(error, RevertError)
    assert error.name == "WrongPhase"


def test_logs_come_in_chunks_that_shrink_on_refusal(network: Network) -> None:
    contracts = network.contracts(network.accounts[0])
    for _ in range(4):
        contracts.token.approve(network.accounts[1].address, 1)
    last = contracts.client.block().number
    token = contracts.token.address
    whole = list(contracts.client.logs([token], 0, last))
    assert len(whole) >= 5
    asked: list[int] = []

    class Limited(RetryingProvider):
        """An endpoint that refuses log queries over more than two blocks, as public ones do above their limit."""

        def make_request(self, method: Any, params: Any) -> Any:
            if method == "eth_getLogs":
                asked.append(int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1)
                if asked[-1] > 2:
                    return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32005, "message": "range too large"}}
            return super().make_request(method, params)

    client = ChainClient(Limited(network.running.rpc_url, 20))
    assert list(client.logs([token], 0, last)) == whole
    assert max(asked) > 2 >= asked[-1]
    assert list(client.logs([token], last + 1, last)) == []


def test_wrong_chain(network: Network, tmp_path: Path) -> None:
    settings = config.load(tmp_path, rpc_url=network.running.rpc_url, chain_id=1)
    with pytest.raises(WrongChainError, match="serves chain 31337, but chain 1"):
        ChainClient.connect(settings)


def test_contracts_without_code(network: Network) -> None:
    client = network.contracts().client
    nowhere = network.deployment.addresses.model_copy(update={"staking": "0x" + "12" * 20})
    with pytest.raises(ContractsError, match="no Staking contract"):
        Contracts.at(client, type(network.deployment)(31337, 0, nowhere, {}))


def test_addresses_of_another_contract(network: Network) -> None:
    swapped = network.deployment.addresses.model_copy(update={"registry": network.deployment.addresses.token})
    contracts = Contracts.at(network.contracts().client, type(network.deployment)(31337, 0, swapped, {}))
    with pytest.raises(PonwError):
        contracts.registry.parameters()


def test_deployment_is_predicted_and_verified(network: Network) -> None:
    contracts = network.contracts(network.accounts[0])
    assert contracts.registry.parameters() == registry_parameters(DEVNET, network.genesis, contracts.judge.address)
    assert contracts.token.total_supply() == DEVNET.genesis_supply
    assert create_address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0", 1).lower() == (
        "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"
    )


def test_a_nonce_taken_in_between_is_noticed(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    client = network.contracts(network.accounts[4]).client
    monkeypatch.setattr(client, "next_nonce", lambda: 1000)
    with pytest.raises(PonwError):
        deploy(client, DEVNET, network.genesis, client.address)


def test_funding_fills_up_once(network: Network) -> None:
    contracts = network.contracts(network.accounts[0])
    target = Account.create().address
    assert fund(contracts, [target]) == [target]
    assert contracts.client.balance(target) == START_GAS_WEI
    assert contracts.token.balance_of(target) == START_NEURO_WEI
    assert fund(contracts, [target]) == []


def test_the_embedded_chain_gives_the_same(genesis: Genesis) -> None:
    chain = EmbeddedChain()
    owner, other = chain.accounts()[:2]
    client = ChainClient(chain, owner)
    deployment = deploy(client, DEVNET, genesis, owner.address)
    contracts = Contracts.at(client, deployment)
    contracts.staking.stake_with_permit(contracts.token, neuro(500))
    contracts.registry.open_round()
    claim = _claim(contracts, genesis)
    contracts.registry.post(claim)
    with pytest.raises(RevertError) as early:
        contracts.registry.finalise(claim)
    assert early.value.name == "TooEarly"
    chain.travel(contracts.registry.round_of(1).claim_deadline + DEVNET.window + 1)
    contracts.registry.finalise(claim)
    contracts.emission.collect()
    poor = Contracts.at(ChainClient(chain, other), deployment)
    with pytest.raises(RevertError) as refused:
        poor.staking.stake(neuro(100))
    assert refused.value.name == "ERC20InsufficientAllowance"
    found = list(contracts.registry.events(0, client.block().number))
    assert [type(event) for event in found] == [RoundOpened, ClaimPosted, ClaimFinal]


def test_rpc_endpoint_gone_while_running(network: Network) -> None:
    contracts = network.contracts(network.accounts[0])
    contracts.client.web3.provider = RetryingProvider("http://127.0.0.1:9", 1)
    with pytest.raises(RpcError, match="does not answer"):
        contracts.token.total_supply()
