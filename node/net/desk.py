"""What the node may ask of the peer network, one method for each request."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID

from node.net.errors import NetworkError, PeerLostError
from node.net.gossip import Follower
from node.net.guard import GONE, name_of
from node.net.host import PeerHost
from node.net.limits import HELLO_PROTOCOL, PUBLISH_PAUSE
from node.net.score import Offence
from node.net.topics import seal, topic_of
from node.net.wire.common_pb2 import Refusal
from node.net.wire.control_pb2 import Reply, Request

PROTOCOL: Final = re.compile(r"^/ponw/[a-z0-9/._-]{1,58}$")
LISTENERS_MAX: Final = 32
Incoming = Callable[[str, Any], Awaitable[None]]


class Desk:
    """Requests on one `PeerHost`."""

    def __init__(self, host: PeerHost) -> None:
        self._host = host
        self._listening: set[str] = set()
        self._publishing = trio.Lock()

    async def handle(self, kind: str | None, request: Request) -> Reply:
        """Answer a request that is one question and one answer.

        Raises:
            PonwError: refused, or it failed; NetworkError has the code.
        """
        match kind:
            case "state":
                return self._state()
            case "peers":
                return await self._peers()
            case "connect":
                await self._host.connect(request.connect.address, request.connect.timeout_ms / 1000)
            case "publish":
                return Reply(done=Reply.Done(number=await self.publish(request.publish.topic, request.publish.body)))
            case "put":
                await self._require_writer()
                await self._host.records.put(request.put.key, request.put.value)
            case "get":
                value = await self._host.records.get(request.get)
                return Reply(value=Reply.Value(found=value is not None, value=value or b""))
            case "ban":
                self._host.watch.ban(request.ban.peer, request.ban.reason, request.ban.seconds)
            case "charge":
                self._host.watch.charge(request.charge.peer, Offence.MALFORMED, request.charge.reason)
            case "versions":
                self._host.me.versions.MergeFrom(request.versions)
            case "binding":
                self._host.me.binding = request.binding
            case _:
                raise NetworkError("An unknown request.", "Both processes must be of one version.")
        return Reply(done=Reply.Done())

    async def publish(self, topic: str, body: bytes) -> int:
        """Announce, paced; the number of peers that follow the topic.

        Raises:
            NetworkError: the topic does not take it, or we are not staked.
        """
        host, kind = self._host, topic_of(topic)
        now = host.watch.now()
        await self._require_writer()
        data = seal(kind, body, host.me.versions, host.me.binding, now)
        async with self._publishing:
            await host.gossip.publish(topic, data)
            # The library's queues hold 32 and drop the rest without a word.
            await trio.sleep(PUBLISH_PAUSE)
        return len(host.gossip.peer_topics.get(topic, ()))

    async def open_stream(self, peer: str, protocol: str, seconds: float) -> Any:
        """A stream of `protocol` to a peer, connecting first where there is no connection.

        Raises:
            NetworkError: NOT_FOUND where the peer does not serve the protocol. PeerLostError: it is not reached.
        """
        host = self._host
        if not PROTOCOL.match(protocol):
            raise NetworkError(f"{protocol[:70]} is no protocol of ours.", "The form is /ponw/NAME/VERSION.")
        if peer not in host.members.admitted:
            addresses = host.book.addresses(peer)
            if addresses or host.relaying.on:
                with host.entrance.wanting(peer):
                    await host.dial(peer, addresses, seconds)
            if await host.members.wait_for(peer, seconds) is None:
                raise PeerLostError(f"{peer} is not connected.", "`ponw peers` shows who is.")
        host.relaying.require_streams(peer)
        try:
            with trio.fail_after(seconds):
                return await host.host.new_stream(ID.from_base58(peer), [TProtocol(protocol)])
        except (*GONE, trio.TooSlowError) as error:
            raise PeerLostError(
                f"{peer} does not open {protocol} ({type(error).__name__}).", "It may not serve it.", Refusal.NOT_FOUND
            ) from error

    def listen(self, protocol: str, incoming: Incoming) -> None:
        """Serve a protocol with `incoming(peer, stream)`.

        Raises:
            NetworkError: not a protocol's name, served already, or too many.
        """
        if not PROTOCOL.match(protocol) or protocol == HELLO_PROTOCOL or len(self._listening) >= LISTENERS_MAX:
            raise NetworkError(f"{protocol[:70]} cannot be served.", "The form is /ponw/NAME/VERSION.")
        if protocol in self._listening:
            raise NetworkError(f"{protocol} is served already.", "Close the other listener first.", Refusal.BUSY)

        async def handler(stream: Any) -> None:
            self._host.relaying.require_stream(stream)
            await incoming(name_of(stream.muxed_conn.peer_id), stream)

        self._listening.add(protocol)
        self._host.host.set_stream_handler(TProtocol(protocol), handler)

    def unlisten(self, protocol: str) -> None:
        """Serve it no more."""
        if protocol in self._listening:
            self._listening.discard(protocol)
            self._host.host.remove_stream_handler(TProtocol(protocol))

    def follow(self, topic: str) -> Follower:
        """Read a topic; raises NetworkError where there is none of that name."""
        return self._host.gossip.follow(topic_of(topic).name)

    def unfollow(self, follower: Follower) -> None:
        """The reader is done."""
        self._host.gossip.unfollow(follower)

    async def _require_writer(self) -> None:
        host = self._host
        if host.me.binding is None:
            await host.bindings.require_stake("")
            return
        await host.bindings.writer(host.peer, host.me.binding, host.watch.now())

    def _state(self) -> Reply:
        host = self._host
        account = "0x" + host.me.binding.account.hex() if host.me.binding else ""
        addresses = [f"{address}/p2p/{host.peer}" for address in host.addresses()]
        return Reply(
            state=Reply.State(
                peer=host.peer,
                addresses=addresses,
                account=account,
                versions=host.me.versions,
                members=len(host.members.admitted),
            )
        )

    async def _peers(self) -> Reply:
        host, now = self._host, self._host.watch.now()
        table: dict[str, Reply.Peer] = {}
        for contact in host.book:
            table[contact.peer] = Reply.Peer(peer=contact.peer, addresses=contact.addresses, state="known")
        for peer, refusal in host.members.refused.items():
            table[peer] = Reply.Peer(peer=peer, state="refused", reason=refusal.reason)
        for peer, entry in host.watch.ledger.bans(now).items():
            table[peer] = Reply.Peer(peer=peer, state="banned", reason=f"{entry.reason} (until {entry.banned_until})")
        for peer, member in list(host.members.admitted.items()):
            stake = await host.stakes.of(member.account)
            table[peer] = Reply.Peer(
                peer=peer,
                account=member.account,
                stake=str(stake),
                versions=member.versions,
                addresses=member.addresses,
                since=member.since,
                state="connected",
            )
        for peer, row in table.items():
            row.score = host.watch.ledger.score(peer, now)
        return Reply(peers=Reply.Peers(peers=table.values()))
