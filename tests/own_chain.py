"""A network on a chain of a test's own, whose clock can be moved by weeks, and the command line of a wallet on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner, Result

from economics.networks import NetworkParameters
from economics.units import neuro
from node import config, keys
from node.chain.deploy import Genesis
from node.chain.devnet import Devnet
from node.cli.app import app
from node.cli.context import CliState
from node.errors import PonwError
from tests.conftest import Network

PASSWORD = "correct horse"
Run = Callable[..., Result]


@contextmanager
def own_network(folder: Path, times: NetworkParameters, genesis: Genesis, accounts: int = 6) -> Iterator[Network]:
    """Deployed by the first of so many accounts; nobody has staked. The chain ends with the block."""
    chain = Devnet(folder, port=0, block_time=0, save_seconds=3600)
    running = chain.up()
    try:
        yield Network.on(running, times, genesis, accounts)
    finally:
        chain.down()


def wallet_home(home: Path, network: Network, data: Path, key: str) -> Path:
    """The home of a wallet with ETH and 1,000 NEURO, for a network that trains the tiny preset."""
    config.save(home, rpc_url=network.running.rpc_url, data_dir=data, preset="tiny")
    network.deployment.save(home / "contracts.json")
    keys.import_private_key(home / "keystore", key, PASSWORD, scrypt_n=1 << 10)
    treasury = network.contracts(network.accounts[0])
    address = keys.select(home / "keystore", None).address
    treasury.client.transfer(address, 10**18, "fund")
    treasury.token.transfer(address, neuro(1000))
    return home


def staked_runner(home: Path, password: Path, usual: str) -> Run:
    """`ponw` of the wallet of a home, which stakes 500 NEURO first; a failure is raised as it is. `usual`: the group of
    commands that words belong to unless another is named. `password`: where to write it."""
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)

    def invoke(*words: str, sign: bool = False, group: str = usual) -> Result:
        signing = ("--yes", "--password-file", str(password)) if sign else ()
        result = CliRunner().invoke(app, ["--home", str(home), group, *words, *signing], obj=CliState())
        if isinstance(result.exception, PonwError):
            raise result.exception
        return result

    assert invoke("add", "500", sign=True, group="stake").exit_code == 0
    return invoke
