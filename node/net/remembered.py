"""Peers that were connected, kept in the home folder: a node that was started again finds its network without the
operator's addresses, which may be gone."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

import trio

from node.errors import DiskError
from node.net.book import Book, plain_address
from node.net.errors import NetworkError
from node.net.limits import ADDRESSES_MAX, REMEMBERED_MAX, REMEMBERED_SECONDS
from node.paths import read_bounded, write_atomic

log = logging.getLogger(__name__)
PEERS_NAME = "peers.json"
Contacts = dict[str, list[str]]


def load(path: Path) -> Contacts:
    """Addresses by peer as they were saved; what is damaged is left out."""
    try:
        table = json.loads(read_bounded(path))
    except FileNotFoundError:
        return {}
    except (DiskError, ValueError) as error:
        log.warning("the list of peers is unusable: %s", error)
        return {}
    rows = list(table.items())[:REMEMBERED_MAX] if isinstance(table, dict) else []
    return {peer: kept for peer, addresses in rows if peer.isalnum() and (kept := _checked(addresses))}


def _checked(addresses: object) -> list[str]:
    found = []
    for text in addresses[:ADDRESSES_MAX] if isinstance(addresses, list) else []:
        try:
            found.append(plain_address(str(text)))
        except NetworkError as error:
            log.warning("an address in the list of peers is unusable: %s", error.message)
    return found


def merged(known: Contacts, book: Book, connected: Iterable[str]) -> Contacts:
    """Those connected now before those of earlier, REMEMBERED_MAX in all."""
    now = {peer: addresses for peer in connected if (addresses := book.addresses(peer))}
    rest = {peer: addresses for peer, addresses in known.items() if peer not in now}
    return dict(list({**now, **rest}.items())[:REMEMBERED_MAX])


async def keep(path: Path, book: Book, connected: dict[str, object]) -> None:
    """Save the table whenever it has changed, until cancelled. Where nobody is connected, the last one stands."""
    saved = await trio.to_thread.run_sync(load, path)
    while True:
        await trio.sleep(REMEMBERED_SECONDS)
        now = merged(saved, book, sorted(connected))
        if now != saved:
            try:
                await trio.to_thread.run_sync(write_atomic, path, json.dumps(now).encode())
            except DiskError as error:
                log.warning("the list of peers is not saved: %s", error.message)
            saved = now
