"""`ponw price`: what a token costs, factor by factor."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from economics.pricing import Pricing
from node.chain.deployment import Deployment
from node.chain.units import format_units
from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.session import read_contracts, settings_of
from node.inference.paid.discovery import cheapest, named
from node.inference.paid.pricing import explain

app = typer.Typer(rich_markup_mode=None)


@app.command()
def price(
    ctx: typer.Context,
    server: Annotated[str | None, typer.Option("--server", help="its address; else the cheapest announced")] = None,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show a server's price of a token and how it comes about; no password is needed.

    Examples:

        ponw price

        ponw price --server http://127.0.0.1:9450 --format json
    """
    settings = settings_of(ctx)
    if server is None:
        chosen = cheapest(read_contracts(settings), Deployment.load(settings.contracts_file).block)
    else:
        chosen = named(server)
    told = chosen.listing.price
    factors = explain(Pricing(told.busy, told.slots, told.tier, told.finals))
    if output is Format.JSON:
        rows = [{"factor": f.name, "value": f.value, "because": f.because} for f in factors]
        served = chosen.listing.served.model_dump()
        print_json({"server": chosen.uri, "price_wei": int(told.price), "factors": rows, "served": served})
        return
    table = Table("factor", "value", "because")
    for factor in factors:
        table.add_row(factor.name, factor.value, factor.because)
    print_table(table)
    typer.echo(f"{chosen.uri} asks {format_units(int(told.price))} a token.")
