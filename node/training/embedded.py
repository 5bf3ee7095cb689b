"""A network inside this process: for trying everything out with nothing installed but the package."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from economics.networks import DEVNET, NetworkParameters
from economics.units import neuro
from node.chain.bootstrap import fund
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.deploy import deploy
from node.chain.embedded import EmbeddedChain
from node.config import Settings
from node.genesis import genesis
from node.paths import private_folder

BLOCK_SECONDS = 1.0
STAKE = neuro(500)


@contextmanager
def embedded_network(
    settings: Settings, parameters: NetworkParameters = DEVNET
) -> Iterator[tuple[Settings, Contracts, int]]:
    """A fresh chain with the contracts on it and a staked account: (settings, contracts, first block).

    The settings name a home of their own below the configured one, which is removed with the chain at the end: a chain
    that starts anew must not meet the claims of an earlier one. Errors as for `node.genesis.genesis` and `deploy`.
    """
    chain = EmbeddedChain()
    treasury, own = chain.accounts()[:2]
    client = ChainClient(chain, treasury)
    deployment = deploy(client, parameters, genesis(settings), treasury.address)
    fund(Contracts.at(client, deployment), [own.address])
    contracts = Contracts.at(ChainClient(chain, own), deployment)
    contracts.staking.stake_with_permit(contracts.token, STAKE)
    home = private_folder(settings.home)
    with tempfile.TemporaryDirectory(prefix="embedded-", dir=home) as folder, _mining(chain):
        values = {"home": Path(folder), "data_dir": settings.data_path.absolute(), "listen_port": 0}
        yield settings.model_copy(update=values), contracts, deployment.block


@contextmanager
def _mining(chain: EmbeddedChain) -> Iterator[None]:
    """Add a block a second, so that the chain's clock goes on while nobody sends anything."""
    stop = threading.Event()

    def mine() -> None:
        while not stop.wait(BLOCK_SECONDS):
            chain.mine()

    thread = threading.Thread(target=mine, name="miner", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
