"""`ponw run`: take part in the network's rounds."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from node.chain.contracts import Contracts
from node.chain.deployment import Deployment
from node.cli.context import PasswordOption, YesOption
from node.cli.session import settings_of, signing_contracts
from node.config import EMBEDDED_RPC, Settings
from node.errors import ConfigError
from node.training.snapshot import Snapshot

if TYPE_CHECKING:
    from node.training.loop import RoundLoop

app = typer.Typer(rich_markup_mode=None)


@app.command()
def run(
    ctx: typer.Context,
    rounds: Annotated[int | None, typer.Option(min=1, help="stop after this many rounds have closed")] = None,
    volunteers: Annotated[
        bool,
        typer.Option("--volunteers", help="let volunteers of `ponw gateway run --claims` train this node's rounds"),
    ] = False,
    late: Annotated[
        bool, typer.Option("--late", help="finish each piece of work however many rounds it takes (mode async)")
    ] = False,
    plain: Annotated[bool, typer.Option("--plain", help="lines instead of the live display")] = False,
    password_file: PasswordOption = None,
    yes: YesOption = False,
) -> None:
    """Train, commit, audit peers, and take part in every round until stopped.

    Ctrl-C finishes the step under way, saves and exits; run again, the node goes on from there. Every transaction asks
    for confirmation unless --yes is given. With `--rpc-url embedded` a whole network lives in this process and is gone
    with it; nothing has to be set up for that.

    A machine too slow for a round uses --late, or the setting `late`: it trains on from the start of one round, claims
    when it is done, and is paid by the age of what it began from. It audits and settles meanwhile.

    Examples:

        ponw --rpc-url embedded run --rounds 1

        ponw run --yes

        ponw run --yes --volunteers

        ponw run --yes --late

        ponw run --yes --rounds 2 --plain --password-file password.txt
    """
    from node.net.joining import joined  # noqa: PLC0415 - protobuf only where it is used
    from node.training.start import assembled  # noqa: PLC0415 - torch takes seconds to import

    stop, chosen = threading.Event(), settings_of(ctx, late=late or None)
    if volunteers and chosen.late:
        raise ConfigError("Volunteers train single rounds, not late work.", "Leave out --volunteers, or `late`.")
    with (
        _network(chosen, password_file, yes) as (settings, contracts, first),
        _stopping(stop),
        _display(plain) as show,
        joined(settings, contracts) as peers,
        assembled(settings, contracts, first, stop, show, peers=peers) as loop,
        _helped(settings, loop) if volunteers else nullcontext(),
    ):
        if settings.dashboard != "off" and settings.listen_port:
            host = "127.0.0.1" if settings.dashboard == "local" else settings.listen_host
            typer.echo(f"Dashboard: http://{host}:{settings.listen_port}/dashboard/", err=True)
        loop.run(rounds)
    typer.echo("Stopped; everything is saved.", err=True)


@contextmanager
def _network(settings: Settings, password_file: Path | None, yes: bool) -> Iterator[tuple[Settings, Contracts, int]]:
    """The configured network with the operator's key, or a fresh one in this process."""
    if settings.rpc_url != EMBEDDED_RPC:
        contracts = signing_contracts(settings, password_file, yes)
        yield settings, contracts, Deployment.load(settings.contracts_file).block
        return
    from node.training.embedded import embedded_network  # noqa: PLC0415 - py-evm takes a while to import

    with embedded_network(settings) as network:
        yield network


@contextmanager
def _helped(settings: Settings, loop: RoundLoop) -> Iterator[None]:
    """With the volunteers of the gateway in this home."""
    from node.gateway.claims import GatewayHelpers  # noqa: PLC0415
    from node.gateway.gateway import open_gateway  # noqa: PLC0415
    from node.gateway.settings import beside  # noqa: PLC0415

    parts = loop.parts
    gateway = open_gateway(beside(settings), parts.workshop)
    try:
        parts.helpers = GatewayHelpers(gateway, bytes.fromhex(parts.contracts.client.address[2:]))
        yield
    finally:
        gateway.close()


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask the loop to stop; a second Ctrl-C ends the process at once."""

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        typer.echo("Finishing the step under way …", err=True)
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _display(plain: bool) -> Iterator[Callable[[Snapshot], None]]:
    if plain or not sys.stdout.isatty():
        with nullcontext():
            yield _Lines().show
        return
    from rich.live import Live  # noqa: PLC0415

    from node.cli.panel import panel  # noqa: PLC0415

    with Live(refresh_per_second=4) as live:
        yield lambda snapshot: live.update(panel(snapshot))


class _Lines:
    """One line whenever what the node does changes."""

    def __init__(self) -> None:
        self._last: tuple[object, ...] = ()

    def show(self, now: Snapshot) -> None:
        claims = tuple((c.round, c.state) for c in now.claims)
        key = (now.round, now.activity, claims)
        if key == self._last:
            return
        self._last = key
        loss = "" if now.loss is None else f" loss {now.loss:.4f}"
        state = f" claim {now.claims[-1].round}: {now.claims[-1].state}" if now.claims else ""
        way = "" if now.target == now.version else f" to {now.target}"
        where = f"round {now.round} (version {now.version}{way}) {now.phase}"
        typer.echo(f"{where}: {now.activity} step {now.step}/{now.steps}{loss}{state}")
