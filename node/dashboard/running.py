"""The dashboard inside of a running node's own HTTP server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from fastapi import FastAPI

from node.config import Settings
from node.dashboard.api import add_dashboard, node_router
from node.dashboard.chain import Chain
from node.dashboard.home import Home


@contextmanager
def with_dashboard(app: FastAPI, settings: Settings) -> Iterator[FastAPI]:
    """`app` with the pages below /dashboard while the block runs, unless the settings turn them off."""
    if settings.dashboard == "off":
        yield app
        return
    public = settings.dashboard == "public"
    with closing(Home(settings.home)) as home:
        add_dashboard(app, [node_router(home, Chain(settings), public)], {"node": True}, public)
        yield app
