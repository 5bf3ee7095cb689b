"""`ponw rewards`: what the node has earned."""

from __future__ import annotations

import typer
from rich.table import Table

from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.chain.events import ClaimFinal
from node.chain.units import format_units
from node.cli.context import Format, FormatOption, PasswordOption, YesOption, print_json, print_table
from node.cli.session import own_address, read_contracts, settings_of, signing_contracts
from node.errors import RevertError

app = typer.Typer(help="What was earned: list, claim.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_rewards(ctx: typer.Context, output: FormatOption = Format.TEXT) -> None:
    """List final claims with their rewards, and what can be collected now; no password is needed.

    Examples:

        ponw rewards list --format json
    """
    settings = settings_of(ctx)
    contracts = read_contracts(settings)
    account = own_address(settings)
    final = _final_claims(contracts, account, Deployment.load(settings.contracts_file).block)
    totals = _totals(contracts, account)
    if output is Format.JSON:
        claims = [{"round": c.round, "claim": c.claim_hash, "reward_wei": c.reward, "block": c.block} for c in final]
        print_json({"address": account, **totals, "claims": claims})
        return
    table = Table("round", "claim", "reward", "block")
    for claim in final:
        table.add_row(str(claim.round), "0x" + claim.claim_hash.hex(), format_units(claim.reward), str(claim.block))
    print_table(table)
    for name, value in totals.items():
        typer.echo(f"{name.removesuffix('_wei')}: {format_units(value)}")


@app.command("claim")
def claim_rewards(ctx: typer.Context, yes: YesOption = False, password_file: PasswordOption = None) -> None:
    """Collect earned rewards within the caps, and the credit from slashed bonds.

    Examples:

        ponw rewards claim --yes
    """
    contracts = signing_contracts(settings_of(ctx), password_file, yes)
    account = contracts.client.address
    before = contracts.token.balance_of(account)
    totals = _totals(contracts, account)
    if not totals["collectable_wei"] and not totals["credit_wei"]:
        raise RevertError("There is nothing to collect now.", "See `ponw rewards list`.", name="NothingToCollect")
    if totals["collectable_wei"]:
        contracts.emission.collect()
    if totals["credit_wei"]:
        contracts.staking.collect()
    typer.echo(f"Collected {format_units(contracts.token.balance_of(account) - before)}.")


def _totals(contracts: Contracts, account: str) -> dict[str, int]:
    return {
        "accrued_wei": contracts.emission.accrued_of(account),
        "collectable_wei": contracts.emission.collectable(account),
        "credit_wei": contracts.staking.credit_of(account),
    }


def _final_claims(contracts: Contracts, account: str, first: int) -> list[ClaimFinal]:
    found = contracts.registry.events(first, contracts.client.block().number)
    return [event for event in found if isinstance(event, ClaimFinal) and event.node.lower() == account.lower()]
