"""Why the library's AutoNAT is not used: a server of py-libp2p 0.8.1 finds everybody reachable who is connected."""

from __future__ import annotations

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.host.autonat.autonat import AutoNATService
from libp2p.host.autonat.pb.autonat_pb2 import Message
from libp2p.peer.peerinfo import PeerInfo
from multiaddr import Multiaddr

ANYWHERE = Multiaddr("/ip4/127.0.0.1/tcp/0")
NOBODY = Multiaddr("/ip4/127.0.0.1/tcp/9")
"""Where nobody listens."""


def test_a_server_does_not_dial_back_who_is_connected() -> None:
    """When this fails, the library dials back, and AutoNAT can be taken into `node.net`."""

    async def ask() -> None:
        server, client = (new_host(key_pair=create_new_key_pair(bytes([n]) * 32)) for n in (1, 2))
        async with server.run([ANYWHERE]), client.run([ANYWHERE]):
            AutoNATService(server)
            await client.connect(PeerInfo(server.get_id(), server.get_transport_addrs()))
            asking = AutoNATService(client, serve=False)
            status, address = await asking.query_server(server.get_id(), [NOBODY.to_bytes()])
            assert status == Message.OK
            assert address == NOBODY.to_bytes()
            for host in (client, server):
                with trio.move_on_after(5):
                    await host.close()

    trio.run(ask)
