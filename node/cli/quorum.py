"""`ponw quorum`: the quorums, who runs which parts in them, and how their sessions stand."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.viewing import age, short, view_of
from node.errors import ConfigError
from node.modes.view import NetworkView, QuorumRow

app = typer.Typer(rich_markup_mode=None)


@app.command()
def quorum(
    ctx: typer.Context,
    which: Annotated[str, typer.Argument(help="beginning of one quorum's id; without it, all")] = "",
    mine: Annotated[bool, typer.Option("--mine", help="only the one that this node is in")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show quorums: members in pipeline order with their parts, state, batches, renewals, time left.

    A session goes proposed → accepted → active → renewing → dissolving → dissolved. Reads what the running node last
    saw; it needs no key and no chain.

    Examples:

        ponw quorum

        ponw quorum 0x3fa1 --format json

        ponw quorum --mine
    """
    view = view_of(ctx)
    rows = [one for one in view.quorums if one.id.startswith(which.lower())]
    if mine:
        own = view.quorum_of(view.account)
        rows = [one for one in rows if own is not None and one.id == own.id]
    if which and not rows:
        raise ConfigError(f"There is no quorum whose id begins with '{which}'.", "`ponw quorum` lists them.")
    if output is Format.JSON:
        print_json([one.model_dump() for one in rows])
        return
    if not rows:
        typer.echo(f"No quorum, {age(view)}." + (" `ponw status` says why." if mine else ""))
        return
    typer.echo(f"{len(rows)} quorums, {age(view)}.")
    _draw(rows, view)


def _draw(rows: list[QuorumRow], view: NetworkView) -> None:
    from rich.table import Table  # noqa: PLC0415 - rich only where something is drawn

    from consensus.quorum.parts import part_count, span_name  # noqa: PLC0415 - with the table

    table = Table("quorum", "state", "why", "left", "batches", "renewals", "member", "runs")
    for one in rows:
        left = max(0, one.ends - int(time.time()))
        first = [short(one.id), one.state, one.why, f"{left} s", str(one.batches), str(one.renewals)]
        for seat in one.seats:
            leads = " (initiator)" if seat.account.lower() == one.initiator.lower() else ""
            table.add_row(*first, short(seat.account) + leads, span_name(seat.parts.span, part_count(view.layers)))
            first = [""] * 6
        table.add_section()
    print_table(table)
