"""Who holds a place: the rules alone, and connections of a real swarm, which leave theirs to others."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from libp2p.host.basic_host import BasicHost
from multiaddr import Multiaddr
from peer_nodes import NETWORK, settings

from bench.fuzz.sender import sender
from node.net.book import split_address
from node.net.entrance import Entrance, make_swarm
from node.net.errors import NetworkError
from node.net.limits import (
    ADDRESSES_TRACKED,
    CONNECTIONS_PER_PEER,
    LEDGER_MAX,
    ORIGIN_BAN,
    ORIGIN_BAN_SECONDS,
    ORIGIN_BAN_SECONDS_MAX,
    PEERS_PER_ACCOUNT,
    UNPROVEN_BANNED,
)
from node.net.origins import TRUSTED, Origins, account_origin, origin_of, plain_host
from node.net.places import Arrivals, Place, Places, Standing
from node.net.settings import Room
from node.net.wire.common_pb2 import Refusal

A, B = "192.0.2.1", "198.51.100.7"


class Hall:
    """Places with a few of each, and who was pushed out of them."""

    def __init__(self, **room: int) -> None:
        self.scores: dict[str, int] = {}
        self.banned: set[str] = set()
        self.out: list[Place] = []
        few = {"inbound": 6, "outbound": 3, "unproven": 6, "unproven_each": 4, "unstaked_each": 3, "outbound_each": 2}
        self.places = Places(
            Room(**{**few, "arrivals": 1000} | room),
            lambda peer: self.scores.get(peer, 0),
            lambda origin, now: origin in self.banned,
        )
        self.now = 0.0

    def arrive(self, origin: str, peer: str = "") -> Place | None:
        """One more incoming connection, a second after the last."""
        self.now += 1
        made: list[Place] = []
        place = self.places.arrive(origin, self.now, lambda: self.out.append(made[0]))
        if place is not None:
            made.append(place)
            if peer:
                self.places.named(place, peer)
        return place

    def hello(self, origin: str, peer: str, standing: Standing = Standing.UNSTAKED, account: str = "") -> Place:
        """It arrives and says hello."""
        place = self.arrive(origin, peer)
        assert place is not None
        try:
            self.places.prove(peer, account, standing)
        except NetworkError as error:
            assert error.code == Refusal.BUSY
            self.places.leave(place)  # what closing it does
            raise
        return place


def test_the_silent_make_room_for_who_comes_next() -> None:
    hall = Hall()
    first = [hall.arrive(A) for _ in range(4)]
    assert hall.out == []
    hall.arrive(A)
    assert hall.out == first[:1]  # the one that has been silent for longest
    hall.arrive(B)
    hall.arrive(B)
    assert hall.out == first[:1]
    hall.arrive("203.0.113.9")  # seven in all: the more crowded address gives
    assert hall.out == first[:2]
    assert len(hall.places) == 6


def test_a_banned_address_keeps_two_at_a_slow_pace() -> None:
    hall = Hall()
    hall.banned.add(A)
    taken = [hall.arrive(A) for _ in range(4)]  # one a second
    assert None not in taken
    assert hall.out == taken[: 4 - UNPROVEN_BANNED]
    hall.now -= 1  # at one instant
    burst = []
    for _ in range(9):
        hall.now -= 1
        burst.append(hall.arrive(A))
    assert burst.count(None) >= 5
    assert hall.arrive(B) is not None


def test_unstaked_peers_of_one_address_are_few_and_the_worst_goes() -> None:
    hall = Hall()
    first, second, third = (hall.hello(A, name) for name in "abc")
    with pytest.raises(NetworkError):  # equals: the newest goes, so a flood cannot push out who is there
        hall.hello(A, "d")
    hall.scores = {"b": -5}
    hall.hello(A, "e")
    assert hall.out == [second]
    assert hall.places.holds(first)
    assert hall.places.holds(third)
    for number in range(PEERS_PER_ACCOUNT // 2):  # stake is not counted by address
        hall.hello(A, f"staked{number}" if number else "named", Standing.STAKED if number else Standing.NAMED, "0x1")


def test_staked_and_named_peers_push_out_the_lowest_score() -> None:
    hall = Hall(unstaked_each=6)
    peers = [hall.hello(A if number < 4 else B, f"u{number}") for number in range(6)]
    hall.scores = {"u5": -1, "u2": -7}
    hall.hello(B, "s0", Standing.STAKED, "0x0")
    assert hall.out == [peers[2]]
    hall.hello(B, "s1", Standing.STAKED, "0x1")
    assert hall.out == [peers[2], peers[5]]
    hall.hello(A, "n", Standing.NAMED)
    assert hall.out[2:] == [peers[3]]  # all equal: the newest of the most crowded address
    with pytest.raises(NetworkError):
        hall.hello(A, "u9")
    for number in range(2, 5):
        hall.hello(A, f"s{number}", Standing.STAKED, f"0x{number}")
    with pytest.raises(NetworkError):  # nobody left to push out
        hall.hello(A, "s9", Standing.STAKED, "0x9")
    hall.hello(A, "n2", Standing.NAMED)  # whom an operator named is let in all the same
    standings = [place.standing for place in hall.places._held]
    assert standings.count(Standing.STAKED) == 5
    assert standings.count(Standing.NAMED) == 2


def test_outgoing_connections_have_places_of_their_own() -> None:
    hall = Hall()
    for number in range(6):
        hall.hello(A, f"in{number}", Standing.STAKED, f"0x{number}")
    gone: list[str] = []

    def dial(origin: str, peer: str, wanted: bool = False) -> Place | None:
        hall.now += 1
        return hall.places.dial(origin, peer, wanted, hall.now, lambda: gone.append(peer))

    assert dial(A, "one") is not None
    assert dial(A, "two") is not None
    assert dial(A, "three") is None  # of one address
    assert dial(A, "four", wanted=True) is not None
    assert dial(B, "five") is None  # in all
    assert dial(B, "six", wanted=True) is None  # nobody unstaked to push out: none has said hello
    hall.places.prove("two", "", Standing.UNSTAKED)
    assert dial(B, "seven", wanted=True) is not None
    assert gone == ["two"]
    hall.banned.add(B)
    hall.places.leave(hall.places.of_peer("one")[0])
    assert dial(B, "eight") is None


def test_one_peer_holds_two_connections_and_one_account_speaks_for_a_few() -> None:
    hall = Hall(inbound=100)
    taken = [hall.arrive(A, "same") for _ in range(CONNECTIONS_PER_PEER + 1)]
    assert hall.out == taken[:1]
    for number in range(PEERS_PER_ACCOUNT):
        standing = hall.places.standing(f"p{number}", "0x1", True, False)
        assert standing is Standing.STAKED
        hall.hello(B, f"p{number}", standing, "0x1")
    assert hall.places.standing("more", "0x1", True, False) is Standing.UNSTAKED
    assert hall.places.standing("p0", "0x1", True, False) is Standing.STAKED
    assert hall.places.standing("more", "0x2", True, False) is Standing.STAKED
    assert hall.places.standing("more", "0x1", True, True) is Standing.NAMED
    assert hall.places.standing("more", "0x3", False, False) is Standing.UNSTAKED


def test_the_table_of_rates_is_bounded() -> None:
    arrivals = Arrivals(1)
    for number in range(ADDRESSES_TRACKED + 100):
        assert arrivals.take(str(number), False, 0.0)
    assert len(arrivals._buckets) == ADDRESSES_TRACKED


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_origins(host: str, origin: str) -> None:
    assert origin_of(host) == origin


def test_what_is_no_address() -> None:
    for text in ("", "localhost", "1.2.3", "1.2.3.4.5", "::g"):
        with pytest.raises(ValueError, match="address"):
            plain_host(text)


def test_an_address_is_banned_for_one_banned_key_after_the_other() -> None:
    origins = Origins()
    now = 1000.25
    for number in range(2):
        origins.note(f"key{number}", A)
        assert origins.charge(f"key{number}", 100, "junk", now) is None
    origins.note("staked", account_origin("0x1"))
    assert origins.charge("staked", 250, "junk", now) is None  # counts for its account alone
    origins.note("named", TRUSTED)
    assert origins.charge("named", 10_000, "junk", now) is None
    assert origins.charge("unheard of", 10_000, "junk", now) is None
    origins.note("key2", A)
    assert origins.charge("key2", 100, "the last straw", now) == A
    assert origins.charge("key2", 100, "once more", now) is None  # it is said once
    assert origins.banned(A, now) == "the last straw"
    assert origins.banned(account_origin("0x1"), now) is None
    assert origins.charge("staked", 50, "junk", now) == account_origin("0x1")
    assert origins.banned(A, now + ORIGIN_BAN_SECONDS - 2)
    assert origins.banned(A, now + ORIGIN_BAN_SECONDS) is None


def test_bans_of_an_address_double_up_to_a_day_and_tables_are_bounded() -> None:
    origins, now, last = Origins(), 0.0, 0
    origins.note("key", A)
    for _ in range(10):
        assert origins.charge("key", ORIGIN_BAN, "again", now) == A
        length = next(s for s in range(900, ORIGIN_BAN_SECONDS_MAX + 1, 900) if not origins.banned(A, now + s))
        assert length == min(max(2 * last, ORIGIN_BAN_SECONDS), ORIGIN_BAN_SECONDS_MAX)
        now, last = now + length, length
    for number in range(LEDGER_MAX + 50):
        origins.note(f"k{number}", f"o{number}")
        origins.charge(f"k{number}", 10, "junk", now)
    assert len(origins._of) == LEDGER_MAX
    assert len(origins.ledger._entries) == LEDGER_MAX


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_closed_connections_take_no_place(tmp_path: Path, host: str) -> None:
    kind = "ip6" if ":" in host else "ip4"

    async def connect_twice() -> None:
        swarm = make_swarm(settings(tmp_path, "n"), b"t" * 32)
        origins = Origins()
        places = Places(Room(), lambda _: 0, lambda *_: False)
        Entrance(swarm, places, origins, lambda _: False)
        async with BasicHost(swarm).run([Multiaddr(f"/{kind}/{host}/tcp/0")]):
            address = f"{next(iter(swarm.listeners.values())).get_addrs()[0]}/p2p/{swarm.get_peer_id()}"
            for number in range(2):
                async with sender(address, bytes([number + 1]) * 32, bytes.fromhex(NETWORK)) as visitor:
                    await visitor.connect()
                    with trio.fail_after(30):
                        while not places.of_peer(visitor.name):
                            await trio.sleep(0.01)
                    assert [(p.origin, p.outbound) for p in places._held] == [(origin_of(host), False)]
                with trio.fail_after(30):
                    while len(places):
                        await trio.sleep(0.01)

    trio.run(connect_twice)


def test_a_denied_network_is_kept_out_over_ipv6_too(tmp_path: Path) -> None:
    async def connect() -> None:
        swarm = make_swarm(settings(tmp_path, "n", deny=["::1/128"]), b"t" * 32)
        places = Places(Room(), lambda _: 0, lambda *_: False)
        Entrance(swarm, places, Origins(), lambda _: False)
        async with BasicHost(swarm).run([Multiaddr("/ip6/::1/tcp/0")]):
            address = next(iter(swarm.listeners.values())).get_addrs()[0]
            stream = await trio.open_tcp_stream("::1", int(address.value_for_protocol("tcp")))
            with trio.fail_after(30):
                assert await stream.receive_some(100) == b""  # closed without a word
            await stream.aclose()
            assert len(places) == 0

    trio.run(connect)


def test_addresses_through_a_relay_are_taken_apart() -> None:
    relay, peer = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN", "12D3KooWAAAA"
    text = f"/ip4/192.0.2.1/tcp/4001/p2p/{relay}/p2p-circuit"
    assert split_address(f"{text}/p2p/{peer}") == (peer, text)
