"""What `ponw network`, `ponw quorum` and `ponw layers` share: the view, its age, short names."""

from __future__ import annotations

import time

import typer

from node import config
from node.cli.context import state_of
from node.errors import UnavailableError
from node.modes.sources import FileSource
from node.modes.view import NetworkView

STALE_SECONDS = 60


def view_of(ctx: typer.Context) -> NetworkView:
    """The network as this home's node last saw it.

    Raises:
        UnavailableError: no node has run from this home. DataError, DiskError: its file is unusable.
    """
    state = state_of(ctx)
    # Not through node.cli.session, which imports the chain's client: nothing here needs it.
    home = config.load(state.home, rpc_url=state.rpc_url).home
    view = FileSource(home).view()
    if view is None:
        raise UnavailableError(f"No node of {home} has seen a network yet.", "`ponw run` starts one.")
    return view


def age(view: NetworkView) -> str:
    """When the view was taken, with a warning where that is long ago."""
    seconds = max(0, int(time.time() - view.updated))
    at = time.strftime("%H:%M:%S", time.localtime(view.updated))
    return f"as of {at}" + (f", {seconds} s ago: is the node running?" if seconds > STALE_SECONDS else "")


def short(key: str) -> str:
    """An account or id as people compare it."""
    return key[:10]
