"""`ponw layers`: who holds which part of the model, and how scarce each is."""

from __future__ import annotations

from typing import Annotated

import typer

from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.viewing import age, short, view_of

app = typer.Typer(rich_markup_mode=None)
SHOWN = 4
"""Holders that a line names."""


@app.command()
def layers(
    ctx: typer.Context,
    scarce: Annotated[bool, typer.Option("--scarce", help="only parts that lack holders")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show every part of the model with its holders, how many are wanted, and its scarcity.

    Scarcity is the missing share of the holders wanted (1, 2 or 3 below 5, 20 or more nodes); embedding and head
    count 1.5 times, at most 1. It raises what a holder earns, by half at scarcity 1, and draws new nodes.

    Examples:

        ponw layers

        ponw layers --scarce --format json
    """
    view = view_of(ctx)
    rows = [row for row in view.layer_rows() if row.scarcity > 0 or not scarce]
    if output is Format.JSON:
        print_json([row.model_dump() for row in rows])
        return
    if not rows:
        typer.echo(f"Every part has the holders that the network wants, {age(view)}.")
        return
    from rich.table import Table  # noqa: PLC0415 - rich only where something is drawn

    typer.echo(f"{view.layers} layers, embedding and head, {age(view)}.")
    table = Table("part", "holders", "wanted", "scarcity", "held by")
    for row in rows:
        rest = f" and {len(row.holders) - SHOWN} more" if len(row.holders) > SHOWN else ""
        names = ", ".join(short(account) for account in row.holders[:SHOWN]) + rest
        table.add_row(row.name, str(len(row.holders)), str(row.wanted), f"{row.scarcity:.2f}", names or "nobody")
    print_table(table)
