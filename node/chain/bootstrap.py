"""A network on a fresh chain: contracts deployed once, accounts given something to start with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from economics.networks import NetworkParameters
from economics.units import neuro
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deploy import Genesis, deploy
from node.chain.deployment import Deployment
from node.errors import ContractsError, WrongChainError

START_GAS_WEI = 10 * 10**18
"""ETH that a devnet account is filled up to."""
START_NEURO_WEI = neuro(2_000)
"""NEURO that a devnet account is filled up to: the minimum stake many times over."""


def ensure_network(
    client: ChainClient, path: Path, network: NetworkParameters, genesis: Callable[[], Genesis]
) -> tuple[Contracts, bool]:
    """The network of the deployment file if its contracts stand on this chain, else a new one deployed and saved.

    The client's account deploys and holds the genesis supply. `genesis` is asked only when a network is deployed.

    Returns:
        The contracts, and whether they were deployed now.
    """
    try:
        return Contracts.at(client, Deployment.load(path)), False
    except (ContractsError, WrongChainError):
        # No file, or one of another or a wiped chain: this chain gets its own network.
        deployment = deploy(client, network, genesis(), client.address)
    deployment.save(path)
    return Contracts.at(client, deployment), True


def fund(contracts: Contracts, addresses: Iterable[str]) -> list[str]:
    """Fill accounts up to the starting amounts from the client's account; returns those that got something."""
    funded = []
    for address in addresses:
        gas = START_GAS_WEI - contracts.client.balance(address)
        tokens = START_NEURO_WEI - contracts.token.balance_of(address) - contracts.staking.account_of(address).active
        if gas > 0:
            contracts.client.transfer(address, gas, f"fund {address}")
        if tokens > 0:
            contracts.token.transfer(address, tokens)
        if gas > 0 or tokens > 0:
            funded.append(address)
    return funded
