"""Floods over real sockets: who has many keys gets few places, and a staked peer of the same address still gets in."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from bench.fuzz.sender import Sender, sender
from node.net.bans import ORIGINS_NAME
from node.net.client import Network
from node.net.errors import NetworkError
from node.net.guard import GONE
from node.net.hotkey import peer_text
from node.net.identity import hot_key, peer_bytes
from node.net.limits import ORIGIN_BAN, ORIGIN_BAN_SECONDS, UNPROVEN_EACH, UNSTAKED_EACH
from node.net.score import Offence
from node.net.settings import Room
from node.net.wire.common_pb2 import Refusal
from node.net.wire.gossip_pb2 import Heartbeat
from node.net.wire.hello_pb2 import HelloAnswer
from tests.net.peer_nodes import NETWORK, Signer, ids, settings, stake_file, until

pytestmark = pytest.mark.process
CONNECTIONS = 200
HELLO = "/ponw/hello/1"
STAKED = 4


@dataclass
class Besieged:
    """A node and the folder of everybody's home."""

    node: Network
    folder: Path

    @property
    def address(self) -> str:
        return self.node.addresses()[0]

    def sockets(self) -> int:
        """Connections to the node's port, as the kernel knows them."""
        port = int(self.address.split("/")[4])
        found = psutil.Process(self.node.pid).net_connections("tcp")
        return sum(c.laddr.port == port and c.status == psutil.CONN_ESTABLISHED for c in found)

    def serves(self, account: int | None) -> None:
        """One more peer from the very same address joins, and is heard."""
        with Network.start(settings(self.folder, f"p{account}"), account and Signer(account)) as peer:
            until(lambda: _joined(peer, self.address))
            assert peer.me in ids(self.node)
            if account is not None:
                until(lambda: peer.publish("heartbeats", Heartbeat(mode="alive").SerializeToString()) >= 1)


def _joined(peer: Network, address: str) -> bool:
    # A flood uses up what may come from one address in a second: who dials again gets in.
    with contextlib.suppress(Exception):
        peer.connect(address, 5)
    return bool(ids(peer))


async def _let_in(one: Sender) -> None:
    """Connect, at the pace of an address that is banned if need be."""
    with trio.fail_after(60):
        while True:
            with contextlib.suppress(*GONE):
                await one.connect()
                return
            await trio.sleep(0.2)


@pytest.fixture
def besieged(tmp_path: Path) -> Iterator[Besieged]:
    stake_file(tmp_path, 1, 2, STAKED)
    with Network.start(settings(tmp_path, "n", room=Room(arrivals=1000)), Signer(1)) as node:
        yield Besieged(node, tmp_path)


def _seed(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4)).digest()


@asynccontextmanager
async def _crowd(address: str, count: int, answers: list[HelloAnswer] | None = None) -> AsyncIterator[None]:
    """Hosts with fresh keys, one after the other connected if it is let in, and kept. Silent, unless `answers` takes
    what they are told."""
    over = trio.Event()

    async def one(number: int, *, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with sender(address, _seed(number), bytes.fromhex(NETWORK)) as made:
            with trio.move_on_after(5), contextlib.suppress(*GONE):
                await made.connect()
                if answers is not None:
                    answers.append(await made.hello(None))
            task_status.started()
            await over.wait()

    async with trio.open_nursery() as nursery:
        for number in range(count):
            await nursery.start(one, number)
        yield
        over.set()


def test_two_hundred_silent_connections_of_one_address(besieged: Besieged) -> None:
    async def flood() -> None:
        async with _crowd(besieged.address, CONNECTIONS):
            assert await trio.to_thread.run_sync(besieged.sockets) <= UNPROVEN_EACH
            await trio.to_thread.run_sync(besieged.serves, 2)

    trio.run(flood)
    assert besieged.node.restarts == 0


def test_two_hundred_fresh_keys_of_one_address_that_say_hello(besieged: Besieged) -> None:
    async def flood() -> None:
        answers: list[HelloAnswer] = []
        async with _crowd(besieged.address, CONNECTIONS, answers):
            admitted = [answer.WhichOneof("answer") == "hello" for answer in answers]
            assert admitted == [number < UNSTAKED_EACH for number in range(CONNECTIONS)]
            assert {answer.refusal.code for answer in answers[UNSTAKED_EACH:]} == {Refusal.BUSY}
            assert len(await trio.to_thread.run_sync(besieged.node.peers)) == UNSTAKED_EACH
            await trio.to_thread.run_sync(besieged.serves, 2)

    trio.run(flood)
    assert besieged.node.restarts == 0


def test_one_banned_key_after_the_other_bans_the_address_and_no_staked_peer(besieged: Besieged) -> None:
    """Each key sends one malformed hello only, far from a ban of its own."""
    needed = ORIGIN_BAN // Offence.MALFORMED + 3  # points decay meanwhile

    async def junk(number: int, account: int | None = None) -> int:
        async with sender(besieged.address, _seed(number), bytes.fromhex(NETWORK)) as hostile:
            await _let_in(hostile)
            if account is not None:
                return int((await hostile.hello(account)).refusal.code)
            stream = await hostile.stream(HELLO)
            await stream.write((7).to_bytes(4) + b"\xff" * 7)
            await stream.read(1 << 16)
            return 0

    async def flood() -> None:
        for number in range(needed):
            await junk(number)
        async with sender(besieged.address, _seed(9999), bytes.fromhex(NETWORK)) as fresh:
            await _let_in(fresh)
            answer = await fresh.hello(None)
            assert answer.refusal.code == Refusal.BANNED
            assert "127.0.0.1" in answer.refusal.reason
        assert await junk(8888, STAKED) == 0

    trio.run(flood)
    states = {peer.id: peer.state for peer in besieged.node.known()}
    assert "banned" not in {states.get(peer_text(peer_bytes(_seed(number)))) for number in range(needed)}
    besieged.serves(2)
    assert besieged.node.restarts == 0


def test_a_peer_that_the_operator_named_is_kept_whatever_its_address_did(tmp_path: Path) -> None:
    stake_file(tmp_path, 1)
    home = tmp_path / "named"
    seed = hot_key(home / "net" / "hot.key")
    named = f"/ip4/127.0.0.1/tcp/9/p2p/{peer_text(peer_bytes(seed))}"
    with Network.start(settings(tmp_path, "n", named, room=Room(origin_ban=1)), Signer(1)) as node:
        besieged = Besieged(node, tmp_path)

        async def offend() -> None:
            async with sender(besieged.address, _seed(1), bytes.fromhex(NETWORK)) as hostile:
                await hostile.connect()
                stream = await hostile.stream(HELLO)
                await stream.write((7).to_bytes(4) + b"\xff" * 7)
                await stream.read(1 << 16)
            async with sender(besieged.address, _seed(2), bytes.fromhex(NETWORK)) as fresh:
                await fresh.connect()
                assert (await fresh.hello(None)).refusal.code == Refusal.BANNED

        trio.run(offend)
        with Network.start(settings(tmp_path, "named")) as friend:  # not staked
            until(lambda: _joined(friend, besieged.address))
            assert friend.me in ids(node)


def test_a_banned_address_stays_banned_when_the_process_is_started_anew(tmp_path: Path) -> None:
    stake_file(tmp_path, 1)
    saved = tmp_path / "n" / "net" / ORIGINS_NAME

    async def offend(address: str) -> None:
        async with sender(address, _seed(1), bytes.fromhex(NETWORK)) as hostile:
            await hostile.connect()
            stream = await hostile.stream(HELLO)
            await stream.write((7).to_bytes(4) + b"\xff" * 7)
            await stream.read(1 << 16)

    async def greet(address: str, number: int) -> HelloAnswer:
        async with sender(address, _seed(number), bytes.fromhex(NETWORK)) as fresh:
            await _let_in(fresh)
            return await fresh.hello(None)

    def start() -> Network:
        return Network.start(settings(tmp_path, "n", room=Room(origin_ban=1)), Signer(1))

    with start() as node:
        trio.run(offend, node.addresses()[0])
        until(lambda: saved.exists() and "127.0.0.1" in json.loads(saved.read_text()))
        os.kill(node.pid, signal.SIGKILL)  # nothing is saved on the way out
        until(lambda: node.restarts == 1)
        address = until(lambda: _addresses(node))
        assert trio.run(greet, address, 2).refusal.code == Refusal.BANNED
    with start() as node:
        answer = trio.run(greet, node.addresses()[0], 3)
        assert answer.refusal.code == Refusal.BANNED
        assert "127.0.0.1" in answer.refusal.reason
    # As long ago as the ban lasts: the same as a clock that is so much later.
    rows = json.loads(saved.read_text())
    rows["127.0.0.1"][0] -= ORIGIN_BAN_SECONDS
    saved.write_text(json.dumps(rows))
    with start() as node:
        assert trio.run(greet, node.addresses()[0], 4).WhichOneof("answer") == "hello"


def _addresses(node: Network) -> str:
    with contextlib.suppress(NetworkError):
        return node.addresses()[0]
    return ""


def test_one_staked_account_answers_for_all_its_keys(besieged: Besieged) -> None:
    """Hot keys are as free as any: after three banned keys' worth of offences the account itself is refused."""

    async def attack() -> list[int]:
        codes = []
        for number in range(12):
            async with sender(besieged.address, _seed(number), bytes.fromhex(NETWORK)) as hostile:
                await hostile.connect()
                answer = await hostile.hello(STAKED)
                codes.append(int(answer.refusal.code))
                if answer.WhichOneof("answer") != "hello":
                    break
                with trio.move_on_after(5), contextlib.suppress(Exception):  # cut off in the middle
                    stream = await hostile.stream("/ipfs/kad/1.0.0")
                    await stream.write(b"\x05" + b"\xff" * 5)
                    await stream.read(1)
                await trio.to_thread.run_sync(besieged.node.ban, hostile.name, "by hand", 3600)
        return codes

    codes = trio.run(attack)
    assert codes[-1] == Refusal.BANNED
    assert set(codes[:-1]) == {0}
    assert len(codes) <= 4
    besieged.serves(2)
