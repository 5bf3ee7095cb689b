"""Connections through a relay to peers that cannot be dialled: libp2p's circuit relay v2, the library's own, bounded.

What py-libp2p 0.8.1 leaves open is closed here: it reserves for whatever peer a request names, keeps a reservation of a
peer that went, ends a circuit that is silent never, closes one circuit's streams with another's of the same peer, and
takes circuits from relays it never asked. Specification: github.com/libp2p/specs/blob/master/relay/circuit-v2.md
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import trio
from libp2p.connection_types import ConnectionType
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.rcmgr import Direction
from libp2p.relay.circuit_v2.config import RelayConfig, RelayRole
from libp2p.relay.circuit_v2.dcutr import DCUtRProtocol
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID as HOP
from libp2p.relay.circuit_v2.protocol import CircuitV2Protocol
from libp2p.relay.circuit_v2.protocol_buffer import StatusCode
from libp2p.relay.circuit_v2.resources import RelayLimits
from libp2p.relay.circuit_v2.transport import CircuitV2Transport
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from node.net.book import CIRCUIT, plain_address, split_address
from node.net.entrance import Entrance
from node.net.errors import NetworkError, PeerLostError
from node.net.guard import GONE, GuardedHost, contained, name_of, reset_quietly
from node.net.limits import (
    PUNCHED_MAX,
    RELAY_CALL_SECONDS,
    RELAY_RENEW_SECONDS,
    RELAY_RESERVATION_SECONDS,
    RELAY_TICK,
    RELAYS_TRIED,
)
from node.net.members import Member, Members
from node.net.settings import RelaySettings

log = logging.getLogger(__name__)


def is_relayed(connection: Any) -> bool:
    """Whether a connection, of the swarm or of the muxer, goes through a relay."""
    return bool(connection.get_connection_type() == ConnectionType.RELAYED)


class _Nothing(dict[Any, Any]):
    """Keeps nothing: the library notes one circuit a peer here, and closes that one when any of the peer's ends."""

    def __setitem__(self, key: Any, value: Any) -> None:
        del key, value


class GuardedRelay(CircuitV2Protocol):
    """The library's protocol, both sides: HOP where we relay, STOP where a relay brings a connection."""

    def __init__(
        self,
        host: GuardedHost,
        entrance: Entrance,
        limits: RelayLimits,
        serve: bool,
        may_reserve: Callable[[str], bool],
        asked: Callable[[str], bool],
    ) -> None:
        super().__init__(host, limits, allow_hop=serve)
        self._entrance, self._may_reserve, self._asked = entrance, may_reserve, asked
        self._active_relays = _Nothing()

    def forget(self, peer: str) -> None:
        """A peer is gone, and its reservation with it."""
        self.resource_manager._reservations.pop(ID.from_base58(peer), None)

    async def handle_incoming_connection(self, stream: Any, remote_peer_id: bytes) -> None:
        """A connection that a relay brings takes one of the places like any other."""
        relay = name_of(stream.muxed_conn.peer_id)

        async def upgrade() -> None:
            await CircuitV2Protocol.handle_incoming_connection(self, stream, remote_peer_id)

        await self._entrance.through_relay(relay, upgrade)

    async def _handle_stop_stream(self, stream: Any) -> None:
        if self._asked(name_of(stream.muxed_conn.peer_id)):
            await super()._handle_stop_stream(stream)
        else:
            await reset_quietly(stream)

    async def _handle_hop_stream(self, stream: Any) -> None:
        with trio.move_on_after(self.limits.duration + RELAY_CALL_SECONDS) as scope:
            await super()._handle_hop_stream(stream)
        if scope.cancelled_caught:
            await reset_quietly(stream)

    async def _handle_reserve(self, stream: Any, msg: Any) -> None:
        peer = stream.muxed_conn.peer_id
        other = bool(msg.peer.id) and msg.peer.id != peer.to_bytes()
        if other or not self._may_reserve(name_of(peer)):
            await self._send_status(stream, StatusCode.PERMISSION_DENIED, "for staked peers and themselves")
            return
        await super()._handle_reserve(stream, msg)

    async def _relay_data(
        self,
        src_stream: Any,
        dst_stream: Any,
        peer_id: ID,
        deadline: float | None = None,
        circuit_data_limit: list[int] | None = None,
    ) -> None:
        try:
            # The library looks at the time only when bytes have come.
            with trio.move_on_after(self.limits.duration):
                await super()._relay_data(src_stream, dst_stream, peer_id, deadline, circuit_data_limit)
        finally:
            await reset_quietly(src_stream)
            await reset_quietly(dst_stream)


class Punching(DCUtRProtocol):
    """The library's hole punching (DCUtR): two that met through a relay dial each other at one time, each from the port
    it listens on, so that the firewall of either takes the other's packets for an answer."""

    async def initiate_hole_punch(self, peer_id: ID) -> bool:
        """Only where the relayed connection came in, as the specification has it: in the library both begin at once."""
        held: list[Any] = list(self.host.get_network().get_connections(peer_id))
        if not any(is_relayed(each) and each.direction == Direction.INBOUND for each in held):
            return False
        return bool(await super().initiate_hole_punch(peer_id))

    def _decode_observed_addrs(self, addr_bytes: list[bytes]) -> list[Multiaddr]:
        """A few plain addresses: each is dialled several times."""
        found = []
        for address in super()._decode_observed_addrs(addr_bytes[:PUNCHED_MAX]):
            try:
                found.append(Multiaddr(plain_address(str(address))))
            except NetworkError as error:
                log.debug("hole punching: %s", error.message)
        return found


class Relaying:
    """What one host does with relays, as its settings say. `may_reserve` tells whom we relay for."""

    def __init__(
        self,
        host: GuardedHost,
        entrance: Entrance,
        members: Members,
        settings: RelaySettings,
        may_reserve: Callable[[str], bool],
    ) -> None:
        self.on = settings.mode != "off"
        self._host, self._members, self._settings = host, members, settings
        limits = RelayLimits(
            duration=settings.seconds,
            data=settings.bytes,
            max_circuit_conns=settings.circuits,
            max_reservations=settings.reservations,
            reservation_ttl=RELAY_RESERVATION_SECONDS,
        )
        self._reserved: dict[str, tuple[Member, float]] = {}
        self._punching = Punching(host)
        self._protocol = GuardedRelay(
            host, entrance, limits, settings.mode == "serve", may_reserve, self._reserved.__contains__
        )
        # Without the role of a client: that would make a reservation with every relay we dial through.
        self._transport = CircuitV2Transport(host, self._protocol, RelayConfig(roles=RelayRole.STOP, limits=limits))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve, and keep the reservations that the settings ask for."""
        if not self.on:
            yield
            return
        async with (
            background_trio_service(self._protocol),
            background_trio_service(self._punching) if self._settings.punch else nullcontext(),
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(contained, self._keep, nursery)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    def addresses(self) -> list[str]:
        """Where we are reached through relays."""
        named = dict(map(split_address, self._settings.through))
        return [f"{named[relay]}/p2p/{relay}{CIRCUIT}" for relay in self._reserved]

    def forget(self, peer: str) -> None:
        """A peer is gone."""
        self._reserved.pop(peer, None)
        self._protocol.forget(peer)

    async def dial(self, peer: str, named: list[tuple[str, str]]) -> bool:
        """Whether a relay got us through to a peer: first (relay, address) it named, then our own members."""
        if not self.on:
            return False
        candidates = dict(named)
        for member in self._members.admitted:
            if self._host.get_peerstore().supports_protocols(ID.from_base58(member), [str(HOP)]):
                candidates.setdefault(member, "")
        candidates.pop(peer, None)
        for relay, address in list(candidates.items())[:RELAYS_TRIED]:
            with trio.move_on_after(RELAY_CALL_SECONDS):
                if await self._dial_through(relay, address, peer):
                    return True
        return False

    async def _dial_through(self, relay: str, address: str, peer: str) -> bool:
        peer_id, info = ID.from_base58(peer), PeerInfo(ID.from_base58(relay), [Multiaddr(address)] if address else [])
        try:
            raw = await self._transport.dial_peer_info(PeerInfo(peer_id, []), relay_info=info)
        except (*GONE, trio.TooSlowError, ValueError) as error:
            log.debug("%s does not get us through to %s: %s", relay, peer, error)
            return False
        try:
            await self._host.upgrade_outbound_connection(raw, peer_id)
        except (*GONE, trio.TooSlowError) as error:
            log.info("no connection with %s through %s: %s", peer, relay, error)
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await raw.close()
            return False
        return True

    def require_streams(self, peer: str) -> None:
        """Raises PeerLostError where a peer is only reached through a relay, and the settings keep that for less."""
        connections = self._host.get_network().get_connections(ID.from_base58(peer))
        if connections and not self._settings.streams and all(map(is_relayed, connections)):
            raise PeerLostError(
                f"{peer} is only reached through a relay, which carries no tensors.", "Set `p2p_relay_streams`."
            )

    def require_stream(self, stream: Any) -> None:
        """The same for a stream that a peer opened."""
        if not self._settings.streams and is_relayed(stream.muxed_conn):
            raise PeerLostError("A stream through a relay, which carries no tensors.")

    async def _keep(self, nursery: trio.Nursery) -> None:
        """A reservation with each of our relays while it is a member, renewed in time."""
        while True:
            for relay, _ in map(split_address, self._settings.through):
                member, now = self._members.admitted.get(relay), trio.current_time()
                with_whom, since = self._reserved.get(relay, (None, 0.0))
                if member is not None and (member is not with_whom or now - since > RELAY_RENEW_SECONDS):
                    await self._reserve(relay, member, nursery)
            await trio.sleep(RELAY_TICK)

    async def _reserve(self, relay: str, member: Member, nursery: trio.Nursery) -> None:
        peer_id, done = ID.from_base58(relay), False
        try:
            with trio.fail_after(RELAY_CALL_SECONDS):
                stream = await self._host.new_stream(peer_id, [HOP])
                done = await self._transport.reserve(stream, peer_id, nursery)
                await stream.close()
        except (*GONE, trio.TooSlowError, NetworkError) as error:
            log.info("no reservation with the relay %s: %s", relay, error)
        if done:
            self._reserved[relay] = (member, trio.current_time())
        else:
            self._reserved.pop(relay, None)
            await trio.sleep(RELAY_CALL_SECONDS)
