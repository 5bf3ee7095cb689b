"""Incoming connections that were closed leave their place to others."""

from __future__ import annotations

from pathlib import Path

import trio
from libp2p.host.basic_host import BasicHost
from multiaddr import Multiaddr
from peer_nodes import NETWORK, settings

from bench.fuzz.sender import sender
from node.net.host import _swarm


def test_closed_connections_take_no_place(tmp_path: Path) -> None:
    async def connect_twice() -> None:
        swarm = _swarm(settings(tmp_path, "n"), b"t" * 32)
        async with BasicHost(swarm).run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
            address = f"{next(iter(swarm.listeners.values())).get_addrs()[0]}/p2p/{swarm.get_peer_id()}"
            for number in range(2):
                async with sender(address, bytes([number]) * 32, bytes.fromhex(NETWORK)) as visitor:
                    await visitor.connect()
                    assert swarm._inbound_limiter.borrowed_tokens == 1
                with trio.fail_after(30):
                    while swarm._inbound_limiter.borrowed_tokens:
                        await trio.sleep(0.01)

    trio.run(connect_twice)
