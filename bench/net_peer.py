"""A bare py-libp2p peer, driven by lines of JSON on its input and answering on its output: `python -m bench.net_peer`.

Noise, Yamux, identify, gossipsub 1.1, Kademlia and a stream that sends bytes; none of the node's rules, so that figures
and interoperability are the library's.

Commands: dial {address} · identify {peer} · publish {topic, data} · heard {} · put {key, value} · get {key} ·
fetch {peer, bytes}. The first line out names the peer and its address; each command is answered by one line with the
same `do`; a message of the topic gives a line of its own unless the peer is quiet.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any, Final

import trio
from libp2p import create_yamux_muxer_option, new_swarm
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_key
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import parse_identify_response
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.records.validator import NamespacedValidator, Validator
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

TOPIC: Final = "ponw-bench"
BYTES_PROTOCOL: Final = "/ponw/bench/bytes/1"
PIECE: Final = 1 << 20
WRITE: Final = 1 << 22


class AnyValue(Validator):  # type: ignore[misc]
    """Takes every value and keeps the first."""

    def validate(self, key: str, value: bytes) -> None:
        """Nothing to refuse."""

    def select(self, key: str, values: list[bytes]) -> int:
        """The first."""
        return 0


def say(**event: object) -> None:
    """One line at once."""
    print(json.dumps(event), flush=True)


class Peer:
    """One host with its services."""

    def __init__(self, seed: bytes, *, quiet: bool, dht: bool) -> None:
        keys = create_new_key_pair(seed)
        self._swarm = new_swarm(
            key_pair=keys,
            sec_opt={NOISE: Noise(keys, noise_privkey=new_noise_key().private_key)},
            muxer_opt=create_yamux_muxer_option(),
        )
        self.host = BasicHost(self._swarm)
        router = GossipSub(
            protocols=[PROTOCOL_ID_V11],
            degree=6,
            degree_low=4,
            degree_high=12,
            heartbeat_interval=1,
            spam_protection_enabled=False,
        )
        self.gossip = Pubsub(self.host, router)
        validators = NamespacedValidator({"bench": AnyValue()})
        self.dht = KadDHT(self.host, DHTMode.SERVER, validator=validators, validator_changed=True)
        self._dht = dht
        self._quiet = quiet
        self._heard: list[float] = []
        self._commands = {
            "dial": self.dial,
            "identify": self.identify,
            "publish": self.publish,
            "heard": self.heard,
            "put": self.put,
            "get": self.get,
            "fetch": self.fetch,
        }

    async def run(self) -> None:
        """Serve until the input ends."""
        self.host.set_stream_handler(BYTES_PROTOCOL, send_bytes)
        async with (
            self.host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]),
            background_trio_service(self.gossip),
            background_trio_service(self.gossip.router),
            trio.open_nursery() as nursery,
        ):
            await self.gossip.wait_until_ready()
            nursery.start_soon(self._listen, await self.gossip.subscribe(TOPIC))
            address = str(self.host.get_transport_addrs()[0])
            say(do="ready", peer=str(self.host.get_id()), address=f"{address}/p2p/{self.host.get_id()}")
            if self._dht:
                async with background_trio_service(self.dht):
                    await self._obey()
            else:
                await self._obey()
            nursery.cancel_scope.cancel()

    async def _obey(self) -> None:
        while line := await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            command = json.loads(line)
            name = command.pop("do")
            say(do=name, **await self._commands[name](**command))

    async def _listen(self, subscription: Any) -> None:
        async for message in subscription:
            now = time.monotonic()
            if not self._quiet:
                say(do="message", sender=str(ID(message.from_id)), data=message.data.decode())
            elif message.from_id != self.host.get_id().to_bytes():
                self._heard.append(now - json.loads(message.data)["at"])

    async def dial(self, address: str) -> dict[str, Any]:
        """Connect to an address with /p2p/."""
        info = info_from_p2p_addr(Multiaddr(address))
        await self.host.connect(info)
        if self._dht:
            await self.dht.add_peer(info.peer_id, skip_server_mode_check=True)
        return {"peer": str(info.peer_id)}

    async def identify(self, peer: str) -> dict[str, Any]:
        """What a connected peer says of itself (/ipfs/id/1.0.0)."""
        stream = await self.host.new_stream(ID.from_base58(peer), [IDENTIFY])
        message = parse_identify_response(await read_all(stream))
        return {"agent": message.agent_version, "protocols": sorted(message.protocols)}

    async def publish(self, topic: str, data: str) -> dict[str, Any]:
        """To everyone; the data of the benchmark carries when it was sent."""
        text = data or json.dumps({"at": time.monotonic()})
        await self.gossip.publish(topic, text.encode())
        return {}

    async def heard(self) -> dict[str, Any]:
        """Seconds from sending to hearing of all messages since the last such command."""
        heard, self._heard = self._heard, []
        return {"seconds": heard}

    async def put(self, key: str, value: str) -> dict[str, Any]:
        """Store a value at the closest peers; seconds it took."""
        start = time.perf_counter()
        await self.dht.put_value(key, value.encode())
        return {"seconds": time.perf_counter() - start}

    async def get(self, key: str) -> dict[str, Any]:
        """Ask the closest peers for a value; seconds it took.

        What this peer holds itself is put away before: the library would answer from it alone.
        """
        self.dht.value_store.store.pop(key.encode(), None)
        start = time.perf_counter()
        value = await self.dht.get_value(key)
        return {"seconds": time.perf_counter() - start, "value": None if value is None else value.decode()}

    async def fetch(self, peer: str, size: int) -> dict[str, Any]:
        """Read so many bytes from a connected peer; seconds from the first request to the last byte."""
        start = time.perf_counter()
        stream = await self.host.new_stream(ID.from_base58(peer), [BYTES_PROTOCOL])
        await stream.write(size.to_bytes(8, "big"))
        left = size
        while left:
            left -= len(await stream.read(min(PIECE, left)))
        return {"seconds": time.perf_counter() - start}


async def send_bytes(stream: Any) -> None:
    """Send as many bytes as the 8-byte request says; the window's size at a time, as the library wants it."""
    left = int.from_bytes(await stream.read(8), "big")
    piece = bytes(WRITE)
    while left:
        await stream.write(piece[: min(left, WRITE)])
        left -= min(left, WRITE)
    await stream.close()


async def read_all(stream: Any) -> bytes:
    """To the end."""
    data = b""
    while True:
        try:
            part = await stream.read(1 << 16)
        except StreamEOF:
            return data
        if not part:
            return data
        data += part


def main() -> None:
    """Run one peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="makes the peer's key")
    parser.add_argument("--quiet", action="store_true", help="keep latencies of messages instead of printing them")
    parser.add_argument("--dht", action="store_true", help="take part in Kademlia")
    options = parser.parse_args()
    trio.run(Peer(options.seed.to_bytes(32, "big"), quiet=options.quiet, dht=options.dht).run)


if __name__ == "__main__":
    main()
