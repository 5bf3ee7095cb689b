"""Who must be replaced in a quorum: silent members and those that became slow, measured by what they joined with."""

from __future__ import annotations

from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from economics.networks import DEVNET_TIMES
from node.quorum.census import Seen
from node.quorum.watch import Watch

ONE, TWO = b"\1" * 20, b"\2" * 20
FAST, SLOW = 5_000, 21_000
"""Microseconds of tier 1, and over twice what tier 1 allows; by itself that is a tier-2 node, and none too slow."""


def seen(account: bytes, layer_us: int, at: int) -> Seen:
    return Seen(Peer(account, layer_us, 0, Span(0, 6), 1 << 30), "peer", b"", "pipeline", at)


def test_a_silent_member_is_at_fault_after_two_heartbeats() -> None:
    watch = Watch([ONE, TWO], {}, DEVNET_TIMES, 100)
    late = 101 + 2 * int(DEVNET_TIMES.heartbeat)
    assert watch.look({ONE: seen(ONE, FAST, 101), TWO: seen(TWO, FAST, 101)}, late - 1) == {}
    assert watch.look({ONE: seen(ONE, FAST, late), TWO: seen(TWO, FAST, 101)}, late) == {TWO: "missed 2 heartbeats"}


def test_a_member_that_was_never_heard_is_at_fault() -> None:
    assert set(Watch([ONE], {}, DEVNET_TIMES, 100).look({}, 110)) == {ONE}


def test_a_member_is_slow_against_the_tier_it_joined_with() -> None:
    watch = Watch([ONE], {ONE: seen(ONE, FAST, 100)}, DEVNET_TIMES, 100)
    wait = int(DEVNET_TIMES.slow)
    for now in range(101, 101 + wait):
        assert watch.look({ONE: seen(ONE, SLOW, now)}, now) == {}
    assert "over twice its tier's time" in watch.look({ONE: seen(ONE, SLOW, 101 + wait)}, 101 + wait)[ONE]


def test_slowness_with_a_break_counts_anew() -> None:
    watch = Watch([ONE], {ONE: seen(ONE, FAST, 100)}, DEVNET_TIMES, 100)
    for now in range(101, 120):
        layer_us = FAST if now % 4 == 0 else SLOW
        assert watch.look({ONE: seen(ONE, layer_us, now)}, now) == {}
