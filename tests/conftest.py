"""Shared fixtures. Heavy imports stand inside, so that tests which need no chain start fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from economics.networks import NetworkParameters
    from node.chain.contracts import Contracts
    from node.chain.deploy import Genesis
    from node.chain.deployment import Deployment
    from node.chain.devnet import Running

# How long an example takes says nothing on a busy machine.
settings.register_profile("ponw", deadline=None)
settings.load_profile("ponw")


@dataclass(frozen=True)
class Network:
    """A network deployed on the session's anvil; `accounts[0]` holds the genesis supply, all hold ETH."""

    running: Running
    deployment: Deployment
    genesis: Genesis
    accounts: list[LocalAccount]

    @classmethod
    def on(cls, running: Running, parameters: NetworkParameters, genesis: Genesis, accounts: int = 6) -> Network:
        """Deploy a network on a chain, by the first of its accounts."""
        from node.chain.client import ChainClient
        from node.chain.deploy import deploy
        from node.chain.devnet import dev_accounts
        from node.chain.transport import RetryingProvider

        found = dev_accounts(accounts)
        client = ChainClient(RetryingProvider(running.rpc_url, 20), found[0])
        return cls(running, deploy(client, parameters, genesis, client.address), genesis, found)

    def contracts(self, account: LocalAccount | None = None, **options: Any) -> Contracts:
        """The contracts under a fresh client of `account`."""
        from node.chain.client import ChainClient
        from node.chain.contracts import Contracts
        from node.chain.transport import RetryingProvider

        client = ChainClient(RetryingProvider(self.running.rpc_url, 20), account, receipt_timeout=20, **options)
        return Contracts.at(client, self.deployment)

    def rpc(self, method: str, *params: object) -> Any:
        """One raw call to the chain."""
        from node.chain import keeper

        return keeper.rpc(self.running.port, method, *params)

    def advance(self, seconds: int) -> None:
        """Move the chain's clock and mine a block there."""
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")


@pytest.fixture(autouse=True)
def default_logs() -> Iterator[None]:
    """A test that sets up logs as the command line does leaves no trace of it."""
    import structlog

    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One anvil process that mines each transaction at once."""
    from node.chain.devnet import Devnet

    chain = Devnet(tmp_path_factory.mktemp("devnet"), port=0, block_time=0, save_seconds=60)
    yield chain.up()
    chain.down()


@pytest.fixture(scope="session")
def genesis() -> Genesis:
    """What the test networks train: made-up hashes of the right shape."""
    from node.chain.deploy import Genesis

    return Genesis(b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, tokens_per_step=4096, layers=4)


@pytest.fixture(scope="session")
def deployed(anvil: Running, genesis: Genesis) -> Network:
    """The session's network with the devnet's parameters; use `network` in tests, which undoes what a test did."""
    from economics.networks import DEVNET

    return Network.on(anvil, DEVNET, genesis)


@pytest.fixture
def network(deployed: Network) -> Iterator[Network]:
    """The deployed network; the chain is as it was when the test ends."""
    snapshot = deployed.rpc("evm_snapshot")
    yield deployed
    deployed.rpc("evm_revert", snapshot)


@pytest.fixture
def staked(network: Network) -> Callable[[int, int], Contracts]:
    """Give account number `index` `amount` wei of NEURO, stake it, and return its contracts."""

    def stake(index: int, amount: int) -> Contracts:
        network.contracts(network.accounts[0]).token.transfer(network.accounts[index].address, amount)
        contracts = network.contracts(network.accounts[index])
        contracts.staking.stake_with_permit(contracts.token, amount)
        return contracts

    return stake
