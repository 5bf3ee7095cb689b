"""Gossipsub 1.1 behind guards: a read loop that junk cannot end, validators off the loop, paced publishing.

Differs from the library's Pubsub where FACTS.md measured trouble: parse errors stay inside, messages of one peer are
handled one after another (its stream is the back-pressure), and a delivery goes to bounded queues that count losses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import trio
from libp2p.abc import INetStream
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.utils import maybe_consume_signed_record
from libp2p.pubsub.validators import signature_validator
from libp2p.utils.varint import read_varint_prefixed_bytes_limited

from node.net.bindings import Bindings
from node.net.errors import IdentityError, NetworkError, malformed
from node.net.guard import GONE, Buckets, GuardedHost, Watch, name_of
from node.net.limits import ENVELOPE_BYTES, GOSSIP_FRAME_BYTES, GOSSIP_PARTS, GOSSIP_RATE, SUBSCRIBER_QUEUE
from node.net.score import Offence
from node.net.topics import TOPICS, Topic, unseal
from node.net.wire.common_pb2 import Refusal

log = logging.getLogger(__name__)
HEARTBEAT_SECONDS = 1
"""The library's default of 120 leaves a mesh unrepaired for two minutes."""


def make_router() -> GossipSub:
    """Meshsub 1.1 (1.2 costs twice the CPU); limits are ours, in GuardedPubsub, so the library's 10/s is off."""
    return GossipSub(
        protocols=[PROTOCOL_ID_V11],
        degree=6,
        degree_low=4,
        degree_high=12,
        heartbeat_interval=HEARTBEAT_SECONDS,
        spam_protection_enabled=False,
        adaptive_gossip_enabled=False,
        eclipse_protection_enabled=False,
    )


@dataclass(eq=False)
class Follower:
    """One reader of a topic: a bounded queue of (peer, body, lost before it)."""

    topic: str
    send: trio.MemorySendChannel[tuple[str, bytes, int]]
    receive: trio.MemoryReceiveChannel[tuple[str, bytes, int]]
    lost: int = field(default=0)

    def offer(self, peer: str, body: bytes) -> None:
        """Queue one; the oldest goes when the reader is too slow."""
        try:
            self.send.send_nowait((peer, body, self.lost))
        except trio.WouldBlock:
            self.receive.receive_nowait()
            self.lost += 1
            self.send.send_nowait((peer, body, self.lost))


class GuardedPubsub(Pubsub):
    """The library's Pubsub with its edges covered."""

    def __init__(self, host: GuardedHost, watch: Watch, bindings: Bindings, network: bytes) -> None:
        self.gossipsub = make_router()
        super().__init__(host, self.gossipsub, allowed_topics=set(TOPICS), max_inbound_rpc_size=GOSSIP_FRAME_BYTES)
        self._watch, self._bindings, self._network = watch, bindings, network
        self._rates = Buckets(GOSSIP_RATE)
        self._followers: set[Follower] = set()
        self.drop: Callable[[str], None] = lambda _: None
        """Closes the connections of a peer; must not block."""
        # A restarted process must not repeat numbers that others still remember.
        self.counter = time.time_ns() // 1000

    def forget(self, peer: str) -> None:
        """A peer is gone: its rate starts afresh."""
        self._rates.forget(peer)

    def follow(self, topic: str) -> Follower:
        """A new reader of a topic."""
        send, receive = trio.open_memory_channel[tuple[str, bytes, int]](SUBSCRIBER_QUEUE)
        follower = Follower(topic, send, receive)
        self._followers.add(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """The reader is done."""
        self._followers.discard(follower)

    async def stream_handler(self, stream: INetStream) -> None:
        """Read a peer's messages until it stops; after junk the whole connection goes, so that both start afresh."""
        peer = stream.muxed_conn.peer_id
        try:
            await self.continuously_read_stream(stream)
        except GONE as error:
            log.debug("gossip of %s ended: %s", peer, error)
        except Exception:
            self.drop(name_of(peer))
            raise
        finally:
            self._handle_dead_peer(peer)

    async def continuously_read_stream(self, stream: INetStream) -> None:
        """One RPC after another, each handled before the next is read."""
        peer = stream.muxed_conn.peer_id
        while self.manager.is_running:
            raw = await read_varint_prefixed_bytes_limited(stream, GOSSIP_FRAME_BYTES)
            rpc = rpc_pb2.RPC()
            rpc.ParseFromString(raw)
            if len(rpc.publish) > GOSSIP_PARTS or len(rpc.subscriptions) > self.max_subscriptions_per_rpc:
                raise malformed("A gossip RPC of too many parts.", Refusal.TOO_LARGE)
            if not maybe_consume_signed_record(rpc, self.host, peer):
                raise malformed("A gossip RPC with a forged address record.")
            for subscription in rpc.subscriptions:
                self.handle_subscription(peer, subscription)
            for message in rpc.publish:
                await self.push_msg(peer, message)
            if rpc.HasField("control"):
                await self.router.handle_rpc(rpc, peer)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Check a message, deliver it and pass it on. What only a forwarder at fault can send costs it score."""
        if msg_forwarder == self.my_id:
            self._mark_msg_seen(msg)
            await self.router.publish(msg_forwarder, msg)
            return
        forwarder = name_of(msg_forwarder)
        if not self._rates.take(forwarder, trio.current_time()):
            self._watch.charge(forwarder, Offence.FLOOD, "too many announcements")
            return
        if self._is_msg_seen(msg) or self.is_peer_blacklisted(msg_forwarder):
            return
        topic = self._structure(msg)
        if not signature_validator(msg):
            self._watch.charge(forwarder, Offence.FORGED, "an announcement with a forged signature")
            return
        self._mark_msg_seen(msg)
        origin = ID(msg.from_id)
        if origin == self.my_id or self.is_peer_blacklisted(origin):
            return
        if await self._valid(topic, name_of(origin), msg, forwarder):
            await self.router.publish(msg_forwarder, msg)

    def _structure(self, msg: rpc_pb2.Message) -> Topic:
        if len(msg.topicIDs) != 1 or msg.topicIDs[0] not in TOPICS:
            raise malformed("An announcement without one known topic.")
        topic = TOPICS[msg.topicIDs[0]]
        if len(msg.data) > topic.limit + ENVELOPE_BYTES:
            raise malformed(f"{topic.name}: {len(msg.data)} bytes.", Refusal.TOO_LARGE)
        if len(msg.from_id) > 64 or len(msg.seqno) > 16 or len(msg.key) > 128 or len(msg.signature) > 128:
            raise malformed("An announcement with an oversized header.", Refusal.TOO_LARGE)
        return topic

    async def _valid(self, topic: Topic, origin: str, msg: rpc_pb2.Message, forwarder: str) -> bool:
        now = self._watch.now()
        try:
            envelope = unseal(topic, msg.data, self._network, now)
            await self._bindings.writer(origin, envelope.binding, now)
        except NetworkError as error:
            self._blame(error, origin, forwarder)
            return False
        for follower in self._followers:
            if follower.topic == topic.name:
                follower.offer(origin, envelope.body)
        return True

    def _blame(self, error: NetworkError, origin: str, forwarder: str) -> None:
        """The origin signed what is wrong; a forwarder should have stopped it, unless its view may differ from ours."""
        if error.code == Refusal.NOT_STAKED:
            self._watch.charge(origin, Offence.UNSTAKED_WRITE, error.message)
        elif isinstance(error, IdentityError) or error.code in {Refusal.MALFORMED, Refusal.TOO_LARGE}:
            for peer in {origin, forwarder}:
                self._watch.charge_error(peer, error)
