"""`ponw devnet`: a whole network on this machine."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer
from web3 import Web3

from economics.networks import DEVNET
from node import config, keys
from node.chain.bootstrap import ensure_network, fund
from node.chain.client import ChainClient
from node.chain.deploy import Genesis
from node.chain.devnet import CHAIN_ID, Devnet, dev_accounts
from node.cli.context import Format, FormatOption, print_json
from node.cli.session import settings_of
from node.config import Settings
from node.errors import ConfigError

app = typer.Typer(
    help="A chain on this machine with the contracts on it: up, down.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("up")
def up(
    ctx: typer.Context,
    fund_also: Annotated[
        list[str] | None, typer.Option("--fund", help="also fund this address; may be repeated")
    ] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Start the chain, deploy the contracts once, and fund the wallet. Run again, it does only what is missing.

    Examples:

        ponw devnet up

        ponw devnet up --fund 0x70997970C51812dc3A010C7d01b50e0d17dc79C8
    """
    settings = settings_of(ctx)
    addresses = [key.address for key in keys.list_keys(settings.keystore_dir)] + [_address(a) for a in fund_also or []]
    if settings.chain_id != CHAIN_ID:
        raise ConfigError(
            f"This home belongs to chain {settings.chain_id} and not to a devnet ({CHAIN_ID}).",
            "Use another folder for the devnet: `ponw --home FOLDER devnet up`.",
        )
    running = _devnet(settings).up()
    settings = _point_to(settings, running.rpc_url)
    client = ChainClient.connect(settings, dev_accounts(1)[0])
    contracts, deployed = ensure_network(client, settings.contracts_file, DEVNET, lambda: _genesis(settings))
    funded = fund(contracts, addresses)
    if output is Format.JSON:
        document = {"rpc_url": running.rpc_url, "chain_id": CHAIN_ID, "contracts": settings.contracts_file}
        print_json(document | {"deployed": deployed, "funded": funded, "registry": contracts.registry.address})
        return
    typer.echo(f"The development chain runs at {running.rpc_url} (process {running.keeper_pid}).")
    typer.echo(f"Contracts: {'deployed now' if deployed else 'in place'}, addresses in {settings.contracts_file}.")
    for address in funded:
        typer.echo(f"Funded {address}.")
    if not addresses:
        typer.echo("There is no wallet to fund: run `ponw wallet new`, then `ponw devnet up` again.")


@app.command("down")
def down(ctx: typer.Context) -> None:
    """Save the chain's state and stop it; `ponw devnet up` goes on from there.

    Examples:

        ponw devnet down
    """
    stopped = _devnet(settings_of(ctx)).down()
    typer.echo("The development chain is stopped; its state is kept." if stopped else "No development chain runs here.")


def _devnet(settings: Settings) -> Devnet:
    return Devnet(settings.devnet_dir, settings.devnet_port, settings.devnet_block_time, settings.anvil)


def _point_to(settings: Settings, rpc_url: str) -> Settings:
    """Let the home's other commands find the chain, whatever port it got."""
    if settings.rpc_url != rpc_url:
        config.save(settings.home, rpc_url=rpc_url)
    return config.load(settings.home, rpc_url=rpc_url)


def _genesis(settings: Settings) -> Genesis:
    # Needs torch and the dataset, so it is imported only when a network is deployed.
    found: Genesis = importlib.import_module("node.genesis").genesis(settings)
    return found


def _address(text: str) -> str:
    if not Web3.is_address(text):
        raise typer.BadParameter(f"'{text}' is not an address", param_hint="--fund")
    return Web3.to_checksum_address(text)
