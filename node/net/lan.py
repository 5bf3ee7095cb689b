"""Peers of the same LAN by multicast DNS: the library discovers and does not connect, so the address book is told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.discovery.events.peerDiscovery import peerDiscovery
from libp2p.discovery.mdns.mdns import MDNSDiscovery

from node.net.book import plain_address
from node.net.errors import NetworkError
from node.net.guard import name_of
from node.net.host import PeerHost

log = logging.getLogger(__name__)
SERVICE = "_p2p-ponw._udp.local."


@asynccontextmanager
async def on_lan(host: PeerHost) -> AsyncIterator[None]:
    """Announce ourselves and learn others while open, where the settings ask for it."""
    if not host.settings.mdns:
        yield
        return
    token = trio.lowlevel.current_trio_token()

    def found(info: Any) -> None:
        # Called in a thread of zeroconf.
        try:
            addresses = [plain_address(str(address)) for address in info.addrs][:8]
            token.run_sync_soon(host.book.learn, name_of(info.peer_id), addresses)
        except (NetworkError, trio.RunFinishedError) as error:
            log.debug("mDNS: %s", error)

    peerDiscovery.register_peer_discovered_handler(found)
    port = int(host.host.get_transport_addrs()[0].value_for_protocol("tcp"))
    discovery = await trio.to_thread.run_sync(
        lambda: MDNSDiscovery(host.swarm, port=port, service_type=SERVICE, host=host.host)
    )
    discovery.start()
    try:
        yield
    finally:
        peerDiscovery.unregister_peer_discovered_handler(found)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(discovery.stop)
