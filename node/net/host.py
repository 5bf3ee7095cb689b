"""The libp2p host of the peer process: Noise and Yamux only, behind guards; hello, gossip, records, redialling."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from libp2p import create_yamux_muxer_option, new_swarm
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.rcmgr import Direction
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from node.errors import DiskError
from node.net import remembered
from node.net.bindings import Bindings
from node.net.book import Book, split_address
from node.net.dht import RecordRules, Records
from node.net.errors import NetworkError, PeerLostError
from node.net.gossip import GuardedPubsub
from node.net.guard import GONE, GuardedHost, Watch, contained, name_of
from node.net.handshake import Handshake, Self
from node.net.hotkey import peer_of, peer_text
from node.net.identity import peer_bytes
from node.net.limits import DISCOVERY_SECONDS, HELLO_PROTOCOL, HELLO_SECONDS, STAKE_FRESH_SECONDS, WANTED_MEMBERS
from node.net.members import Members
from node.net.score import Ledger
from node.net.settings import NetSettings
from node.net.stakes import Stakes
from node.net.topics import TOPICS
from node.net.wire.common_pb2 import Refusal, Versions
from node.net.wire.hello_pb2 import Contact
from node.paths import read_bounded, write_atomic

log = logging.getLogger(__name__)
DIAL_SECONDS = 15.0
REDIAL_TICK = 0.25
DIALS = 8
BANS_NAME = "bans.json"


class PeerHost:
    """Everything that talks to peers. Make it, then `running()`. `wall` gives Unix seconds."""

    def __init__(self, settings: NetSettings, seed: bytes, stakes: Stakes, rules: RecordRules, wall: Any) -> None:
        self.settings, self.peer = settings, peer_text(peer_bytes(seed))
        self.members = Members()
        self.watch = Watch(self.members, Ledger(), wall)
        self.watch.on_ban = self._banned
        self.stakes = stakes
        network = bytes.fromhex(settings.network)
        self.bindings = Bindings(network, stakes)
        self.book = Book(self.peer, settings.bootstrap)
        versions = Versions(network=network, arch_version=settings.arch_version, vocab_version=settings.vocab_version)
        self.me = Self(versions, None, self.addresses)
        self.swarm = _swarm(settings, seed)
        self.host = GuardedHost(self.swarm, self.watch)
        self.gossip = GuardedPubsub(self.host, self.watch, self.bindings, network)
        self.gossip.drop = self.drop
        self.records = Records(self.host, self.watch, rules, self._may_write)
        self.handshake = Handshake(self.me, self.watch, self.bindings, self.book.learn, self.contacts, self.seen_host)
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
        self._load_bans()
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
            trio.open_nursery() as nursery,
        ):
            self._nursery = nursery
            await self.gossip.wait_until_ready()
            for topic in TOPICS:
                await self.gossip.subscribe(topic)
            for task in (self._redial, self._discover, self._refresh_stakes, self.records.sweep):
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
        if self.settings.announce:
            return list(self.settings.announce)
        return [str(address) for address in self.host.get_transport_addrs()]

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
        await self.dial(peer, [address], seconds)
        if await self.members.wait_for(peer, seconds) is None:
            if refusal := self.members.refused.get(peer):
                raise NetworkError(refusal.reason, "", refusal.code)
            raise PeerLostError(f"{peer} did not say hello.")

    async def dial(self, peer: str, addresses: list[str], seconds: float) -> None:
        """A connection to the peer, without waiting for the hello; raises PeerLostError."""
        peer_id = ID.from_base58(peer)
        if reason := self.watch.ledger.banned(peer, self.watch.now()):
            raise NetworkError(f"{peer} is banned: {reason}", "", Refusal.BANNED)
        # A failed attempt blocks the library's dialling for a minute; our own book decides when to try.
        self.swarm.unblock_peer(peer_id)
        try:
            with trio.fail_after(seconds):
                await self.host.connect(PeerInfo(peer_id, [Multiaddr(text) for text in addresses]))
        except (*GONE, trio.TooSlowError, ValueError) as error:
            raise PeerLostError(f"{peer} cannot be reached at {', '.join(addresses)}.", "Is it running?") from error

    def drop(self, peer: str) -> None:
        """Close a peer's connections soon."""
        self.spawn(self._close, peer)

    async def _close(self, peer: str) -> None:
        try:
            await self.swarm.close_peer(ID.from_base58(peer))
        except (*GONE, ValueError) as error:
            log.debug("closing %s: %s", peer, error)

    def _banned(self, peer: str) -> None:
        self.members.refuse(peer, Refusal(code=Refusal.BANNED, reason="banned"))
        self.book.refused(peer, trio.current_time())
        self.drop(peer)
        now = self.watch.now()
        self.spawn(self._save_bans, json.dumps(self.watch.ledger.dump(now)).encode())

    async def _save_bans(self, data: bytes) -> None:
        try:
            await trio.to_thread.run_sync(write_atomic, self.settings.folder / BANS_NAME, data)
        except DiskError as error:
            log.warning("the bans are not saved: %s", error.message)

    def _load_bans(self) -> None:
        path: Path = self.settings.folder / BANS_NAME
        try:
            table = json.loads(read_bounded(path))
        except FileNotFoundError:
            return
        except (DiskError, ValueError) as error:
            log.warning("the list of bans is unusable: %s", error)
            return
        if isinstance(table, dict):
            self.watch.ledger.load(table, self.watch.now())

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

    async def connected(self, peer: str, outbound: bool) -> None:
        """A connection is there: greet, or wait to be greeted."""
        if not outbound:
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

    async def _admitted(self, peer: str) -> None:
        self.book.reached(peer)
        await self.records.node.add_peer(ID.from_base58(peer))

    def _not_admitted(self, peer: str, error: Exception) -> None:
        if isinstance(error, NetworkError) and not isinstance(error, PeerLostError):
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
                member.stake = await self.stakes.of(member.account)

    async def _discover(self) -> None:
        while True:
            await trio.sleep(DISCOVERY_SECONDS)
            try:
                for peer in await self.records.neighbours():
                    known = self.swarm.peerstore.addrs(ID.from_base58(peer))
                    self.book.learn(peer, [str(address).partition("/p2p/")[0] for address in known][:2])
            except (*GONE, ValueError) as error:
                log.debug("discovery: %s", error)


class _Notifee:
    """The library awaits every notifee before it goes on, so these only start tasks."""

    def __init__(self, owner: PeerHost) -> None:
        self._owner = owner

    async def connected(self, _network: Any, connection: Any) -> None:
        peer = name_of(connection.muxed_conn.peer_id)
        self._owner.spawn(self._owner.connected, peer, connection.direction == Direction.OUTBOUND)

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


def _swarm(settings: NetSettings, seed: bytes) -> Any:
    keys = create_new_key_pair(seed)
    limits = ConnectionConfig(deny_list=settings.deny, max_connections_per_peer=2, dial_timeout=DIAL_SECONDS)
    swarm: Any = new_swarm(
        key_pair=keys,
        sec_opt={NOISE: Noise(keys, noise_privkey=new_noise_key().private_key)},
        muxer_opt=create_yamux_muxer_option(),
        connection_config=limits,
        retry_config=RetryConfig(max_retries=0),
    )
    # The library's own dialling would call peers that we refused.
    swarm.auto_connector.maybe_connect = trio.lowlevel.checkpoint
    return swarm
