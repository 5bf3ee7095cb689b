"""Peers of the same LAN by multicast DNS: the library discovers and does not connect, so the address book is told.

The service's name has six digits of the network's, so that nodes of other networks leave each other alone. What a LAN
says goes into the bounded address book only: py-libp2p 0.8.1 would let it overwrite and clear what is known of any
peer, from another thread. It also announces 0.0.0.0 where that is what we listen on, and blocks while it registers.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import trio
from libp2p.discovery.events.peerDiscovery import peerDiscovery
from libp2p.discovery.mdns.mdns import MDNSDiscovery

from node.net.book import CIRCUIT, plain_address
from node.net.errors import NetworkError
from node.net.guard import name_of
from node.net.host import PeerHost
from node.net.limits import ADDRESSES_MAX, LAN_PEERS_MAX

log = logging.getLogger(__name__)
_FAMILIES = (socket.AF_INET, socket.AF_INET6)


class _Stores:
    """Where the library would put what it hears, and asks who we are: nothing is kept."""

    def __init__(self, peer_id: Any) -> None:
        self.peerstore, self._peer_id = self, peer_id

    def get_peer_id(self) -> Any:
        """Ours."""
        return self._peer_id

    def add_addrs(self, *_: Any) -> None:
        """Nothing."""

    def clear_addrs(self, *_: Any) -> None:
        """Nothing."""


class _Latest(dict[Any, Any]):
    """The last LAN_PEERS_MAX entries."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        while len(self) > LAN_PEERS_MAX:
            del self[next(iter(self))]


def service_name(network: bytes) -> str:
    """The DNS-SD service of a network (32 bytes); at most 15 characters, RFC 6335, 5.1."""
    return f"_p2p-ponw{network.hex()[:6]}._udp.local."


def announced(listening: list[str], hosts: list[str]) -> list[str]:
    """Where a LAN reaches us: an address that stands for all becomes those of `hosts`; none of this machine alone."""
    found = []
    for text in listening:
        kind, host, rest = text.split("/", 3)[1:]
        given = [host]
        if ipaddress.ip_address(host).is_unspecified:
            given = [h for h in hosts if (":" in h) == (kind == "ip6")]
        found += [f"/{kind}/{each}/{rest}" for each in given if not ipaddress.ip_address(each).is_loopback]
    return found[:ADDRESSES_MAX]


def _hosts() -> list[str]:
    """The addresses of this machine's interfaces; of IPv6 those that hold beyond one link."""
    rows = [row for card in psutil.net_if_addrs().values() for row in card if row.family in _FAMILIES]
    return [row.address for row in rows if "%" not in row.address]


def learnable(addresses: list[str]) -> list[str]:
    """Addresses that a LAN may tell us: plain ones of an actual host, up to ADDRESSES_MAX.

    Raises:
        NetworkError: one of them is no address.
    """
    plain = [plain_address(text) for text in addresses[:ADDRESSES_MAX] if CIRCUIT not in text]
    return [text for text in plain if text.split("/")[2] not in {"0.0.0.0", "::"}]  # noqa: S104 - left out


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
            addresses = learnable([str(address) for address in info.addrs])
            token.run_sync_soon(host.book.learn, name_of(info.peer_id), addresses)
        except (NetworkError, trio.RunFinishedError) as error:
            log.debug("mDNS: %s", error)

    peerDiscovery.register_peer_discovered_handler(found)
    try:
        discovery = await trio.to_thread.run_sync(_announce, host)
        try:
            yield
        finally:
            if discovery is not None:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(discovery.stop)
    finally:
        peerDiscovery.unregister_peer_discovered_handler(found)


def _announce(host: PeerHost) -> Any:
    """In a thread, because it takes a second. None where the machine has no network for it."""
    listening = [str(address) for address in host.host.get_transport_addrs()]
    addresses = announced(listening, _hosts())
    port = int(host.host.get_transport_addrs()[0].value_for_protocol("tcp"))
    service = service_name(bytes(host.me.versions.network))
    stores: Any = _Stores(host.host.get_id())
    try:
        discovery = MDNSDiscovery(stores, port=port, service_type=service, listen_addrs=addresses or listening)
    except OSError as error:
        log.warning("no multicast DNS on this machine: %s", error)
        return None
    discovery.listener.discovered_services = _Latest()
    discovery.broadcaster.register()
    return discovery
