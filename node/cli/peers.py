"""`ponw peers`: who this node is connected to, whom it knows, refused or banned, and why."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.context import Format, FormatOption, print_json, print_table
from node.cli.session import settings_of

if TYPE_CHECKING:
    from node.net.link import PeerInfo

app = typer.Typer(rich_markup_mode=None)


@app.command()
def peers(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", "-a", help="also peers that are known, refused or banned")] = False,
    output: FormatOption = Format.TEXT,
) -> None:
    """List the peers of the running node with account, stake and score.

    Asks the peer process that `ponw run` started (setting `p2p`). Score 0 is clean; -100 is a ban.

    Examples:

        ponw peers

        ponw peers --all --format json
    """
    from node.net.link import Control  # noqa: PLC0415 - protobuf only where it is used
    from node.net.settings import control_socket  # noqa: PLC0415

    control = Control(control_socket(settings_of(ctx).home))
    state, found = control.state(), control.known()
    shown = [peer for peer in found if every or peer.state == "connected"]
    if output is Format.JSON:
        print_json({"me": state.peer, "addresses": list(state.addresses), "peers": [_row(peer) for peer in shown]})
        return
    for address in state.addresses:
        typer.echo(f"This node: {address}")
    counts = {name: sum(peer.state == name for peer in found) for name in ("connected", "known", "refused", "banned")}
    typer.echo(", ".join(f"{number} {name}" for name, number in counts.items()))
    if shown:
        _print(shown)


def _print(shown: list[PeerInfo]) -> None:
    from rich.table import Table  # noqa: PLC0415 - rich only where something is drawn

    from node.chain.units import format_units  # noqa: PLC0415

    table = Table("peer", "account", "stake", "score", "state", "since or reason")
    for peer in sorted(shown, key=lambda one: (one.state, one.id)):
        since = time.strftime("%H:%M:%S", time.localtime(peer.connected_since)) if peer.connected_since else peer.reason
        account, stake = peer.account or "-", format_units(peer.stake) if peer.account else "-"
        table.add_row(peer.id, account, stake, str(peer.score), peer.state, since)
    print_table(table)


def _row(peer: PeerInfo) -> dict[str, Any]:
    versions = peer.versions
    return {
        "id": peer.id,
        "account": peer.account or None,
        "stake": peer.stake,
        "score": peer.score,
        "state": peer.state,
        "reason": peer.reason or None,
        "connected_since": peer.connected_since or None,
        "addresses": list(peer.addresses),
        "network": versions.network,
        "arch_version": versions.arch_version,
        "vocab_version": versions.vocab_version,
    }
