"""`ponw deploy`: a whole network of its own, on any EVM chain."""

from __future__ import annotations

import importlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from web3 import Web3

from economics.networks import NETWORKS
from node import keys
from node.chain.client import ChainClient
from node.chain.deploy import Genesis, deploy, deployment_cost
from node.cli.context import Format, FormatOption, PasswordOption, YesOption, print_json
from node.cli.session import ask, settings_of, show
from node.errors import CancelledError, ConfigError, FundsError

app = typer.Typer(rich_markup_mode=None)


class Network(StrEnum):
    """Whose times and amounts a network gets (economics.networks)."""

    MAINNET = "mainnet"
    DEVNET = "devnet"


@app.command()
def run(
    ctx: typer.Context,
    network: Annotated[Network, typer.Option("--network", help="whose times and amounts")] = Network.MAINNET,
    treasury: Annotated[str | None, typer.Option("--treasury", help="who gets the genesis supply; the wallet")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="deployment file; the configured `contracts`")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace a deployment file that exists")] = False,
    yes: YesOption = False,
    password_file: PasswordOption = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Deploy every contract from the wallet and write where they are. The wallet keeps no power over them.

    Examples:

        ponw deploy --network devnet --yes

        ponw --rpc-url https://rpc.example.org deploy --treasury 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
    """
    settings = settings_of(ctx)
    path = out or settings.contracts_file
    if path.exists() and not force:
        raise ConfigError(
            f"{path} has a network's addresses already.", "Pass --force to replace it, or --out for another file."
        )
    _check(treasury)
    keys.select(settings.keystore_dir, settings.account)
    ChainClient.connect(settings)
    source = keys.password_source(password_file or settings.password_file)
    client = ChainClient.connect(settings, keys.unlock(settings.keystore_dir, source, settings.account))
    cost = deployment_cost(client)
    if client.balance(client.address) < cost.fee:
        raise FundsError(
            f"{client.address} can't pay for this: {cost}.",
            "Send ETH to this address first (on a devnet, `ponw devnet up` funds the wallet).",
        )
    if not (show if yes else ask)(cost):
        raise CancelledError("Cancelled: deploy a network.", "Nothing was sent.")
    # Needs torch and the dataset, so it is imported only now.
    genesis: Genesis = importlib.import_module("node.genesis").genesis(settings)
    made = deploy(client, NETWORKS[network.value], genesis, treasury or client.address)
    made.save(path)
    if output is Format.JSON:
        print_json({"chain_id": made.chain_id, "contracts": path, "addresses": made.addresses.model_dump()})
        return
    for name, address in made.addresses.model_dump().items():
        typer.echo(f"{name:<11} {address}")
    typer.echo(f"The network is on chain {made.chain_id}; its addresses are in {path}.")


def _check(treasury: str | None) -> None:
    if treasury is not None and not Web3.is_address(treasury):
        raise typer.BadParameter(f"'{treasury}' is not an address", param_hint="--treasury")
