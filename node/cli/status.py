"""`ponw status`: what the node of this home is doing, and why."""

from __future__ import annotations

import threading
import time
from typing import Annotated

import typer

from node.cli.context import Format, FormatOption, print_json
from node.cli.session import settings_of
from node.errors import ConfigError
from node.training.snapshot import Snapshot, read_snapshot

app = typer.Typer(rich_markup_mode=None)
STALE_SECONDS = 15
REFRESH_SECONDS = 1.0


@app.command()
def status(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="keep showing until Ctrl-C")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """Show mode and why, round, step, loss, speed, and what became of this node's claims.

    Reads what the running node last wrote; it needs no key and no chain.

    Examples:

        ponw status

        ponw status --watch

        ponw status --format json
    """
    home = settings_of(ctx).home
    if watch and output is Format.JSON:
        raise ConfigError("--watch draws on a terminal and has no JSON form.", "Leave one of the two options out.")
    now = read_snapshot(home)
    if output is Format.JSON:
        print_json({"state": _state(now), **({} if now is None else now.model_dump())})
        return
    if now is None:
        typer.echo(f"No node has run from {home} yet: `ponw run` starts it.")
        return
    from rich.console import Console  # noqa: PLC0415 - rich only where something is drawn
    from rich.live import Live  # noqa: PLC0415

    from node.cli.panel import panel  # noqa: PLC0415

    if not watch:
        console = Console()
        at = time.strftime("%H:%M:%S", time.localtime(now.updated))
        console.print(f"{_state(now)} (process {now.pid}, as of {at})")
        console.print(panel(now))
        return
    with Live(panel(now), refresh_per_second=2) as live:
        while not threading.Event().wait(REFRESH_SECONDS):
            live.update(panel(read_snapshot(home) or now))


def _state(now: Snapshot | None) -> str:
    if now is None:
        return "never run"
    if now.stopped:
        return "stopped"
    return "running" if time.time() - now.updated < STALE_SECONDS else "not answering"
