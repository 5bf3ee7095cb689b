"""`ponw stake`: NEURO at stake in the Staking contract."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from node.chain.contracts import Contracts
from node.chain.types import ClaimState
from node.chain.units import format_time, format_units, parse_neuro
from node.cli.context import Format, FormatOption, PasswordOption, YesOption, print_json, print_table
from node.cli.session import own_address, read_contracts, settings_of, signing_contracts
from node.errors import FundsError

app = typer.Typer(help="Stake NEURO: add, thaw, withdraw, status.", no_args_is_help=True, rich_markup_mode=None)

AmountArgument = Annotated[str, typer.Argument(help="NEURO, with up to 18 decimals")]


@app.command("add")
def add(
    ctx: typer.Context, amount: AmountArgument, yes: YesOption = False, password_file: PasswordOption = None
) -> None:
    """Stake AMOUNT in one transaction (the approval is a signed permit, ERC-2612).

    Examples:

        ponw stake add 500

        ponw stake add 0.25 --yes --password-file ~/secret.txt
    """
    wei = parse_neuro(amount)
    contracts = signing_contracts(settings_of(ctx), password_file, yes)
    held = contracts.token.balance_of(contracts.client.address)
    if held < wei:
        raise FundsError(
            f"{contracts.client.address} holds {format_units(held)}, less than {format_units(wei)}.",
            "Get NEURO first (on a devnet: `ponw devnet up` funds the wallet), or stake less.",
        )
    contracts.staking.stake_with_permit(contracts.token, wei)
    _done(contracts, f"Staked {format_units(wei)}.")


@app.command("thaw")
def thaw(
    ctx: typer.Context, amount: AmountArgument, yes: YesOption = False, password_file: PasswordOption = None
) -> None:
    """Start the thaw of AMOUNT. It stays slashable until withdrawn, and whatever already thaws starts again.

    Examples:

        ponw stake thaw 100
    """
    wei = parse_neuro(amount)
    contracts = signing_contracts(settings_of(ctx), password_file, yes)
    _free_bond(contracts, wei)
    contracts.staking.thaw(wei)
    ends = contracts.staking.account_of(contracts.client.address).thaw_ends
    _done(contracts, f"Thawing {format_units(wei)} until {format_time(ends)}.")


@app.command("withdraw")
def withdraw(ctx: typer.Context, yes: YesOption = False, password_file: PasswordOption = None) -> None:
    """Take out all stake that has thawed.

    Examples:

        ponw stake withdraw --yes
    """
    contracts = signing_contracts(settings_of(ctx), password_file, yes)
    contracts.staking.withdraw()
    _done(contracts, "Withdrawn.")


@app.command("status")
def status(
    ctx: typer.Context,
    address: Annotated[str | None, typer.Argument(help="account; the wallet's own if omitted")] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show an account's stake; no password is needed.

    Examples:

        ponw stake status --format json
    """
    settings = settings_of(ctx)
    contracts = read_contracts(settings)
    account = address or own_address(settings)
    figures = _figures(contracts, account)
    if output is Format.JSON:
        print_json({"address": account, **figures})
        return
    table = Table("figure", account)
    for name, value in figures.items():
        shown = format_time(value) if name == "thaw_ends" and value else format_units(value) if "wei" in name else value
        table.add_row(name.removesuffix("_wei").replace("_", " "), str(shown))
    print_table(table)


def _free_bond(contracts: Contracts, wei: int) -> None:
    """Release the bond of a claim that is final already, when the thaw needs it: the registry keeps it for the next."""
    address = contracts.client.address
    bond_is_idle = contracts.registry.claim_of(address).state is ClaimState.FINAL
    if bond_is_idle and contracts.staking.account_of(address).free < wei:
        contracts.registry.release_bond()


def _figures(contracts: Contracts, account: str) -> dict[str, int]:
    staked = contracts.staking.account_of(account)
    amounts = asdict(staked)
    thaw_ends = amounts.pop("thaw_ends")
    figures = {f"{name}_wei": value for name, value in amounts.items()}
    figures |= {"free_wei": staked.free, "thaw_ends": thaw_ends}
    figures |= {"credit_wei": contracts.staking.credit_of(account), "balance_wei": contracts.token.balance_of(account)}
    return figures | {"minimum_wei": contracts.staking.minimum_stake()}


def _done(contracts: Contracts, what: str) -> None:
    account = contracts.staking.account_of(contracts.client.address)
    typer.echo(f"{what} Active stake: {format_units(account.active)}.")
