"""A bare libp2p host with a key and an account of its own, that says what it likes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from multiaddr import Multiaddr

from bench.accounts import NumberedAccount
from node.net.hotkey import peer_text
from node.net.identity import peer_bytes, sign_binding
from node.net.limits import HELLO_BYTES, HELLO_PROTOCOL
from node.net.wire.common_pb2 import Versions
from node.net.wire.hello_pb2 import Binding, Hello, HelloAnswer

BINDING_SECONDS: Final = 3600
CLOSING_SECONDS: Final = 2.0


@dataclass
class Sender:
    """A host, not yet connected to `info`, on a network of 32 bytes."""

    seed: bytes
    host: Any
    info: Any
    network: bytes
    messages: int = 0
    connected: bool = False
    banned: bool = False
    """What the other side said."""

    @property
    def name(self) -> str:
        """Its peer id."""
        return peer_text(peer_bytes(self.seed))

    async def connect(self) -> None:
        """A connection, whatever became of the one before."""
        swarm = self.host.get_network()
        await swarm.close_peer(self.info.peer_id)
        swarm.connections.pop(self.info.peer_id, None)  # the library keeps connections that are going down
        swarm.unblock_peer(self.info.peer_id)
        await self.host.connect(self.info)
        self.connected = True

    async def stream(self, protocol: str) -> Any:
        """A new stream; where there is none to be had, the connection counts as lost."""
        self.connected, was = False, self.connected
        stream = await self.host.new_stream(self.info.peer_id, [protocol])
        self.connected = was
        return stream

    def binding(self, account: int) -> Binding:
        """The numbered account's word for this key."""
        expiry = int(time.time()) + BINDING_SECONDS
        return sign_binding(NumberedAccount(account), peer_bytes(self.seed), self.network, expiry)

    async def hello(self, account: int | None) -> HelloAnswer:
        """A proper hello, so that the guarded protocols listen; the answer."""
        binding = None if account is None else self.binding(account)
        data = Hello(versions=Versions(network=self.network), binding=binding).SerializeToString()
        stream = await self.stream(HELLO_PROTOCOL)
        await stream.write(len(data).to_bytes(4, "big") + data)
        return HelloAnswer.FromString((await stream.read(HELLO_BYTES))[4:])

    def announcement(self, topic: str, data: bytes) -> bytes:
        """A gossip RPC with one message that this key signs."""
        self.messages += 1
        keys, number = create_new_key_pair(self.seed), time.time_ns() + self.messages
        message = rpc_pb2.Message(
            data=data, topicIDs=[topic], from_id=peer_bytes(self.seed), seqno=number.to_bytes(8, "big")
        )
        message.signature = keys.private_key.sign(b"libp2p-pubsub:" + message.SerializeToString())
        message.key = keys.public_key.serialize()
        return bytes(rpc_pb2.RPC(publish=[message]).SerializeToString())


@asynccontextmanager
async def sender(address: str, seed: bytes, network: bytes) -> AsyncIterator[Sender]:
    """One bare host towards an address, not yet connected."""
    host = new_host(key_pair=create_new_key_pair(seed))
    info = info_from_p2p_addr(Multiaddr(address))
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        try:
            yield Sender(seed, host, info, network)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(CLOSING_SECONDS):
                await host.close()  # `run` leaves the connections open
