"""`ponw volunteer`: contribute to a gateway's model without stake or keys."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from node import config, logs
from node.cli.context import Format, FormatOption, print_json, print_table, state_of

if TYPE_CHECKING:
    from node.volunteer.api import Gateway
    from node.volunteer.home import VolunteerHome
    from node.volunteer.panel_schemas import LogLine, PanelState

_HELP = "-h", "--help"


class _WithDefault(TyperGroup):
    """`ponw volunteer URL` is `ponw volunteer run URL`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in _HELP:
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_WithDefault, no_args_is_help=True, rich_markup_mode=None)
Where = Annotated[str | None, typer.Argument(metavar="[URL]", help="the gateway; else the one volunteered for last")]


@app.callback()
def volunteer() -> None:
    """Contribute to a gateway's model: no stake, no wallet, no chain.

    Examples:

        ponw volunteer https://gateway.example

        ponw volunteer http://127.0.0.1:9460 --threads 2 --hours 22:00-07:00 --panel 127.0.0.1:0

        ponw volunteer status --format json
    """


@app.command("run")
def run(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="the gateway's address")],
    username: Annotated[str | None, typer.Option("--username", help="name in the leaderboard")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, max=1024, help="compute threads")] = None,
    cpu_share: Annotated[
        float | None, typer.Option("--cpu-share", min=0.05, max=1.0, help="share of the time in which steps run")
    ] = None,
    gpu_memory: Annotated[
        float | None, typer.Option("--gpu-memory", min=0.05, max=1.0, help="share of the GPU's memory")
    ] = None,
    hours: Annotated[str | None, typer.Option("--hours", help="local time in which steps run: 22:00-07:00")] = None,
    battery: Annotated[
        bool | None, typer.Option("--pause-on-battery/--run-on-battery", help="what to do without mains power")
    ] = None,
    max_batches: Annotated[int | None, typer.Option("--max-batches", min=1, help="stop after so many batches")] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="samples of one batch")] = None,
    checkpoint_steps: Annotated[
        int | None, typer.Option("--checkpoint-steps", min=1, max=4096, help="least steps between two saves")
    ] = None,
    panel: Annotated[str | None, typer.Option("--panel", help="serve a control panel at 127.0.0.1:PORT")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="wait for START in the panel")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="lines instead of the live display")] = False,
) -> None:
    """Train batches of a gateway until stopped.

    Ctrl-C finishes the batch under way and stops; a second Ctrl-C stops now. Nothing is lost either way, nor by a
    crash: the next run goes on from there. Flags stand over volunteer.toml in the home folder.

    Examples:

        ponw volunteer run https://gateway.example --username ada

        ponw volunteer https://gateway.example --cpu-share 0.5 --max-batches 10
    """
    from node.volunteer import settings  # noqa: PLC0415 - torch takes seconds to import
    from node.volunteer.home import normal_url  # noqa: PLC0415
    from node.volunteer.panel import address  # noqa: PLC0415
    from node.volunteer.start import volunteer as go  # noqa: PLC0415

    home = _home(ctx)
    chosen = settings.load(
        home,
        username=username,
        cpu_threads=threads,
        cpu_share=cpu_share,
        gpu_memory_share=gpu_memory,
        hours=hours,
        pause_on_battery=battery,
        max_batches=max_batches,
        max_samples=samples,
        checkpoint_steps=checkpoint_steps,
    )
    with _display(plain) as show:
        go(home, normal_url(url), chosen, show, address(panel) if panel else None, "pause" if paused else "start")


@app.command("status")
def status(ctx: typer.Context, url: Where = None, output: FormatOption = Format.TEXT) -> None:
    """Show what the volunteer's process of this home does, or did last. Asks nobody.

    Examples:

        ponw volunteer status --format json
    """
    from node.volunteer.board import read_state  # noqa: PLC0415

    place = _place(ctx, url)
    state = read_state(place)
    if output is Format.JSON:
        print_json({"running": place.busy(), "state": None if state is None else state.model_dump(mode="json")})
    elif state is None:
        typer.echo(f"Nobody has volunteered for {place.url} from this home yet.")
    else:
        from rich.console import Console  # noqa: PLC0415

        from node.volunteer.display import draw  # noqa: PLC0415

        typer.echo("running" if place.busy() else "not running; what it said last:")
        Console().print(draw(state))


@app.command("stats")
def stats(ctx: typer.Context, url: Where = None, output: FormatOption = Format.TEXT) -> None:
    """Show what this volunteer has contributed, and the network's figures.

    Examples:

        ponw volunteer stats https://gateway.example
    """
    place = _place(ctx, url)
    with _gateway(place) as gateway:
        mine, every = gateway.worker_stats(), gateway.global_stats()
    if output is Format.JSON:
        print_json({"worker": mine.model_dump(mode="json"), "network": every.model_dump(mode="json")})
        return
    badges = " ".join(mine.badges) or "-"
    typer.echo(f"{mine.username}: {mine.batches} batches, {mine.tokens:,} tokens, rank {mine.rank}, badges {badges}")
    typer.echo(f"reputation {mine.reputation / 100:.0f}%, {mine.rejected} rejected")
    if mine.quarantined_until is not None:
        typer.echo(f"quarantined: {mine.quarantine_reason}")
    loss = "-" if every.heldout_loss is None else f"{every.heldout_loss:.4f}"
    typer.echo(f"network: {every.version}, {every.active_workers} active, {every.tokens:,} tokens, loss {loss}")
    for update in mine.recent:
        typer.echo(f"  {update.batch_id[:8]} {update.version} loss {update.loss:.4f} {update.state} {update.reason}")


@app.command("leaderboard")
def leaderboard(ctx: typer.Context, url: Where = None, output: FormatOption = Format.TEXT) -> None:
    """List the volunteers who contributed most.

    Examples:

        ponw volunteer leaderboard --format json
    """
    with _gateway(_place(ctx, url)) as gateway:
        rows = gateway.leaderboard()
    if output is Format.JSON:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    from rich.table import Table  # noqa: PLC0415 - rich only where something is drawn

    table = Table("rank", "name", "batches", "tokens", "reputation", "badges")
    for row in rows:
        reputation = f"{row.reputation / 100:.0f}%"
        table.add_row(
            str(row.rank), row.username, str(row.batches), f"{row.tokens:,}", reputation, " ".join(row.badges)
        )
    print_table(table)


def _home(ctx: typer.Context) -> Path:
    # Not through node.cli.session, which imports the chain's client: a volunteer needs none.
    state = state_of(ctx)
    settings = config.load(state.home, rpc_url=state.rpc_url)
    logs.configure("debug" if state.debug else "warning", settings.log_json)
    return settings.home


def _place(ctx: typer.Context, url: str | None) -> VolunteerHome:
    from node.volunteer.home import VolunteerHome, normal_url, which_gateway  # noqa: PLC0415

    home = _home(ctx)
    return VolunteerHome.of(home, normal_url(url) if url else which_gateway(home))


@contextmanager
def _gateway(place: VolunteerHome) -> Iterator[Gateway]:
    from node.volunteer.api import Gateway  # noqa: PLC0415
    from node.volunteer.board import Board  # noqa: PLC0415
    from node.volunteer.control import Control  # noqa: PLC0415

    gateway = Gateway(place.url, place.key(), Control(), Board(place.url), attempts=2)
    try:
        yield gateway
    finally:
        gateway.close()


@contextmanager
def _display(plain: bool) -> Iterator[Callable[[list[LogLine], PanelState], None]]:
    from node.volunteer.display import Lines, draw  # noqa: PLC0415

    if plain or not sys.stdout.isatty():
        yield Lines(typer.echo).show
        return
    from rich.live import Live  # noqa: PLC0415 - rich only where something is drawn

    with Live(refresh_per_second=4) as live:
        yield lambda _lines, state: live.update(draw(state))
