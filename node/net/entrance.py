"""Every connection of the swarm goes through here and holds one of the `Places` while it lasts.

py-libp2p 0.8.1 has limits of its own, which are set out of the way: it counts connections in all and refuses the
newest, so that one address could keep every other peer out; it keeps the place of an incoming connection for ever; and
it sees no address of a connection over IPv6, so that not even its list of denied networks is applied there.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import trio
from libp2p import create_yamux_muxer_option, new_swarm
from libp2p.connection_types import ConnectionType
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from multiaddr import Multiaddr

from node.net.guard import GONE, name_of
from node.net.limits import CONNECTIONS_PER_PEER
from node.net.origins import Origins, origin_of, plain_host, relay_origin
from node.net.peerstore import LastingPeerStore
from node.net.places import Place, Places
from node.net.settings import NetSettings

log = logging.getLogger(__name__)
DIAL_SECONDS: Final = 15.0
CLOSING_SECONDS: Final = 5.0
LIBRARY_MAX: Final = 4096
"""The library's own limits, out of reach."""
_PLACE: ContextVar[Place] = ContextVar("place")
"""The place of the connection that this task sets up."""
NO_PLACE: Final = "There is no place for another connection."


def make_swarm(settings: NetSettings, seed: bytes) -> Any:
    """The library's swarm: Noise and Yamux over TCP, no dialling of its own, no limits of its own."""
    keys = create_new_key_pair(seed)
    limits = ConnectionConfig(
        deny_list=settings.deny,
        dial_timeout=DIAL_SECONDS,
        max_connections=LIBRARY_MAX,
        high_watermark=LIBRARY_MAX,
        min_connections=0,
        low_watermark=0,
        max_connections_per_peer=CONNECTIONS_PER_PEER,
    )
    known = LastingPeerStore()
    swarm: Any = new_swarm(
        key_pair=keys,
        peerstore_opt=known,
        sec_opt={NOISE: Noise(keys, noise_privkey=new_noise_key().private_key)},
        muxer_opt=create_yamux_muxer_option(),
        connection_config=limits,
        retry_config=RetryConfig(max_retries=0),
    )
    own = swarm.get_peer_id()
    known.keeps = lambda peer: peer == own or peer in swarm.connections
    # The library's own dialling would call peers that we refused.
    swarm.auto_connector.maybe_connect = trio.lowlevel.checkpoint
    return swarm


def remote_host(stream: Any) -> str | None:
    """The IP address at the other end of a TCP stream of the library's; the library is told too.

    It takes an IPv6 socket's address, which has four parts, for none.
    """
    try:
        host, port = stream.stream.socket.getpeername()[:2]
        plain = plain_host(host)
    except (AttributeError, OSError, ValueError):
        return None
    stream._cached_remote_address = (plain, port)
    return plain


class Entrance:
    """Put before a swarm that does not run yet."""

    def __init__(
        self,
        swarm: Any,
        places: Places,
        origins: Origins,
        trusted: Callable[[str], bool],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self.places, self._origins, self._trusted, self._clock = places, origins, trusted, clock
        self._swarm = swarm
        self._of: dict[Any, Place] = {}
        self._wanted: Counter[str] = Counter()
        self._upgrade_outbound: Callable[..., Awaitable[Any]] = swarm.upgrade_outbound_raw_conn
        self._add: Callable[..., Awaitable[Any]] = swarm.add_conn
        self._upgrade_inbound: Callable[..., Awaitable[Any]] = swarm.upgrade_inbound_raw_conn
        swarm._handle_inbound_connection = self._arrived
        swarm.upgrade_outbound_raw_conn = self._dialled
        swarm.upgrade_inbound_raw_conn = self._taken
        swarm.add_conn = self._added

    def place_of(self, connection: Any) -> Place | None:
        """The place of a connection of the swarm."""
        return self._of.get(connection.muxed_conn)

    @contextmanager
    def wanting(self, peer: str) -> Iterator[None]:
        """While open, a connection to the peer counts as one that the node or its operator asked for."""
        self._wanted[peer] += 1
        try:
            yield
        finally:
            self._wanted[peer] -= 1
            if not self._wanted[peer]:
                del self._wanted[peer]

    async def through_relay(self, relay: str, upgrade: Callable[[], Awaitable[None]]) -> None:
        """Set up an incoming connection that a relay brought. Raises SwarmException where there is no place."""
        with trio.CancelScope() as scope:
            place = self.places.arrive(relay_origin(relay), self._clock(), scope.cancel)
            if place is None:
                raise SwarmException(NO_PLACE)
            await self._in_place(place, upgrade)

    async def _arrived(self, stream: Any, listener: Multiaddr) -> None:
        """An incoming TCP connection, for as long as it lasts; the listener closes the socket when this returns."""
        host = remote_host(stream)
        if host is None or not await self._swarm.connection_gate.is_allowed(_address(host)):
            return
        with trio.CancelScope() as scope:
            place = self.places.arrive(origin_of(host), self._clock(), scope.cancel)
            if place is None:
                log.debug("a connection of %s comes too fast", host)
                return
            try:
                _PLACE.set(place)
                muxed = await self._upgrade_inbound(RawConnection(stream, False), listener)
                await muxed.event_shutting_down.wait()
            except Exception as error:  # noqa: BLE001 - the library raises anything on junk
                log.debug("no connection of %s: %s", host, error)
            finally:
                self.places.leave(place)

    async def _dialled(self, raw: Any, peer_id: Any, pre_scope: Any = None) -> Any:
        """A connection that we have opened; raises SwarmException where it has no place."""
        return await self._opened(raw, name_of(peer_id), lambda: self._upgrade_outbound(raw, peer_id, pre_scope))

    async def _taken(self, raw: Any, address: Multiaddr) -> Any:
        """The answering side of a connection that came and has a place, or that we opened to meet one half way."""
        place = _PLACE.get(None)
        if place is not None and not place.peer and self.places.holds(place):
            return await self._upgrade_inbound(raw, address)
        return await self._opened(raw, "", lambda: self._upgrade_inbound(raw, address))

    async def _opened(self, raw: Any, peer: str, upgrade: Callable[[], Awaitable[Any]]) -> Any:
        with trio.CancelScope() as scope:
            wanted = peer in self._wanted or self._trusted(peer)
            place = self.places.dial(_origin(raw), peer, wanted, self._clock(), scope.cancel)
            if place is None:
                raise SwarmException(NO_PLACE)  # the caller closes the connection
            return await self._in_place(place, upgrade)
        raise SwarmException(NO_PLACE)

    async def _in_place(self, place: Place, upgrade: Callable[[], Awaitable[Any]]) -> Any:
        """Set up a connection in its place, which it leaves again where that fails or is cancelled."""
        _PLACE.set(place)
        try:
            return await upgrade()
        except BaseException:
            self.places.leave(place)
            raise

    async def _added(self, muxed: Any, direction: str = "unknown") -> Any:
        """The peer's key is proven: the place is known by it, and left when the connection ends."""
        place = _PLACE.get(None)
        if place is None or not self.places.holds(place):
            raise SwarmException(NO_PLACE)
        peer = name_of(muxed.peer_id)
        if not self._trusted(peer):
            self._origins.note(peer, place.origin)
        self.places.named(place, peer)
        self._of[muxed] = place
        try:
            connection = await self._add(muxed, direction)
        except BaseException:
            del self._of[muxed]
            raise
        place.close = lambda: self._start(close_quietly, connection)
        self._start(self._until_closed, muxed, place)
        if not self.places.holds(place):  # pushed out meanwhile, by what could not close it yet
            place.close()
        return connection

    async def _until_closed(self, muxed: Any, place: Place) -> None:
        try:
            await muxed.event_shutting_down.wait()
        finally:
            self._of.pop(muxed, None)
            self.places.leave(place)

    def _start(self, task: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        nursery = self._swarm.background_nursery
        if nursery is not None:  # else the swarm ends, and all connections with it
            nursery.start_soon(task, *arguments)


async def close_quietly(connection: Any) -> None:
    """Close a connection of the swarm; that it is gone already is as good."""
    with trio.move_on_after(CLOSING_SECONDS):
        try:
            await connection.close()
        except GONE as error:
            log.debug("closing a connection: %s", error)


def _address(host: str) -> Multiaddr:
    return Multiaddr(f"/{'ip6' if ':' in host else 'ip4'}/{host}")


def _origin(raw: Any) -> str:
    """The origin of a connection that we have opened."""
    if raw.get_connection_type() == ConnectionType.RELAYED:
        return relay_origin(str(raw.get_transport_addresses()[0]).partition("/p2p-circuit")[0].rpartition("/p2p/")[2])
    host = remote_host(raw.stream)
    return "unknown" if host is None else origin_of(host)
