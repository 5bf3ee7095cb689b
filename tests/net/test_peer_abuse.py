"""A hostile peer sends junk on every protocol and topic: the process stays, the sender is banned, others are served."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from node.net.client import Network
from node.net.identity import peer_bytes, peer_text, sign_binding
from node.net.wire.common_pb2 import Versions
from node.net.wire.gossip_pb2 import Envelope, Heartbeat
from node.net.wire.hello_pb2 import Contact, Hello
from tests.net.peer_nodes import NETWORK, Signer, ids, settings, stake_file, until

pytestmark = pytest.mark.process
COUNT = int(os.environ.get("PONW_ABUSE_COUNT", "40"))
"""Messages a case; `make chaos` sends 10,000."""
NOW_OFFSET = 3600
GOSSIP, KAD, HELLO = "/meshsub/1.1.0", "/ipfs/kad/1.0.0", "/ponw/hello/1"


@dataclass
class Target:
    """An honest node, an honest peer of it, and where to reach it."""

    node: Network
    friend: Network

    @property
    def address(self) -> str:
        return self.node.addresses()[0]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder: Path = tmp_path_factory.mktemp("t")
    stake_file(folder, 1, 2, 4)
    with Network.start(settings(folder, "t"), Signer(1)) as node:
        with Network.start(settings(folder, "f", node.addresses()[0]), Signer(2)) as friend:
            until(lambda: node.me in ids(friend))
            yield Target(node, friend)


class Attacker:
    """A bare libp2p host with a key of its own."""

    def __init__(self, seed: bytes, host: Any, peer_id: Any) -> None:
        self.seed, self.host, self.peer_id = seed, host, peer_id

    async def stream(self, protocol: str) -> Any:
        return await self.host.new_stream(self.peer_id, [protocol])

    async def hello(self, account: int | None) -> None:
        """A proper hello, so that the guarded protocols listen."""
        import time

        binding = None
        if account is not None:
            expiry = int(time.time()) + NOW_OFFSET
            binding = sign_binding(Signer(account), peer_bytes(self.seed), bytes.fromhex(NETWORK), expiry)
        data = Hello(versions=Versions(network=bytes.fromhex(NETWORK)), binding=binding).SerializeToString()
        stream = await self.stream(HELLO)
        await stream.write(len(data).to_bytes(4, "big") + data)
        await stream.read(1 << 16)


@asynccontextmanager
async def attacker(address: str, seed: bytes) -> Any:
    from libp2p import new_host
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.peer.peerinfo import info_from_p2p_addr
    from multiaddr import Multiaddr

    host = new_host(key_pair=create_new_key_pair(seed))
    info = info_from_p2p_addr(Multiaddr(address))
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        await host.connect(info)
        yield Attacker(seed, host, info.peer_id)
        with trio.CancelScope(shield=True), trio.move_on_after(5):
            await host.close()


def _varint(data: bytes) -> bytes:
    size, head = len(data), b""
    while size > 127:
        head, size = head + bytes([size & 127 | 128]), size >> 7
    return head + bytes([size]) + data


def _signed_message(seed: bytes, topic: str, data: bytes, number: int) -> bytes:
    from libp2p.crypto.ed25519 import create_new_key_pair
    from libp2p.pubsub.pb import rpc_pb2

    keys = create_new_key_pair(seed)
    message = rpc_pb2.Message(data=data, topicIDs=[topic], from_id=peer_bytes(seed), seqno=number.to_bytes(8, "big"))
    message.signature = keys.private_key.sign(b"libp2p-pubsub:" + message.SerializeToString())
    message.key = keys.public_key.serialize()
    return bytes(rpc_pb2.RPC(publish=[message]).SerializeToString())


async def _junk_hello(hostile: Attacker, number: int) -> None:
    stream = await hostile.stream(HELLO)
    await stream.write((7).to_bytes(4, "big") + b"\xff" * 7)
    await stream.read(1 << 16)


async def _huge_hello(hostile: Attacker, number: int) -> None:
    stream = await hostile.stream(HELLO)
    await stream.write((1 << 31).to_bytes(4, "big") + b"x" * 4096)
    await stream.read(1 << 16)


async def _bad_contact(hostile: Attacker, number: int) -> None:
    contact = Contact(peer=b"x" * 500, addresses=["/nonsense"])
    hello = Hello(versions=Versions(network=bytes.fromhex(NETWORK)), known=[contact]).SerializeToString()
    stream = await hostile.stream(HELLO)
    await stream.write(len(hello).to_bytes(4, "big") + hello)
    await stream.read(1 << 16)


async def _junk_gossip(hostile: Attacker, number: int) -> None:
    await hostile.hello(4)
    stream = await hostile.stream(GOSSIP)
    await stream.write(_varint(os.urandom(40) + b"\xff"))
    await stream.read(1)


async def _huge_gossip(hostile: Attacker, number: int) -> None:
    await hostile.hello(4)
    stream = await hostile.stream(GOSSIP)
    await stream.write(b"\xff\xff\xff\x7f" + b"x" * 1000)
    await stream.read(1)


def _gossip(topic: str, body: bytes) -> Callable[[Attacker, int], Awaitable[None]]:
    async def attack(hostile: Attacker, number: int) -> None:
        await hostile.hello(4)
        stream = await hostile.stream(GOSSIP)
        await stream.write(_varint(_signed_message(hostile.seed, topic, body, number + 1)))
        await trio.sleep(0.02)

    return attack


async def _unstaked_gossip(hostile: Attacker, number: int) -> None:
    import time

    await hostile.hello(5)
    expiry = int(time.time()) + NOW_OFFSET
    binding = sign_binding(Signer(5), peer_bytes(hostile.seed), bytes.fromhex(NETWORK), expiry)
    body = Heartbeat(mode="x").SerializeToString()
    versions = Versions(network=bytes.fromhex(NETWORK))
    envelope = Envelope(versions=versions, binding=binding, sent=int(time.time()), body=body)
    stream = await hostile.stream(GOSSIP)
    rpc = _signed_message(hostile.seed, "heartbeats", envelope.SerializeToString(), number + 1)
    await stream.write(_varint(rpc))
    await trio.sleep(0.02)


async def _junk_kad(hostile: Attacker, number: int) -> None:
    await hostile.hello(4)
    stream = await hostile.stream(KAD)
    await stream.write(_varint(os.urandom(30) + b"\xff"))
    await stream.read(1)


async def _bad_record(hostile: Attacker, number: int) -> None:
    from libp2p.kad_dht.pb.kademlia_pb2 import Message

    await hostile.hello(4)
    put = Message(type=Message.MessageType.PUT_VALUE, key=b"/ponw/" + b"07" * 32)
    put.record.key, put.record.value = put.key, os.urandom(100)
    stream = await hostile.stream(KAD)
    await stream.write(_varint(put.SerializeToString()))
    await stream.read(1)


CASES = {
    "hello junk": _junk_hello,
    "hello huge": _huge_hello,
    "hello contacts": _bad_contact,
    "gossip junk": _junk_gossip,
    "gossip huge": _huge_gossip,
    "gossip unknown topic": _gossip("nonsense", b"x"),
    "heartbeats malformed": _gossip("heartbeats", b"\xff" * 50),
    "claims malformed": _gossip("claims", b"\xff" * 50),
    "quorums oversized": _gossip("quorums", b"x" * 60_000),
    "gossip unstaked": _unstaked_gossip,
    "kad junk": _junk_kad,
    "kad bad record": _bad_record,
}


@pytest.mark.parametrize("case", CASES)
def test_junk_costs_a_ban_and_nothing_else(target: Target, case: str) -> None:
    seed = case.encode().ljust(32, b".")
    name, pid = peer_text(peer_bytes(seed)), target.node.pid
    before = psutil.Process(pid).memory_info().rss
    trio.run(_attack, target.address, seed, CASES[case])
    states = {peer.id: peer.state for peer in target.node.known()}
    assert states.get(name) == "banned"
    assert target.node.pid == pid
    assert target.node.restarts == 0
    assert psutil.Process(pid).memory_info().rss - before < 32 << 20
    assert target.friend.me in ids(target.node)
    assert target.friend.publish("heartbeats", Heartbeat(mode="alive").SerializeToString()) >= 1


async def _attack(address: str, seed: bytes, attack: Callable[[Attacker, int], Awaitable[None]]) -> None:
    for number in range(COUNT):
        with trio.move_on_after(10):
            try:
                async with attacker(address, seed) as hostile:
                    await attack(hostile, number)
            except* Exception:
                # Being cut off is what it came for; the next attempt may be refused outright.
                pass


def test_raw_bytes_on_the_port(target: Target) -> None:
    """No libp2p at all: junk, half a handshake, silence."""
    import socket

    host, port = "127.0.0.1", int(target.address.split("/")[4])
    links = [socket.create_connection((host, port)) for _ in range(20)]
    for number, link in enumerate(links):
        link.sendall(os.urandom(200) if number % 2 else b"\x13/multistream/1.0.0\n")
    assert target.friend.me in ids(target.node)
    for link in links:
        link.close()
    assert target.node.restarts == 0
