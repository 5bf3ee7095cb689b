"""`ponw dashboard`: the node's pages in a browser."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import Annotated

import typer

from node.cli.context import PasswordOption
from node.cli.session import settings_of

app = typer.Typer(rich_markup_mode=None)
DEFAULT_PORT = 9470


@app.command()
def dashboard(
    ctx: typer.Context,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="its port; 0 picks a free one")] = DEFAULT_PORT,
    wallet: Annotated[bool, typer.Option("--wallet", help="let the pages pay for answers from this wallet")] = False,
    max_fee: Annotated[str, typer.Option("--max-fee", help="most NEURO for one answer")] = "0.05",
    server: Annotated[str | None, typer.Option("--server", help="who answers; else the cheapest announced")] = None,
    password_file: PasswordOption = None,
) -> None:
    """Show the network, the training, claims, disputes, votes and a chat box, at an address of this machine.

    Reads what a node of this home writes, also while it runs, and what its chain says. With --wallet the key is
    unlocked, and the address that is printed carries a token after the #: whoever has it can spend up to --max-fee for
    each answer. Without it the chat box pays from a wallet in the browser. Ctrl-C ends it.

    Examples:

        ponw dashboard

        ponw dashboard --wallet --max-fee 0.1 --server http://127.0.0.1:9450
    """
    from fastapi import FastAPI  # noqa: PLC0415 - with what follows, a second to import

    from node.chain.units import parse_neuro  # noqa: PLC0415
    from node.cli.paying import payer_of  # noqa: PLC0415
    from node.dashboard.api import add_dashboard, node_router  # noqa: PLC0415
    from node.dashboard.asking import inference_router  # noqa: PLC0415
    from node.dashboard.chain import Chain  # noqa: PLC0415
    from node.dashboard.home import Home  # noqa: PLC0415
    from node.dashboard.market import Market, Paying  # noqa: PLC0415
    from node.dashboard.till import Till  # noqa: PLC0415
    from node.inference.serving import listen_at, run_until_signal  # noqa: PLC0415

    settings, fee, token = settings_of(ctx), parse_neuro(max_fee), secrets.token_urlsafe(32)
    payer = payer_of(settings, password_file, yes=True) if wallet else None
    chain = Chain(settings)
    market = Market(chain, server, None if payer is None else Paying(payer.address, fee))
    till = None if payer is None else Till(payer, market, fee)
    application = FastAPI(title="ponw dashboard", docs_url=None, redoc_url=None, openapi_url=None)
    listener, uri = listen_at("127.0.0.1", port)
    with closing(Home(settings.home)) as home:
        routers = [node_router(home, chain), inference_router(market, till, token)]
        add_dashboard(application, routers, {"node": True, "inference": True})
        fragment = "" if payer is None else f"#token={token}"
        typer.echo(f"dashboard: {uri}/dashboard/{fragment}")
        if payer is not None:
            typer.echo(f"wallet:    {payer.address}, at most {max_fee} NEURO for one answer")
        run_until_signal(application, listener, sockets=True)
    typer.echo("Ended.")
