"""A hostile peer sends junk on every protocol and topic: the process stays, the sender is banned, others are served."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from bench.fuzz.messages import VARINT
from bench.fuzz.sender import Sender, sender
from node.net.client import Network
from node.net.hotkey import peer_text
from node.net.identity import peer_bytes
from node.net.settings import Room
from node.net.wire.common_pb2 import Versions
from node.net.wire.gossip_pb2 import Envelope, Heartbeat
from node.net.wire.hello_pb2 import Contact, Hello
from tests.net.peer_nodes import NETWORK, Signer, ids, settings, stake_file, until

pytestmark = pytest.mark.process
UNTIL_BANNED = 40
COUNT = int(os.environ.get("PONW_ABUSE_COUNT", UNTIL_BANNED))
"""Attempts a case: up to UNTIL_BANNED stop at the ban; a larger number goes on against the closed door."""
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
    with (
        # Each case is to be heard until its own key is banned, though all come from one address and one account.
        Network.start(settings(folder, "t", room=Room(arrivals=1024, origin_ban=1 << 40)), Signer(1)) as node,
        Network.start(settings(folder, "f"), Signer(2)) as friend,
    ):
        friend.connect(node.addresses()[0])
        until(lambda: friend.me in ids(node))
        yield Target(node, friend)


async def _cut_off(stream: Any) -> None:
    """Leave the target a moment to cut us off; whether it has banned us is asked of itself."""
    with trio.move_on_after(0.3):
        await stream.read(1)


async def _junk_hello(hostile: Sender, number: int) -> None:
    stream = await hostile.stream(HELLO)
    await stream.write((7).to_bytes(4, "big") + b"\xff" * 7)
    await stream.read(1 << 16)


async def _huge_hello(hostile: Sender, number: int) -> None:
    stream = await hostile.stream(HELLO)
    await stream.write((1 << 31).to_bytes(4, "big") + b"x" * 4096)
    await stream.read(1 << 16)


async def _bad_contact(hostile: Sender, number: int) -> None:
    contact = Contact(peer=b"x" * 500, addresses=["/nonsense"])
    hello = Hello(versions=Versions(network=bytes.fromhex(NETWORK)), known=[contact]).SerializeToString()
    stream = await hostile.stream(HELLO)
    await stream.write(len(hello).to_bytes(4, "big") + hello)
    await stream.read(1 << 16)


async def _junk_gossip(hostile: Sender, number: int) -> None:
    await hostile.hello(4)
    stream = await hostile.stream(GOSSIP)
    await stream.write(VARINT.whole(os.urandom(40) + b"\xff"))
    await _cut_off(stream)


async def _huge_gossip(hostile: Sender, number: int) -> None:
    await hostile.hello(4)
    stream = await hostile.stream(GOSSIP)
    await stream.write(b"\xff\xff\xff\x7f" + b"x" * 1000)
    await _cut_off(stream)


def _gossip(topic: str, body: bytes) -> Callable[[Sender, int], Awaitable[None]]:
    async def attack(hostile: Sender, number: int) -> None:
        await hostile.hello(4)
        stream = await hostile.stream(GOSSIP)
        for _ in range(12):
            await stream.write(VARINT.whole(hostile.announcement(topic, body)))
        await _cut_off(stream)

    return attack


async def _unstaked_gossip(hostile: Sender, number: int) -> None:
    import time

    await hostile.hello(5)
    body = Heartbeat(mode="x").SerializeToString()
    versions = Versions(network=bytes.fromhex(NETWORK))
    envelope = Envelope(versions=versions, binding=hostile.binding(5), sent=int(time.time()), body=body)
    stream = await hostile.stream(GOSSIP)
    for _ in range(24):
        await stream.write(VARINT.whole(hostile.announcement("heartbeats", envelope.SerializeToString())))
    await _cut_off(stream)


async def _junk_kad(hostile: Sender, number: int) -> None:
    await hostile.hello(4)
    stream = await hostile.stream(KAD)
    await stream.write(VARINT.whole(os.urandom(30) + b"\xff"))
    await _cut_off(stream)


async def _bad_record(hostile: Sender, number: int) -> None:
    from libp2p.kad_dht.pb.kademlia_pb2 import Message

    await hostile.hello(4)
    put = Message(type=Message.MessageType.PUT_VALUE, key=b"/ponw/" + b"07" * 32)
    put.record.key, put.record.value = put.key, os.urandom(100)
    stream = await hostile.stream(KAD)
    await stream.write(VARINT.whole(put.SerializeToString()))
    await _cut_off(stream)


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

    def banned() -> bool:
        return {peer.id: peer.state for peer in target.node.known()}.get(name) == "banned"

    trio.run(_attack, target.address, seed, CASES[case], banned)
    assert banned()
    assert target.node.pid == pid
    assert target.node.restarts == 0
    assert psutil.Process(pid).memory_info().rss - before < 32 << 20
    assert target.friend.me in ids(target.node)
    assert target.friend.publish("heartbeats", Heartbeat(mode="alive").SerializeToString()) >= 1


async def _attack(
    address: str, seed: bytes, attack: Callable[[Sender, int], Awaitable[None]], banned: Callable[[], bool]
) -> None:
    """Until the ban, then on to COUNT where more than the default was asked for."""
    async with sender(address, seed, bytes.fromhex(NETWORK)) as hostile:
        for number in range(COUNT):
            if COUNT <= UNTIL_BANNED and await trio.to_thread.run_sync(banned):
                return
            await _try(hostile, attack, number)


async def _try(hostile: Sender, attack: Callable[[Sender, int], Awaitable[None]], number: int) -> None:
    # Being cut off is what it came for, and the next attempt may be refused outright.
    with trio.move_on_after(3), contextlib.suppress(Exception):
        await hostile.connect()
        await attack(hostile, number)


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
