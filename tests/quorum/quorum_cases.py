"""Made-up nodes for the tests of the rules."""

from __future__ import annotations

from hypothesis import strategies as st

from consensus.quorum.capacity import Layout, uniform_layout
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from consensus.quorum.tiers import SLOWEST

SPEEDS_US = (5_000, 30_000, 120_000, 500_000, 2_000_000)
"""A layer's time well inside each tier."""
PLENTY = 10**12


def account(number: int) -> bytes:
    return number.to_bytes(20, "big")


def peer(number: int, start: int, stop: int, tier: int = 2, link_us: int = 1_000, memory: int = PLENTY) -> Peer:
    return Peer(account(number), SPEEDS_US[tier - 1], link_us, Span(start, stop), memory)


def layout(layers: int) -> Layout:
    return uniform_layout(layers, layer_bytes=100, edge_bytes=150)


@st.composite
def networks(draw: st.DrawFn, most: int = 24) -> tuple[int, list[Peer]]:
    """(layers, nodes): some hold much, some little; links and speeds differ within and across tiers."""
    layers = draw(st.integers(1, 10))
    parts = layers + 2
    count = draw(st.integers(1, most))
    nodes = []
    for number in range(1, count + 1):
        start = draw(st.integers(0, parts - 1))
        stop = draw(st.integers(start + 1, parts))
        tier = draw(st.integers(1, SLOWEST))
        layer_us = SPEEDS_US[tier - 1] + draw(st.integers(-999, 999))
        memory = draw(st.sampled_from([PLENTY, PLENTY, PLENTY, 120]))
        nodes.append(Peer(account(number), layer_us, draw(st.integers(0, 200_000)), Span(start, stop), memory))
    return layers, nodes


@st.composite
def covering(draw: st.DrawFn, extra: int = 6) -> tuple[int, list[Peer]]:
    """(layers, nodes of one tier that hold the whole model between them), the first anywhere in it."""
    layers = draw(st.integers(1, 8))
    parts = layers + 2
    cuts = sorted(draw(st.sets(st.integers(1, parts - 1), max_size=4)))
    tier = draw(st.integers(1, 4))
    spans = []
    for start, stop in zip([0, *cuts], [*cuts, parts], strict=True):
        spans.append((draw(st.integers(0, start)), draw(st.integers(stop, parts))))
    for _ in range(draw(st.integers(0, extra))):
        start = draw(st.integers(0, parts - 1))
        spans.append((start, draw(st.integers(start + 1, parts))))
    order = draw(st.permutations(spans))
    return layers, [
        peer(n, *span, tier=tier, link_us=draw(st.integers(0, 100_000))) for n, span in enumerate(order, start=1)
    ]
