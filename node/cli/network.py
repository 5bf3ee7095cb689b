"""`ponw network`: the nodes by mode and tier, and each one's record."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.viewing import age, short, view_of
from node.modes.view import NetworkView, NodeRow

app = typer.Typer(rich_markup_mode=None)


@app.command()
def network(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", "-a", help="stale and offline nodes too")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show how many nodes do what at which speed, and each node's record.

    Reads what the running node last saw; it needs no key and no chain. Tiers are by milliseconds of one layer's
    forward pass: T1 below 10, T2 below 50, T3 below 200, T4 below 1000, T5 the rest.

    Examples:

        ponw network

        ponw network --all --format json
    """
    view = view_of(ctx)
    rows = view.nodes if every else view.online()
    modes = Counter(node.mode or "unknown" for node in view.online())
    tiers = Counter(_tier(node) for node in view.online())
    if output is Format.JSON:
        nodes = [{**node.model_dump(), "tier": node.tier} for node in rows]
        counts = {
            "online": len(view.online()),
            "modes": dict(sorted(modes.items())),
            "tiers": dict(sorted(tiers.items())),
        }
        print_json({"updated": view.updated, **counts, "nodes": nodes})
        return
    typer.echo(f"{len(view.online())} of {len(view.nodes)} nodes online, {age(view)}.")
    _counts(view, modes, tiers)
    _nodes(rows, view)


def _tier(node: NodeRow) -> str:
    return f"T{node.tier}" if node.tier else "unmeasured"


def _counts(view: NetworkView, modes: Counter[str], tiers: Counter[str]) -> None:
    from rich.table import Table  # noqa: PLC0415 - rich only where something is drawn

    table = Table("mode", *sorted(tiers), "all")
    both = Counter((node.mode or "unknown", _tier(node)) for node in view.online())
    for mode, count in sorted(modes.items()):
        table.add_row(mode, *(str(both[mode, tier] or "-") for tier in sorted(tiers)), str(count))
    print_table(table)


def _nodes(rows: list[NodeRow], view: NetworkView) -> None:
    from rich.table import Table  # noqa: PLC0415 - rich only where something is drawn

    from consensus.quorum.parts import part_count, span_name  # noqa: PLC0415 - with the table

    table = Table("account", "mode", "tier", "ms a layer", "memory", "holds", "state", "why")
    for node in rows:
        mine = " (this node)" if node.account.lower() == view.account.lower() else ""
        held = span_name(node.held.span, part_count(view.layers)) if node.held else "-"
        speed = f"{node.layer_us / 1000:.1f}" if node.layer_us else "-"
        memory = f"{node.memory / 2**30:.1f} GiB" if node.memory else "-"
        table.add_row(
            short(node.account) + mine, node.mode or "-", _tier(node), speed, memory, held, node.presence, node.why
        )
    print_table(table)
