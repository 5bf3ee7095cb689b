"""How a node looks on a terminal: shared by `ponw run` and `ponw status`."""

from __future__ import annotations

import time

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table

from node.chain.units import format_units
from node.training.snapshot import ClaimRow, Snapshot

_COLOURS = {"paid": "green", "final": "green", "lost": "red", "challenged": "yellow", "dropped": "yellow"}


def panel(now: Snapshot) -> RenderableType:
    """The whole display of one snapshot."""
    return Group(_facts(now), ProgressBar(total=max(1, now.steps), completed=now.step, width=60), _claims(now.claims))


def _facts(now: Snapshot) -> Table:
    left = max(0, now.phase_ends - int(time.time()))
    phase = f"{now.phase}, {left} s left" if now.phase_ends and left else now.phase
    loss = "-" if now.loss is None else f"{now.loss:.4f}"
    heldout = "-" if now.heldout_loss is None else f"{now.heldout_loss:.4f}"
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("node", f"{now.address}  {now.uri}"),
        ("mode", f"{now.mode}: {now.why}"),
        ("machine", machine(now)),
        ("quorum", now.quorum or "-"),
        ("now", now.activity),
        ("round", f"{now.round} ({phase}), block {now.block}, {now.nodes} nodes"),
        ("training", f"step {now.step}/{now.steps}, loss {loss}, held-out {heldout}, {now.tokens_per_s:,.0f} tokens/s"),
        ("kernel", f"{now.preset} on {now.kernel}"),
        ("vocabulary", vocabulary(now)),
        ("audits", f"{now.audits} done, {now.audits_failed} claims found wrong"),
        ("collected", format_units(now.collected_wei)),
    ):
        facts.add_row(f"[bold]{name}[/bold]", value)
    return facts


def machine(now: Snapshot) -> str:
    """The measured speed and the parts that fit its memory."""
    return f"T{now.tier}, {now.layer_us / 1000:.2f} ms a layer, room for {now.holds}" if now.tier else "not measured"


def vocabulary(now: Snapshot) -> str:
    """The version that the round runs in, and where it goes."""
    way = "" if now.target == now.version else f", going to version {now.target}"
    return f"version {now.version} ({now.rows} rows){way}" if now.rows else "-"


def _claims(rows: list[ClaimRow]) -> Table:
    table = Table("round", "steps", "state", "detail", title="claims", title_justify="left")
    for row in rows:
        colour = _COLOURS.get(row.state, "cyan")
        table.add_row(str(row.round), str(row.steps), f"[{colour}]{row.state}[/{colour}]", row.detail)
    return table
