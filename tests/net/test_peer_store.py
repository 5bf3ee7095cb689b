"""The peer store makes room without forgetting the node itself or who is connected."""

from __future__ import annotations

from pathlib import Path

import trio
from libp2p import generate_peer_id_from
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from multiaddr import Multiaddr

from node.net.control import ControlServer
from node.net.desk import Desk
from node.net.entrance import make_swarm
from node.net.peerstore import LastingPeerStore
from node.net.settings import NetSettings
from node.net.wire.control_pb2 import Reply, Request

SEED = b"\x07" * 32
ADDRESS = Multiaddr("/ip4/127.0.0.1/tcp/9")


def strangers(count: int) -> list[ID]:
    return [generate_peer_id_from(create_new_key_pair(number.to_bytes(32, "big"))) for number in range(1, count + 1)]


def fill(store: PeerStore, count: int) -> list[ID]:
    many = strangers(count)
    for peer in many:
        store.add_addrs(peer, [ADDRESS], 600)
    return many


def test_a_thousand_strangers_do_not_take_the_node_its_key(tmp_path: Path) -> None:
    settings = NetSettings(home=tmp_path, network="ab" * 32)
    swarm = make_swarm(settings, SEED)
    many = fill(swarm.peerstore, swarm.peerstore.max_peers + 50)
    assert swarm.peerstore.pubkey(swarm.get_peer_id()) == create_new_key_pair(SEED).public_key
    assert swarm.peerstore.has_peer(many[-1]) and len(swarm.peerstore.peer_ids()) == swarm.peerstore.max_peers + 1


def test_the_library_s_own_store_does() -> None:
    own, store = create_new_key_pair(SEED), PeerStore()
    store.add_key_pair(generate_peer_id_from(own), own)
    fill(store, store.max_peers)
    assert not store.has_peer(generate_peer_id_from(own))


def test_who_is_connected_is_kept_and_others_make_room() -> None:
    store = LastingPeerStore()
    first, second, *_ = strangers(2)
    store.keeps = lambda peer: peer == first
    store.add_protocols(first, ["/x"])
    store.add_addrs(second, [ADDRESS], -1)
    fill(store, store.max_peers + 1)
    assert store.has_peer(first)
    store.peer_data_map[first].set_ttl(1)
    store.peer_data_map[first].last_identified = 0
    store._cleanup_expired_records()
    assert store.has_peer(first)


def test_an_error_of_the_library_ends_one_request(tmp_path: Path) -> None:
    class Broken(Desk):
        def __init__(self) -> None:
            pass

        async def handle(self, kind: str | None, request: Request) -> Reply:
            raise KeyError(kind)

    async def ask() -> Reply:
        request = Request(publish=Request.Publish(topic="claims", body=b"x"))
        return await ControlServer(Broken())._short("publish", request)

    reply = trio.run(ask)
    assert "KeyError" in reply.failure.refusal.reason and "process.log" in reply.failure.hint
