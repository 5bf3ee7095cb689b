"""`ponw init`: the home folder, its configuration, and the shipped text as first dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from node import config, keys, paths
from node.chain.deployment import Deployment
from node.cli.context import state_of
from node.cli.session import settings_of
from node.data.corpus import ensure_default

app = typer.Typer(rich_markup_mode=None)


@app.command()
def init(
    ctx: typer.Context,
    preset: Annotated[Literal["tiny", "small", "base"] | None, typer.Option(help="model size")] = None,
    chain_id: Annotated[int | None, typer.Option(help="chain id of the network to join")] = None,
    contracts: Annotated[Path | None, typer.Option(help="deployment file of the network to join")] = None,
) -> None:
    """Make the home folder and its configuration. Run again, it changes only what is given.

    Examples:

        ponw init

        ponw --rpc-url https://rpc.example init --chain-id 8453 --contracts network.json
    """
    state = state_of(ctx)
    settings = settings_of(ctx)
    given = {"rpc_url": state.rpc_url, "preset": preset, "chain_id": chain_id}
    if contracts is not None:
        Deployment.load(contracts)
        given["contracts"] = str(contracts.expanduser().absolute())
    paths.private_folder(settings.home)
    paths.private_folder(settings.keystore_dir)
    path = config.save(settings.home, **{key: value for key, value in given.items() if value is not None})
    dataset = ensure_default(config.load(settings.home).data_path)
    typer.echo(f"Home: {settings.home}")
    typer.echo(f"Data: {dataset.folder} (root 0x{dataset.root.hex()})")
    typer.echo(f"Settings: {path} (`ponw config show` explains them)")
    if not keys.list_keys(settings.keystore_dir):
        typer.echo("Next: `ponw wallet new`, then `ponw devnet up` for a local network or `ponw doctor` for another.")
