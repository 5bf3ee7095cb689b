"""`ponw escrow`: money for answers: the deposit, requests under way, and what was earned."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from node.chain.units import format_units, parse_neuro
from node.cli.context import Format, FormatOption, PasswordOption, YesOption, print_json, print_table
from node.cli.paying import balance_shown, closer_of, payer_of, reader_of
from node.cli.session import own_address, settings_of
from node.errors import FundsError
from node.inference.paid.closing import Closer, Standing
from node.inference.paid.journal import Record

app = typer.Typer(
    help="Money for answers: deposit, withdraw, status, requests, cancel, refund, collect.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

AmountArgument = Annotated[str, typer.Argument(help="NEURO, with up to 18 decimals")]
RequestArgument = Annotated[str, typer.Argument(help="the request's id, or its beginning")]


@app.command("deposit")
def deposit(
    ctx: typer.Context, amount: AmountArgument, yes: YesOption = False, password_file: PasswordOption = None
) -> None:
    """Deposit AMOUNT in one transaction (the approval is a signed permit, ERC-2612). `ponw infer` does it as needed.

    Examples:

        ponw escrow deposit 1
    """
    wei = parse_neuro(amount)
    payer = payer_of(settings_of(ctx), password_file, yes)
    held = payer.contracts.token.balance_of(payer.address)
    if held < wei:
        raise FundsError(
            f"{payer.address} holds {format_units(held)}, less than {format_units(wei)}.",
            "Get NEURO first (on a devnet: `ponw devnet up` funds the wallet), or deposit less.",
        )
    with balance_shown(payer, f"Deposited {format_units(wei)}."):
        payer.escrow.deposit_with_permit(payer.contracts.token, wei)


@app.command("withdraw")
def withdraw(
    ctx: typer.Context,
    amount: Annotated[str | None, typer.Argument(help="NEURO; everything that is not locked if omitted")] = None,
    yes: YesOption = False,
    password_file: PasswordOption = None,
) -> None:
    """Take AMOUNT of the deposit out. What is locked behind open requests stays.

    Examples:

        ponw escrow withdraw

        ponw escrow withdraw 0.5 --yes
    """
    payer = payer_of(settings_of(ctx), password_file, yes)
    wei = parse_neuro(amount) if amount is not None else payer.escrow.deposit_of(payer.address)
    with balance_shown(payer, f"Withdrawn {format_units(wei)}."):
        payer.escrow.withdraw(wei)


@app.command("status")
def status(
    ctx: typer.Context,
    address: Annotated[str | None, typer.Argument(help="account; the wallet's own if omitted")] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show an account's deposit, and what it has earned by answers and not collected; no password is needed.

    Examples:

        ponw escrow status --format json
    """
    settings = settings_of(ctx)
    reader = reader_of(settings)
    account = address or own_address(settings)
    escrow, client = reader.escrow, reader.contracts.client
    figures = {"deposit_wei": escrow.deposit_of(account), "credit_wei": escrow.credit_of(account)}
    figures |= {"balance_wei": reader.contracts.token.balance_of(account)}
    times = {"progress_seconds": escrow.progress_time(), "settle_seconds": escrow.settle_time()}
    if output is Format.JSON:
        print_json({"address": account, "escrow": escrow.address, "chain_id": client.chain_id, **figures, **times})
        return
    table = Table("figure", account)
    for name, value in figures.items():
        table.add_row(name.removesuffix("_wei"), format_units(value))
    for name, value in times.items():
        table.add_row(name.replace("_seconds", " time"), f"{value} s")
    print_table(table)


@app.command("requests")
def requests(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="also those that are over")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """List this home's paid requests with where they stand; no password is needed.

    Examples:

        ponw escrow requests --all --format json
    """
    reader = reader_of(settings_of(ctx))
    records = reader.journal.all() if everything else reader.journal.open()
    found = [(record, reader.look(record)) for record in records]
    if output is Format.JSON:
        print_json([_document(record, standing) for record, standing in found])
        return
    table = Table("request", "server", "locked", "received", "paid for", "stands")
    for record, standing in found:
        quote, counts = record.quote, (str(len(record.ids)), str(record.tokens))
        table.add_row(record.request[:18], quote.server, format_units(quote.most), *counts, standing.words)
    print_table(table)


@app.command("cancel")
def cancel(
    ctx: typer.Context, request: RequestArgument, yes: YesOption = False, password_file: PasswordOption = None
) -> None:
    """Say that REQUEST was served no further than its newest voucher. The server then has its time to settle.

    Examples:

        ponw escrow cancel 0x3f2a
    """
    payer = payer_of(settings_of(ctx), password_file, yes)
    record = payer.journal.load(request)
    payer.escrow.cancel(record.quote, record.tokens)
    _tell(closer_of(payer), record)


@app.command("refund")
def refund(
    ctx: typer.Context, request: RequestArgument, yes: YesOption = False, password_file: PasswordOption = None
) -> None:
    """Take the unserved part of a cancelled REQUEST back, once its server's time to settle has passed.

    Examples:

        ponw escrow refund 0x3f2a
    """
    payer = payer_of(settings_of(ctx), password_file, yes)
    record = payer.journal.load(request)
    payer.escrow.refund(record.quote)
    _tell(closer_of(payer), record)


@app.command("collect")
def collect(ctx: typer.Context, yes: YesOption = False, password_file: PasswordOption = None) -> None:
    """Collect what this account has earned by answers.

    Examples:

        ponw escrow collect --yes
    """
    payer = payer_of(settings_of(ctx), password_file, yes)
    earned = payer.escrow.credit_of(payer.address)
    payer.escrow.collect()
    typer.echo(f"Collected {format_units(earned)}.")


def _tell(closer: Closer, record: Record) -> None:
    typer.echo(f"{record.request[:18]}: {closer.look(record).words}.")


def _document(record: Record, standing: Standing) -> dict[str, object]:
    quote = record.quote
    return {
        "request": record.request,
        "server": quote.server,
        "uri": record.server,
        "state": standing.view.state.name.lower(),
        "deadline": standing.view.deadline,
        "locked_wei": quote.most,
        "price_wei": quote.price,
        "tokens_received": len(record.ids),
        "tokens_vouched": record.tokens,
        "over": standing.over,
        "stands": standing.words,
    }
