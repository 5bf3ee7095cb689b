"""Settings, connection and key for the commands that need them. Imported by commands, never by the root."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

from node import config, keys, logs
from node.chain.client import ChainClient
from node.chain.contracts import Contracts
from node.chain.cost import Cost, accept_all
from node.chain.deployment import Deployment
from node.cli.context import state_of
from node.config import Settings
from node.errors import CancelledError


def settings_of(ctx: typer.Context, **given: Any) -> Settings:
    """The settings under the global options, and those `given` to the command (None: not given); logs are set up
    quietly unless a level is configured."""
    state = state_of(ctx)
    settings = config.load(state.home, rpc_url=state.rpc_url, **given)
    quiet = settings.origins["log_level"] == "default"
    logs.configure("debug" if state.debug else "warning" if quiet else settings.log_level, settings.log_json)
    return settings


def ask(cost: Cost) -> bool:
    """Show a transaction's cost and ask for it on the terminal.

    Raises:
        CancelledError: there is no terminal to ask on.
    """
    typer.echo(str(cost), err=True)
    if not sys.stdin.isatty():
        raise CancelledError(f"Not confirmed: {cost.purpose}.", "Pass --yes to send without a question.")
    return typer.confirm("Send it?", err=True)


def show(cost: Cost) -> bool:
    """Show a transaction's cost and accept it: `--yes`."""
    typer.echo(str(cost), err=True)
    return accept_all(cost)


def read_contracts(settings: Settings) -> Contracts:
    """The network's contracts for reading.

    Raises:
        RpcError, WrongChainError, ContractsError: see ChainClient.connect and Contracts.at.
    """
    client = ChainClient.connect(settings)
    return Contracts.at(client, Deployment.load(settings.contracts_file))


def signing_contracts(settings: Settings, password_file: Path | None, yes: bool) -> Contracts:
    """The network's contracts with the operator's key; the chain is checked before a password is asked for.

    Raises:
        WalletError, PasswordError, and what `read_contracts` raises.
    """
    keys.select(settings.keystore_dir, settings.account)
    read_contracts(settings)
    source = keys.password_source(password_file or settings.password_file)
    account = keys.unlock(settings.keystore_dir, source, settings.account)
    client = ChainClient.connect(settings, account, confirm=show if yes else ask)
    return Contracts.at(client, Deployment.load(settings.contracts_file))


def own_address(settings: Settings) -> str:
    """The address that the operator's commands are about; no password is needed.

    Raises:
        WalletError: no key, or several and none chosen.
    """
    return keys.select(settings.keystore_dir, settings.account).address
