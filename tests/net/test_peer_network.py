"""Peer processes on loopback: discovery, gossip, records, streams, refusals, restart."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.quorum_node import Endless
from consensus.quorum.capacity import uniform_layout
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from economics.networks import DEVNET_TIMES
from node.net.client import ERRORS_NAME, Network
from node.net.errors import NetworkDownError, NetworkError, PeerLostError
from node.net.identity import hot_key
from node.net.plain import signed
from node.net.wire.common_pb2 import Refusal
from node.net.wire.gossip_pb2 import Heartbeat
from node.quorum.consent import Consents
from node.quorum.doors import Doors
from node.quorum.offer import Offer
from node.quorum.port import NetPort
from node.quorum.service import QuorumService
from node.quorum.team import PROTOCOL as PIPELINE
from node.quorum.team import Around
from node.quorum.teams import Teams
from tests.net.peer_nodes import OTHER_NETWORK, Signer, ids, settings, stake_file, until

pytestmark = pytest.mark.process
MIB = 1 << 20


@dataclass
class Three:
    """Three nodes; `b` and `c` know only `a`. The account of `c` is not staked."""

    folder: Path
    a: Network
    b: Network
    c: Network


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    folder = tmp_path_factory.mktemp("n")
    stake_file(folder, 1, 2)
    with Network.start(settings(folder, "a"), Signer(1)) as a:
        known = a.addresses()[0]
        with (
            Network.start(settings(folder, "b", known), Signer(2)) as b,
            Network.start(settings(folder, "c", known), Signer(3)) as c,
        ):
            yield Three(folder, a, b, c)


def test_three_find_each_other_through_one(three: Three) -> None:
    everyone = {three.a.me, three.b.me, three.c.me}
    for node in (three.a, three.b, three.c):
        until(lambda node=node: ids(node) == everyone - {node.me})
    accounts = {peer.id: (peer.account, peer.stake > 0) for peer in three.a.peers()}
    assert accounts == {three.b.me: (Signer(2).address, True), three.c.me: (Signer(3).address, False)}


def test_control_socket_and_key_are_private(three: Three) -> None:
    for name in ("control.sock", "hot.key"):
        assert (three.folder / "a" / "net" / name).stat().st_mode & 0o077 == 0


def test_gossip_arrives_checked(three: Three) -> None:
    body = Heartbeat(mode="pipeline", tier=1, step=5).SerializeToString()
    got: list[tuple[str, bytes]] = []
    with three.c.subscribe("heartbeats", timeout=40) as messages:
        until(lambda: three.a.publish("heartbeats", body) >= 2)
        until(lambda: three.a.publish("heartbeats", body) and next(messages, None), 40)
        got.append(next(messages) if three.a.publish("heartbeats", body) else ("", b""))
    assert got == [(three.a.me, body)]


def test_unstaked_may_read_not_write(three: Three) -> None:
    body = Heartbeat(mode="idle").SerializeToString()
    with pytest.raises(NetworkError) as caught:
        three.c.publish("heartbeats", body)
    assert caught.value.code == Refusal.NOT_STAKED
    key, value = signed(b"\x05" * 32, b"x", 1, int(time.time()) + 600, b"")
    with pytest.raises(NetworkError) as caught:
        three.c.put(key, value)
    assert caught.value.code == Refusal.NOT_STAKED


def test_publish_refuses_what_the_topic_does_not_take(three: Three) -> None:
    for topic, body, code in (
        ("heartbeats", b"\xff" * 9, Refusal.MALFORMED),
        ("heartbeats", b"x" * 5000, Refusal.TOO_LARGE),
        ("gossip", b"", Refusal.NOT_FOUND),
    ):
        with pytest.raises(NetworkError) as caught:
            three.a.publish(topic, body)
        assert caught.value.code == code


def test_records_are_stored_replaced_and_refused(three: Three) -> None:
    until(lambda: len(ids(three.b)) == 2)
    expiry = int(time.time()) + 600
    key, first = signed(b"\x06" * 32, b"node", 1, expiry, b"one")
    _, second = signed(b"\x06" * 32, b"node", 2, expiry, b"two")
    three.a.put(key, first)
    assert until(lambda: three.c.get(key)) == first
    three.b.put(key, second)
    until(lambda: three.c.get(key) == second)
    assert three.a.get(key) == second
    for bad in (first[:-1] + b"!", first, signed(b"\x06" * 32, b"node", 9, 5, b"expired")[1], b"x" * (17 << 10)):
        with pytest.raises(NetworkError):
            three.b.put(key, bad)
    assert three.c.get(b"\x09" * 32) is None


def _echo(node: Network, protocol: str, ready: threading.Event) -> None:
    with node.listen(protocol) as listener:
        ready.set()
        _, stream = listener.accept(30)
        with stream:
            while data := stream.recv(MIB):
                stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)


def test_stream_carries_20_mib_both_ways(three: Three) -> None:
    ready = threading.Event()
    server = threading.Thread(target=_echo, args=(three.a, "/ponw/test-echo/1", ready))
    server.start()
    ready.wait()
    sent = b"".join(hashlib.sha256(i.to_bytes(8, "big")).digest() for i in range(20 * MIB // 32))
    with three.b.dial(three.a.me, "/ponw/test-echo/1") as stream:
        writer = threading.Thread(target=lambda: (stream.sendall(sent), stream.shutdown(socket.SHUT_WR)))
        writer.start()
        got = bytearray()
        while data := stream.recv(MIB):
            got += data
        writer.join()
    server.join()
    assert got == sent


def test_cut_stream_is_told_from_a_finished_one(three: Three) -> None:
    with three.a.listen("/ponw/test-cut/1") as listener, three.b.dial(three.a.me, "/ponw/test-cut/1") as stream:
        peer, taken = listener.accept(30)
        assert peer == three.b.me
        stream.sendall(b"unread")
        taken.sendall(b"some")
        assert stream.recv(4) == b"some"
        taken.recv(1)
        taken.close()  # with bytes unread and no end said
        with pytest.raises(ConnectionResetError):
            stream.recv(1)


def test_slow_reader_holds_the_writer_back(three: Three) -> None:
    with three.a.listen("/ponw/test-slow/1") as listener, three.b.dial(three.a.me, "/ponw/test-slow/1") as stream:
        _, taken = listener.accept(30)
        stream.setblocking(False)
        accepted, chunk = 0, b"x" * MIB
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 7:  # longer than the library's own limit of 5 s
            with contextlib.suppress(BlockingIOError):
                accepted += stream.send(chunk)
                quiet_since = time.monotonic()
        assert accepted < 64 * MIB
        stream.setblocking(True)
        stream.shutdown(socket.SHUT_WR)
        with taken:
            assert sum(iter(lambda: len(taken.recv(MIB)), 0)) == accepted


def test_protocol_that_nobody_serves(three: Three) -> None:
    with pytest.raises(PeerLostError) as caught:
        three.b.dial(three.a.me, "/ponw/test-none/1")
    assert caught.value.code == Refusal.NOT_FOUND


def test_listener_is_one_and_ends(three: Three) -> None:
    with three.a.listen("/ponw/test-one/1") as listener:
        with pytest.raises(NetworkError):
            three.a.listen("/ponw/test-one/1")
        with pytest.raises(TimeoutError):
            listener.accept(0.1)
    until(lambda: _listens(three.a, "/ponw/test-one/1"))


def _listens(node: Network, protocol: str) -> bool:
    try:
        node.listen(protocol).close()
    except NetworkError:
        return False
    return True


def test_other_network_is_refused_with_the_reason(three: Three) -> None:
    known = three.a.addresses()[0]
    with Network.start(settings(three.folder, "o", network=OTHER_NETWORK), Signer(1)) as other:
        with pytest.raises(NetworkError, match="network abababababababab") as caught:
            other.connect(known)
        assert caught.value.code == Refusal.OTHER_NETWORK
        assert other.peers() == []
        refused = {peer.id: peer.reason for peer in three.a.known() if peer.state == "refused"}
        assert "cdcdcdcdcdcdcdcd" in refused[other.me]


def test_ponw_peers_lists_them(three: Three) -> None:
    until(lambda: len(ids(three.a)) == 2)
    command = [sys.executable, "-m", "node.cli.app", "--home", str(three.folder / "a"), "peers", "--all"]
    shown = json.loads(subprocess.run([*command, "--format", "json"], check=True, capture_output=True).stdout)
    assert shown["me"] == three.a.me
    rows = {row["id"]: row for row in shown["peers"]}
    assert rows[three.b.me]["account"] == Signer(2).address
    assert {row["state"] for row in rows.values()} >= {"connected", "refused"}
    assert three.b.me in subprocess.run(command, check=True, capture_output=True, text=True).stdout


def service(three: Three, node: Network, number: int, mode: str) -> QuorumService:
    """What a running node tells and hears."""
    port, account = NetPort(node, time.monotonic), bytes.fromhex(Signer(number).address[2:])
    around = Around(port, Doors(port.listen(PIPELINE)))
    teams = Teams(account, around, three.folder / f"quorums{number}")
    teams.begin_alone(7)
    peer = Peer(account, 5_000, 0, Span(0, 4), 1 << 20)
    offer = Offer(peer, bytes(32), uniform_layout(6, 100, 150), 4, mode=mode, round=7, step=3, aside="to be heard only")
    return QuorumService(
        port, teams, Consents(Signer(number), 31337, "0x" + "11" * 20), lambda: offer, DEVNET_TIMES, Endless()
    )


def test_heartbeats_of_a_running_node(three: Three) -> None:
    until(lambda: three.c.me in ids(three.a))
    with service(three, three.a, 1, "solo"), service(three, three.c, 3, "async") as heard:
        account = bytes.fromhex(Signer(1).address[2:])
        until(lambda: account in heard.census.online())
        seen = heard.census.all()[account]
    assert (seen.peer, seen.mode, seen.alone, seen.aside, seen.quorum) == (three.a.me, "solo", 7, True, b"")
    assert (seen.node.layer_us, seen.node.held, seen.node.memory) == (5_000, Span(0, 4), 1 << 20)


def test_a_process_that_is_closed_while_it_restarts_ends_quietly(tmp_path: Path) -> None:
    stake_file(tmp_path)
    for _ in range(3):  # at another point of the restart each time
        with Network.start(settings(tmp_path, "r"), Signer(1)) as network:
            os.kill(network.pid, signal.SIGKILL)
            until(lambda: network.restarts == 1)
        assert not network._watcher.is_alive()


def test_what_a_process_died_of_is_kept_when_it_is_started_again(tmp_path: Path) -> None:
    stake_file(tmp_path)
    with Network.start(settings(tmp_path, "r"), Signer(1)) as network:
        os.kill(network.pid, signal.SIGABRT)
        until(lambda: network.restarts == 1 and _serves(network))
    (kept,) = tmp_path.rglob(f"{ERRORS_NAME}.1")
    assert "Fatal Python error: Aborted" in kept.read_text()


def test_denied_host_cannot_connect(three: Three) -> None:
    closed = settings(three.folder, "d", deny=["127.0.0.0/8"])
    with Network.start(closed, Signer(2)) as denied, pytest.raises(PeerLostError):
        denied.connect(three.a.addresses()[0], 5)


def test_killed_process_is_restarted_and_peers_return(three: Three) -> None:
    before, name = three.b.pid, three.b.me
    os.kill(before, signal.SIGKILL)
    until(lambda: three.b.pid != before and _serves(three.b))
    assert three.b.me == name
    until(lambda: ids(three.b) == {three.a.me, three.c.me})
    until(lambda: name in ids(three.a))


def _serves(node: Network) -> bool:
    try:
        node.state()
    except NetworkDownError:
        return False
    return True


def test_ban_disconnects_and_keeps_out(three: Three) -> None:
    until(lambda: three.b.me in ids(three.a))
    three.a.ban(three.b.me, "by hand", 3600)
    until(lambda: three.b.me not in ids(three.a))
    until(lambda: three.a.me not in ids(three.b))
    with pytest.raises(NetworkError, match="banned"):
        three.b.connect(three.a.addresses()[0])
    states = {peer.id: (peer.state, peer.score) for peer in three.a.known()}
    assert states[three.b.me] == ("banned", -100)


def test_process_ends_with_its_parent(tmp_path: Path) -> None:
    stake_file(tmp_path)
    hot_key(tmp_path / "k" / "net" / "hot.key")
    with Network.start(settings(tmp_path, "k")) as network:
        pid = network.pid
        network._closing.set()
        assert network._process is not None
        assert network._process.stdin is not None
        network._process.stdin.close()  # what the kernel does when the node dies
        assert network._process.wait(20) == 0
        assert pid == network.pid
    with pytest.raises(NetworkDownError):
        network.state()


def test_port_that_is_taken_is_said(tmp_path: Path) -> None:
    stake_file(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NetworkDownError, match="not free"), Network.start(settings(tmp_path, "p", port=port)):
            pass
