"""The libp2p host of the peer process: Noise and Yamux only, behind guards; hello, gossip, records, redialling."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.rcmgr import Direction
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from node.net import remembered
from node.net.bans import Bans
from node.net.bindings import Bindings
from node.net.book import CIRCUIT, Book, relay_of, split_address
from node.net.dht import RecordRules, Records
from node.net.entrance import DIAL_SECONDS, Entrance, close_quietly, make_swarm
from node.net.errors import NetworkError, PeerLostError
from node.net.gossip import GuardedPubsub
from node.net.guard import GONE, GuardedHost, Watch, contained, name_of
from node.net.handshake import Handshake, Self
from node.net.hotkey import peer_of, peer_text
from node.net.identity import peer_bytes
from node.net.limits import (
    DIRECT_SECONDS,
    DISCOVERY_SECONDS,
    HELLO_PROTOCOL,
    HELLO_SECONDS,
    STAKE_FRESH_SECONDS,
    WANTED_MEMBERS,
)
from node.net.members import Member, Members
from node.net.origins import TRUSTED, Origins, account_origin
from node.net.places import Places, Standing
from node.net.relay import Relaying, is_relayed
from node.net.score import Ledger
from node.net.settings import NetSettings
from node.net.stakes import Stakes
from node.net.topics import TOPICS
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.hello_pb2 import Contact

log = logging.getLogger(__name__)
REDIAL_TICK = 0.25
DIALS = 8


class PeerHost:
    """Everything that talks to peers. Make it, then `running()`. `wall` gives Unix seconds."""

    def __init__(self, settings: NetSettings, seed: bytes, stakes: Stakes, rules: RecordRules, wall: Any) -> None:
        self.settings, self.peer = settings, peer_text(peer_bytes(seed))
        self.members = Members()
        self.origins = Origins(settings.room.origin_ban)
        self.watch = Watch(self.members, Ledger(), self.origins, wall)
        self.watch.on_ban = self._banned
        self.bans = Bans(settings.folder, self.watch.ledger, self.origins.ledger, wall, self.watch.clock)
        self.stakes = stakes
        network = bytes.fromhex(settings.network)
        self.bindings = Bindings(network, stakes)
        self.book = Book(self.peer, [*settings.bootstrap, *settings.relay.through])
        versions = Versions(network=network, arch_version=settings.arch_version, vocab_version=settings.vocab_version)
        self.me = Self(versions, None, self.addresses)
        self.swarm = make_swarm(settings, seed)
        places = Places(settings.room, self._score, lambda origin, now: self.origins.banned(origin, now) is not None)
        self.entrance = Entrance(self.swarm, places, self.origins, self.book.is_named)
        self.host = GuardedHost(self.swarm, self.watch)
        self.gossip = GuardedPubsub(self.host, self.watch, self.bindings, network)
        self.gossip.drop = self.drop
        self.records = Records(self.host, self.watch, rules, self._may_write)
        self.handshake = Handshake(
            self.me, self.watch, self.bindings, self.book.learn, self.contacts, self.seen_host, self.place
        )
        self.relaying = Relaying(self.host, self.entrance, self.members, settings.relay, self._may_reserve)
        self.host.set_stream_handler(TProtocol(HELLO_PROTOCOL), self._answer_hello)
        self.swarm.register_notifee(_Notifee(self))
        self._nursery: trio.Nursery | None = None
        self._dialling: set[str] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen and serve; closes the listener on the way out, which the library's own `run` leaves open.

        Raises:
            NetworkError: the port is taken.
        """
        self.bans.load()
        for peer, addresses in remembered.load(self.settings.folder / remembered.PEERS_NAME).items():
            self.book.learn(peer, addresses)
        await self._require_port()
        listen = Multiaddr(
            f"/{'ip6' if ':' in self.settings.host else 'ip4'}/{self.settings.host}/tcp/{self.settings.port}"
        )
        async with (
            self.host.run([listen]),
            background_trio_service(self.gossip),
            background_trio_service(self.gossip.gossipsub),
            background_trio_service(self.records.node),
            self.relaying.running(),
            trio.open_nursery() as nursery,
        ):
            self._nursery = nursery
            await self.gossip.wait_until_ready()
            for topic in TOPICS:
                await self.gossip.subscribe(topic)
            for task in (self._redial, self._discover, self._refresh_stakes, self.records.sweep, self.bans.keep):
                nursery.start_soon(contained, task)
            peers = self.settings.folder / remembered.PEERS_NAME
            nursery.start_soon(contained, remembered.keep, peers, self.book, self.members.admitted)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True), trio.move_on_after(5):
                    await self.host.close()

    def spawn(self, task: Any, *arguments: Any) -> None:
        """Run a task while the host runs; what it raises ends the task only."""
        if self._nursery is not None:
            self._nursery.start_soon(contained, task, *arguments)

    def addresses(self) -> list[str]:
        """Where peers reach us: what the operator announces, else where we listen."""
        direct = list(self.settings.announce) or [str(address) for address in self.host.get_transport_addrs()]
        return direct + self.relaying.addresses()

    def contacts(self) -> list[Contact]:
        """The members with addresses, for a peer's address book."""
        return [
            Contact(peer=peer_of(member.peer), addresses=member.addresses)
            for member in self.members.admitted.values()
            if member.addresses
        ]

    def seen_host(self, peer: str) -> str | None:
        """The IP address that a connected peer is seen at."""
        for connection in self.swarm.get_connections(ID.from_base58(peer)):
            if is_relayed(connection):
                continue
            for address in connection.get_transport_addresses():
                for name in ("ip4", "ip6"):
                    if name in {protocol.name for protocol in address.protocols()}:
                        return str(address.value_for_protocol(name))
        return None

    async def connect(self, text: str, seconds: float) -> None:
        """Connect to /…/p2p/PEER and wait until both sides admitted each other.

        Raises:
            NetworkError: not an address, refused (with the reason), or PeerLostError.
        """
        peer, address = split_address(text)
        self.book.learn(peer, [address])
        with self.entrance.wanting(peer):
            await self.dial(peer, [address], seconds)
        if await self.members.wait_for(peer, seconds) is None:
            if refusal := self.members.refused.get(peer):
                raise NetworkError(refusal.reason, "", refusal.code)
            raise PeerLostError(f"{peer} did not say hello.")

    async def dial(self, peer: str, addresses: list[str], seconds: float) -> None:
        """A connection to the peer, without waiting for the hello: at its addresses, else through a relay.

        Raises:
            PeerLostError: it is not reached. NetworkError: it is banned.
        """
        peer_id = ID.from_base58(peer)
        if reason := self.watch.ledger.banned(peer, self.watch.now()):
            raise NetworkError(f"{peer} is banned: {reason}", "", Refusal.BANNED)
        # A failed attempt blocks the library's dialling for a minute; our own book decides when to try.
        self.swarm.unblock_peer(peer_id)
        direct = [Multiaddr(text) for text in addresses if relay_of(text) is None]
        try:
            with trio.fail_after(min(seconds, DIRECT_SECONDS) if self.relaying.on else seconds):
                await self.host.connect(PeerInfo(peer_id, direct))
        except (*GONE, trio.TooSlowError, ValueError) as error:
            if await self.relaying.dial(peer, [found for text in addresses if (found := relay_of(text))]):
                return
            where = ", ".join(addresses) or "any address"
            raise PeerLostError(f"{peer} cannot be reached at {where}.", "Is it running?") from error

    def place(self, peer: str, account: str, stake: int) -> None:
        """Find room for a peer that has said hello, as an account with a stake in wei.

        Raises:
            NetworkError: BANNED, where it comes from; BUSY.
        """
        named = self.book.is_named(peer)
        places = self.entrance.places
        standing = places.standing(peer, account, stake >= self.stakes.minimum, named)
        origins = {place.origin for place in places.of_peer(peer)}
        if standing is not Standing.UNSTAKED:
            origins = {TRUSTED if named else account_origin(account)}
        for origin in origins:
            if reason := self.origins.banned(origin, self.watch.clock()):
                raise NetworkError(f"{origin} is banned: {reason}", "Staked peers are judged alone.", Refusal.BANNED)
            self.origins.note(peer, origin)
        places.prove(peer, account, standing)

    def _score(self, peer: str) -> int:
        return self.watch.ledger.score(peer, self.watch.now())

    def drop(self, peer: str) -> None:
        """Close the connections that a peer has now, soon. The library's own way would also forget, and leave open, one
        that comes while it closes the others."""
        for connection in list(self.swarm.get_connections(ID.from_base58(peer))):
            self.spawn(close_quietly, connection)

    def _banned(self, peer: str) -> None:
        self.members.refuse(peer, Refusal(code=Refusal.BANNED, reason="banned"))
        self.book.refused(peer, trio.current_time())
        self.drop(peer)

    async def _require_port(self) -> None:
        """The library takes a busy port for granted and listens nowhere."""
        if not self.settings.port:
            return
        try:
            probe = await trio.open_tcp_listeners(self.settings.port, host=self.settings.host)
        except OSError as error:
            raise NetworkError(
                f"The port {self.settings.port} of {self.settings.host} is not free: {error.strerror or error}.",
                "Set `p2p_port` to another, or 0.",
            ) from error
        for listener in probe:
            await listener.aclose()

    def _may_write(self, peer: str) -> bool:
        member = self.members.admitted.get(peer)
        return member is not None and bool(member.account) and member.stake >= self.stakes.minimum

    def _may_reserve(self, peer: str) -> bool:
        return self._may_write(peer) or self.book.is_named(peer)

    async def connected(self, peer: str, outbound: bool, connection: Any) -> None:
        """A connection is there: greet, or wait to be greeted. One more of a member is like the first."""
        if not outbound:
            if peer in self.members.admitted:
                self._place_again(peer, connection)
                return
            # A hello that is refused closes the connection itself, once the reason is read.
            await trio.sleep(HELLO_SECONDS + 2)
            if peer not in self.members.admitted:
                self.drop(peer)
            return
        try:
            stream = await self.host.new_stream(ID.from_base58(peer), [TProtocol(HELLO_PROTOCOL)])
            await self.handshake.greet(stream)
        except (*GONE, trio.TooSlowError, NetworkError) as error:
            self._not_admitted(peer, error)
            return
        await self._admitted(peer)

    def _place_again(self, peer: str, connection: Any) -> None:
        member, place = self.members.admitted[peer], self.entrance.place_of(connection)
        try:
            self.place(peer, member.account, member.stake)
        except NetworkError as error:
            log.debug("one more connection of %s: %s", peer, error.message)
            if place is not None:
                place.close()

    async def _admitted(self, peer: str) -> None:
        self.book.reached(peer)
        await self.records.node.add_peer(ID.from_base58(peer))

    def _not_admitted(self, peer: str, error: Exception) -> None:
        if isinstance(error, NetworkError) and not isinstance(error, PeerLostError):
            self.members.leave(peer)  # it may have been one on a connection that was just replaced by this one
            self.members.refuse(peer, error.refusal())
            self.book.refused(peer, trio.current_time())
            self.watch.charge_error(peer, error)
        if peer not in self.members.admitted:
            self.drop(peer)

    async def _answer_hello(self, stream: Any) -> None:
        peer = name_of(stream.muxed_conn.peer_id)
        if await self.handshake.answer(stream, self._refuses):
            await self._admitted(peer)
        else:
            self.drop(peer)

    def _refuses(self, peer: str, error: NetworkError) -> None:
        self.watch.charge_error(peer, error)
        self.members.leave(peer)
        self.members.refuse(peer, Refusal(code=error.code, reason=f"We refuse it: {error.message}"))
        self.book.refused(peer, trio.current_time())

    def disconnected(self, peer: str) -> None:
        """A connection is gone; with the last one the member leaves."""
        if self.swarm.get_connections(ID.from_base58(peer)):
            return
        self.members.leave(peer)
        self.gossip.forget(peer)
        self.host.forget(peer)
        self.relaying.forget(peer)

    async def _redial(self) -> None:
        while True:
            now, connected = trio.current_time(), set(self.members.admitted)
            for contact in self.book.due(now, connected | self._dialling, WANTED_MEMBERS)[
                : DIALS - len(self._dialling)
            ]:
                if self.watch.ledger.banned(contact.peer, self.watch.now()) is None:
                    self._dialling.add(contact.peer)
                    self.spawn(self._dial_again, contact.peer, contact.addresses)
            await trio.sleep(REDIAL_TICK)

    async def _dial_again(self, peer: str, addresses: list[str]) -> None:
        # Set before the attempt, so that a hello that is refused can set a longer pause.
        self.book.failed(peer, trio.current_time())
        try:
            await self.dial(peer, addresses, DIAL_SECONDS)
            await self.members.wait_for(peer, HELLO_SECONDS)
        except NetworkError as error:
            log.debug("redial: %s", error.message)
        finally:
            self._dialling.discard(peer)

    async def _refresh_stakes(self) -> None:
        """Stake comes and goes while a peer is connected."""
        while True:
            await trio.sleep(STAKE_FRESH_SECONDS)
            for member in list(self.members.admitted.values()):
                before, member.stake = member.stake, await self.stakes.of(member.account)
                if (before < self.stakes.minimum) != (member.stake < self.stakes.minimum):
                    self._place_anew(member)

    def _place_anew(self, member: Member) -> None:
        """A stake that came or went changes who has to go first."""
        try:
            self.place(member.peer, member.account, member.stake)
        except NetworkError as error:
            self.members.refuse(member.peer, error.refusal())
            self.drop(member.peer)

    async def _discover(self) -> None:
        while True:
            await trio.sleep(DISCOVERY_SECONDS)
            try:
                for peer in await self.records.neighbours():
                    known = self.swarm.peerstore.addrs(ID.from_base58(peer))
                    direct = [str(address) for address in known if CIRCUIT not in str(address)]
                    self.book.learn(peer, [address.partition("/p2p/")[0] for address in direct][:2])
            except (*GONE, ValueError) as error:
                log.debug("discovery: %s", error)


class _Notifee:
    """The library awaits every notifee before it goes on, so these only start tasks."""

    def __init__(self, owner: PeerHost) -> None:
        self._owner = owner

    async def connected(self, _network: Any, connection: Any) -> None:
        peer = name_of(connection.muxed_conn.peer_id)
        self._owner.spawn(self._owner.connected, peer, connection.direction == Direction.OUTBOUND, connection)

    async def disconnected(self, _network: Any, connection: Any) -> None:
        self._owner.disconnected(name_of(connection.muxed_conn.peer_id))

    async def opened_stream(self, _network: Any, _stream: Any) -> None:
        """Nothing to do."""

    async def closed_stream(self, _network: Any, _stream: Any) -> None:
        """Nothing to do."""

    async def listen(self, _network: Any, _address: Any) -> None:
        """Nothing to do."""

    async def listen_close(self, _network: Any, _address: Any) -> None:
        """Nothing to do."""
