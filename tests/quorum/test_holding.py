"""Tiers, what parts cost, which a node should hold, how scarce they are, and who audits whom."""

from __future__ import annotations

import hashlib
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from quorum_cases import account, layout

from consensus.errors import QuorumError
from consensus.model.config import PRESETS
from consensus.model.init import init_weights
from consensus.quorum import coverage, lottery, tiers
from consensus.quorum.capacity import choose_span, fitting_span, layout_of
from consensus.quorum.parts import Span, part_name, span_name
from consensus.quorum.peers import Peer
from economics.units import WAD


def test_tiers_by_milliseconds() -> None:
    limits = (0, 9_999, 10_000, 49_999, 50_000, 199_999, 200_000, 999_999, 1_000_000)
    assert [tiers.tier_of(us) for us in limits] == [1, 1, 2, 2, 3, 3, 4, 4, 5]
    with pytest.raises(ValueError, match="negative"):
        tiers.tier_of(-1)
    with pytest.raises(ValueError, match="no tier 6"):
        tiers.tier_limit_us(6)


def test_partners_are_mutual_and_groups_match_within() -> None:
    assert {n: tiers.partners(n) for n in range(1, 6)} == {1: (1, 2), 2: (1, 2, 3), 3: (2, 3, 4), 4: (3, 4), 5: ()}
    for a in range(1, 6):
        for b in range(1, 6):
            assert tiers.match(a, b) == tiers.match(b, a) == (b in tiers.partners(a))
        for group in tiers.groups(a):
            assert a in group
            assert all(tiers.match(x, y) for x in group for y in group)
    assert tiers.groups(5) == []
    assert tiers.groups(2) == [frozenset({1, 2}), frozenset({2, 3})]


def test_slow_is_over_twice_the_tier() -> None:
    assert [tiers.is_slow(us, 1) for us in (20_000, 20_001)] == [False, True]
    assert [tiers.is_slow(us, 4) for us in (2_000_000, 2_000_001)] == [False, True]


def test_names() -> None:
    assert [part_name(part, 4) for part in range(4)] == ["embedding", "layer 0", "layer 1", "head"]
    assert span_name(Span(0, 3), 4) == "embedding to layer 1"
    assert span_name(Span(3, 4), 4) == "head"
    for bad in ((1, 1), (2, 1), (-1, 1)):
        with pytest.raises(QuorumError):
            Span(*bad)
    with pytest.raises(QuorumError, match="20 bytes"):
        Peer(b"\x01", 1, 1)


# --- what parts cost ---


@pytest.mark.parametrize("name", ["tiny", "small", "base"])
def test_a_layout_counts_every_weight(name: str) -> None:
    config = PRESETS[name]
    shape = layout_of(config, in_flight=0)
    matrices = config.parameters - (config.vocab + config.seq_len) * config.width
    rows = min(512, config.tokens_per_step)
    assert sum(shape.memory) == 4 * (6 * config.parameters + 2 * matrices) + 8 * rows * config.vocab
    assert shape.parts == config.layers + 2
    assert shape.work[1:-1] == (10_000,) * config.layers


def test_a_layout_holds_what_a_step_takes() -> None:
    """The tensors that one process really keeps for a step of the tiny preset are not more than what is counted."""
    config = PRESETS["tiny"]
    state = 6 * sum(w.numel() * w.element_size() for w in init_weights(config, b"x").values())
    assert state < sum(layout_of(config).memory) < 20 * state


@given(st.integers(0, 9), st.integers(0, 3000))
def test_the_longest_range_that_fits(start: int, memory: int) -> None:
    shape = layout(8)
    span = fitting_span(shape, start, memory)
    if span is None:
        assert shape.memory[start] > memory
        return
    assert shape.bytes_of(span) <= memory
    assert span.stop == shape.parts or shape.bytes_of(Span(start, span.stop + 1)) > memory


# --- coverage ---


def test_scarcity() -> None:
    assert coverage.scarcity(0, 3, False) == WAD
    assert coverage.scarcity(2, 3, False) == WAD // 3
    assert coverage.scarcity(2, 3, True) == WAD // 3 * 3 // 2
    assert coverage.scarcity(0, 3, True) == WAD
    assert coverage.scarcity(4, 3, True) == 0
    assert [coverage.wanted_replicas(n) for n in (1, 4, 5, 19, 20)] == [1, 1, 2, 2, 3]
    found = coverage.scarcities([2, 3, 2, 3], 50)
    assert found == [WAD // 3 * 3 // 2, 0, WAD // 3, 0]
    assert coverage.span_scarcity(Span(0, 4), found) == sum(found) // 4
    with pytest.raises(ValueError, match="one holder"):
        coverage.scarcity(0, 0, False)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12)), max_size=20))
def test_holders_are_counted(rows: list[tuple[int, int]]) -> None:
    spans = [Span(start, start + length) for start, length in rows]
    counts = coverage.count_holders(spans, 10)
    assert counts == [sum(part in span for span in spans) for part in range(10)]
    assert coverage.is_covered(spans, 10) == all(counts)


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(0, 2**32))
def test_nodes_that_come_one_by_one_cover_the_model_with_its_replicas(layers: int, seed: int) -> None:
    """Once there is memory for it, every part has what the network wants, whatever each node can give."""
    draw, shape = random.Random(seed), layout(layers)  # noqa: S311 - a test's, from a seed
    total, spans = sum(shape.memory), []
    for number in range(200):
        memory = draw.choice([150, 200, 350, 1000, 10**6])
        counts = coverage.count_holders(spans, shape.parts)
        if min(counts) >= 3:
            break
        span = choose_span(shape, memory, counts, 25, hashlib.sha256(bytes([number])).digest()[:20])
        assert span is not None
        assert shape.bytes_of(span) <= memory
        assert any(counts[part] == min(counts) for part in span.parts()) or memory < total
        spans.append(span)
    counts = coverage.count_holders(spans, shape.parts)
    assert min(counts) >= 3
    assert sum(map(shape.bytes_of, spans)) <= 3 * total * 8


def test_scarce_parts_are_chosen_and_equals_spread() -> None:
    shape = layout(6)
    counts = [3, 3, 3, 0, 3, 3, 3, 3]
    for number in range(20):
        span = choose_span(shape, 200, counts, 25, account(number))
        assert span is not None
        assert 3 in span
    assert choose_span(shape, 99, counts, 25, account(1)) is None
    picked = {choose_span(shape, 200, [0] * 8, 25, account(number)) for number in range(20)}
    assert len(picked) > 1


# --- audits across quorums ---


def _draw(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def test_nobody_audits_its_own_quorum() -> None:
    everyone = [account(n) for n in range(30)]
    quorum_of = {a: bytes([n % 5]) * 32 for n, a in enumerate(everyone) if n < 25}
    for n in range(300):
        claimant = everyone[n % 30]
        found = lottery.panel(_draw("seed"), _draw(str(n)), claimant, everyone, quorum_of, 10)
        own = quorum_of.get(claimant)
        assert claimant not in found
        assert len(found) == (24 + 1 if own else 29)
        assert all(own is None or quorum_of.get(a) != own for a in found)
        assert not lottery.is_due(_draw("seed"), _draw(str(n)), claimant, claimant, quorum_of, 10)


@pytest.mark.parametrize(("nodes", "share"), [(50, 0.2), (200, 0.05), (1000, 0.03)])
def test_the_share_of_claims_is_audited_by_two(nodes: int, share: float) -> None:
    everyone = [account(n) for n in range(nodes)]
    found = [lottery.panel(_draw("s"), _draw(str(n)), account(0), everyone, {}, nodes) for n in range(2000)]
    drawn = [one for one in found if one]
    assert all(len(one) == len(set(one)) == 2 for one in drawn)
    assert abs(len(drawn) / 2000 - share) < 0.02
    assert len({a for one in drawn for a in one}) > min(nodes, len(drawn)) * 0.9


def test_a_draw_does_not_depend_on_the_order_of_auditors() -> None:
    everyone = [account(n) for n in range(40)]
    for n in range(50):
        arguments = (_draw("s"), _draw(str(n)), account(0))
        assert lottery.panel(*arguments, everyone, {}, 40) == lottery.panel(*arguments, everyone[::-1], {}, 40)


def test_torch_is_not_seeded_by_the_rules() -> None:
    before = torch.get_rng_state()
    choose_span(layout(3), 200, [0] * 5, 3, account(1))
    assert torch.equal(before, torch.get_rng_state())
