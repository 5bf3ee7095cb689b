"""Peers that cannot dial each other meet through a third: real processes, on loopback and in namespaces."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, PeerId, Status, StopMessage
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID as HOP
from libp2p.relay.circuit_v2.protocol import STOP_PROTOCOL_ID as STOP
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from namespaces import Elsewhere, three

from bench.fuzz.sender import Sender, sender
from bench.netlab import Link
from node.net.client import Network
from node.net.errors import PeerLostError
from node.net.guard import GONE
from node.net.settings import RelaySettings
from node.net.wire.gossip_pb2 import Heartbeat
from tests.net.peer_nodes import NETWORK, Signer, ids, settings, stake_file, until

pytestmark = pytest.mark.process
NOWHERE = ["/ip4/127.0.0.1/tcp/9"]
"""What peers are told that withhold their address."""
ECHO = "/ponw/test-echo/1"
KIB = 1 << 10


@contextmanager
def _relay(folder: Path, **changes: object) -> Iterator[Network]:
    serve = RelaySettings(mode="serve", **changes)
    with Network.start(settings(folder, "r", relay=serve), Signer(1)) as relay:
        yield relay


@contextmanager
def _hidden(folder: Path, relay: Network, streams: bool) -> Iterator[tuple[Network, Network]]:
    """Two peers of the relay that withhold their addresses; the second has a reservation."""
    at = relay.addresses()[0]
    use = RelaySettings(mode="use", streams=streams, punch=False)
    reached = RelaySettings(mode="use", streams=streams, punch=False, through=[at])
    with (
        Network.start(settings(folder, "a", at, relay=use, announce=NOWHERE), Signer(2)) as a,
        Network.start(settings(folder, "b", at, relay=reached, announce=NOWHERE), Signer(3)) as b,
    ):
        until(lambda: {a.me, b.me} <= ids(relay))
        until(lambda: any("p2p-circuit" in address for address in b.addresses()))
        yield a, b


def _dialled(a: Network, peer: str) -> socket.socket:
    found: list[socket.socket] = []

    def dial() -> bool:
        with contextlib.suppress(PeerLostError):
            found.append(a.dial(peer, ECHO, 20))
        return bool(found)

    until(dial)
    return found[0]


@contextmanager
def _echo(node: Network) -> Iterator[None]:
    done = threading.Event()

    def serve() -> None:
        with node.listen(ECHO) as listener:
            ready.set()
            while not done.is_set():
                with contextlib.suppress(TimeoutError, OSError):
                    _, stream = listener.accept(0.2)
                    with stream:
                        while data := stream.recv(64 * KIB):
                            stream.sendall(data)
                        stream.shutdown(socket.SHUT_WR)

    ready = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _carried(stream: socket.socket, size: int) -> bytes:
    """What comes back of so many bytes."""
    writer = threading.Thread(target=_write, args=(stream, b"x" * size))
    writer.start()
    got = bytearray()
    try:
        while data := stream.recv(64 * KIB):
            got += data
    finally:
        writer.join()
    return bytes(got)


def _write(stream: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the other side of a circuit that is cut
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)


def test_streams_through_a_relay_within_its_bytes(tmp_path: Path) -> None:
    stake_file(tmp_path, 1, 2, 3)
    with _relay(tmp_path, bytes=512 * KIB) as relay, _hidden(tmp_path, relay, True) as (a, b), _echo(b):
        with _dialled(a, b.me) as stream:
            assert _carried(stream, 64 * KIB) == b"x" * 64 * KIB
        assert b.me in ids(a)
        with _dialled(a, b.me) as stream, pytest.raises(ConnectionResetError):
            _carried(stream, 1024 * KIB)
        with _dialled(a, b.me) as stream:  # another circuit
            assert _carried(stream, 64 * KIB) == b"x" * 64 * KIB
        assert relay.restarts == a.restarts == b.restarts == 0


def test_tensors_are_refused_on_a_relay_unless_the_settings_say_so(tmp_path: Path) -> None:
    stake_file(tmp_path, 1, 2, 3)
    with _relay(tmp_path) as relay, _hidden(tmp_path, relay, False) as (a, b), _echo(b):
        until(lambda: b.me in ids(a) or not a.connect(f"{b.addresses()[-1]}", 20))
        with pytest.raises(PeerLostError, match="only reached through a relay"):
            a.dial(b.me, ECHO, 20)
        with b.subscribe("heartbeats", timeout=40) as messages:  # small things go through
            until(lambda: a.publish("heartbeats", Heartbeat(mode="idle").SerializeToString()) >= 1)
            assert next(messages)[0] == a.me


def test_a_silent_circuit_ends_in_time(tmp_path: Path) -> None:
    stake_file(tmp_path, 1, 2, 3)
    with _relay(tmp_path, seconds=3) as relay, _hidden(tmp_path, relay, True) as (a, b), _echo(b):
        stream = _dialled(a, b.me)
        stream.settimeout(60)
        with stream, pytest.raises(ConnectionResetError):
            stream.recv(1)
        assert a.me in ids(relay)


async def _asked(hostile: Sender, message: HopMessage) -> HopMessage:
    stream = await hostile.stream(str(HOP))
    await write_delimited_msg(stream, message)
    return await read_delimited_msg(stream, HopMessage)


def test_reservations_are_for_staked_peers_themselves_and_few(tmp_path: Path) -> None:
    stake_file(tmp_path, 1, 4)
    reserve = HopMessage(type=HopMessage.RESERVE)
    for_another = HopMessage(type=HopMessage.RESERVE, peer=PeerId(id=ID(b"\x00$" + b"z" * 36).to_bytes()))
    network = bytes.fromhex(NETWORK)

    async def ask(address: str) -> None:
        async with (
            sender(address, b"1" * 32, network) as unstaked,
            sender(address, b"2" * 32, network) as first,
            sender(address, b"3" * 32, network) as second,
        ):
            for hostile, account in ((unstaked, None), (first, 4), (second, 4)):
                await hostile.connect()
                assert (await hostile.hello(account)).WhichOneof("answer") == "hello"
            assert (await _asked(unstaked, reserve)).status == Status.PERMISSION_DENIED
            assert (await _asked(first, for_another)).status == Status.PERMISSION_DENIED
            assert (await _asked(first, reserve)).status == Status.OK
            assert (await _asked(second, reserve)).status == Status.RESOURCE_LIMIT_EXCEEDED
            await first.host.get_network().close_peer(first.info.peer_id)
            with trio.fail_after(30):  # its place is free once it is gone
                while (await _asked(second, reserve)).status != Status.OK:
                    await trio.sleep(0.05)
            missing = HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=ID.from_base58(first.name).to_bytes()))
            assert (await _asked(second, missing)).status == Status.NO_RESERVATION

    with _relay(tmp_path, reservations=1) as relay:
        trio.run(ask, relay.addresses()[0])
        assert relay.restarts == 0


def test_nobody_brings_circuits_that_were_not_asked_for(tmp_path: Path) -> None:
    stake_file(tmp_path, 1, 4)

    async def bring(address: str) -> None:
        async with sender(address, b"1" * 32, bytes.fromhex(NETWORK)) as hostile:
            await hostile.connect()
            await hostile.hello(4)
            said = b""
            with trio.fail_after(30), contextlib.suppress(*GONE):
                stream = await hostile.stream(str(STOP))
                await write_delimited_msg(stream, StopMessage(type=StopMessage.CONNECT, peer=PeerId(id=b"x" * 38)))
                said = await stream.read(1)
            assert said == b""

    use = RelaySettings(mode="use")
    with Network.start(settings(tmp_path, "n", relay=use), Signer(1)) as node:
        trio.run(bring, node.addresses()[0])
        assert node.restarts == 0


def test_two_behind_a_cut_link_meet_through_the_third(tmp_path: Path) -> None:
    stake_file(tmp_path, 1, 2, 3)
    with three() as net:
        net.shape(Link(up=False), 1, 2)
        serve = settings(tmp_path, "r", host=net.host(0), relay=RelaySettings(mode="serve"))
        with Elsewhere(net.command, 0, serve, 1) as relay:
            at = relay.addresses()[0]
            both = RelaySettings(mode="use", streams=True, through=[at])
            with (
                Elsewhere(net.command, 1, settings(tmp_path, "a", at, host=net.host(1), relay=both), 2) as a,
                Elsewhere(net.command, 2, settings(tmp_path, "b", at, host=net.host(2), relay=both), 3) as b,
                _echo(b),
            ):
                until(lambda: {a.me, b.me} <= ids(relay))
                with _dialled(a, b.me) as stream:
                    assert _carried(stream, 256 * KIB) == b"x" * 256 * KIB
                assert b.me in ids(a)


def test_two_behind_firewalls_end_up_with_a_connection_of_their_own(tmp_path: Path) -> None:
    """Tensors do not go through the relay here, so a stream of the node's means that the holes were punched."""
    stake_file(tmp_path, 1, 2, 3)
    with three() as net:
        net.wall(1, 2)
        serve = settings(tmp_path, "r", host=net.host(0), relay=RelaySettings(mode="serve"))
        with Elsewhere(net.command, 0, serve, 1) as relay:
            at = relay.addresses()[0]
            both = RelaySettings(mode="use", through=[at])
            with (
                Elsewhere(net.command, 1, settings(tmp_path, "a", at, host=net.host(1), relay=both), 2) as a,
                Elsewhere(net.command, 2, settings(tmp_path, "b", at, host=net.host(2), relay=both), 3) as b,
                _echo(b),
            ):
                until(lambda: {a.me, b.me} <= ids(relay))
                with _dialled(a, b.me) as stream:
                    assert _carried(stream, 256 * KIB) == b"x" * 256 * KIB
