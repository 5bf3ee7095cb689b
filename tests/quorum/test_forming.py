"""Formed quorums cover the model, match in speed, are valid by everyone's check, and do not depend on any order."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from quorum_cases import PLENTY, account, covering, layout, networks, peer

from consensus.quorum.formation import Formed, Terms, form, propose
from consensus.quorum.parts import Span
from consensus.quorum.peers import Peer
from consensus.quorum.placing import place, stage_time
from consensus.quorum.presence import Presence
from consensus.quorum.proposal import Proposal, Seat
from consensus.quorum.replacement import better_partner, substitute, worth_switching
from consensus.quorum.sizes import members_min
from consensus.quorum.tiers import match
from consensus.quorum.validity import Facts, Reason, refusals
from economics.constants import QUORUM_MEMBERS_MAX

NOW = 1_000_000


@settings(max_examples=150)
@given(networks(), st.integers(1, 60))
def test_what_forms_is_valid(network: tuple[int, list[Peer]], nodes: int) -> None:
    layers, peers = network
    by_account = {one.account: one for one in peers}
    shape = layout(layers)
    found = propose(peers[0], peers[1:], shape, Terms(NOW, nodes))
    if isinstance(found, Formed):
        assert found.why_not
        return
    assert refusals(found, Facts(by_account, shape, nodes, NOW)) == []
    assert [part for seat in found.seats for part in seat.span.parts()] == list(range(layers + 2))
    tiers = [by_account[a].tier for a in found.accounts]
    assert all(match(a, b) for a, b in combinations(tiers, 2))
    assert 5 not in tiers
    assert members_min(nodes) <= len(found.seats) <= QUORUM_MEMBERS_MAX
    assert peers[0].account in found.accounts


@settings(max_examples=60)
@given(networks(), st.integers(1, 30), st.randoms(use_true_random=False))
def test_the_order_of_nodes_changes_nothing(network: tuple[int, list[Peer]], nodes: int, mix: st.DataObject) -> None:
    layers, peers = network
    rest = peers[1:]
    mix.shuffle(rest)
    assert form(peers[0], rest, layout(layers), nodes) == form(peers[0], peers[1:], layout(layers), nodes)


# The embedding alone is no stage: the quick node that holds nothing else helps nobody.
@settings(max_examples=150)
@given(covering(extra=3))
@example((2, [peer(1, 1, 4), peer(2, 0, 1, link_us=0), peer(3, 0, 2, link_us=4)]))
def test_a_quorum_forms_wherever_one_is_possible(network: tuple[int, list[Peer]]) -> None:
    """Nothing that the greedy choice does leads it past a quorum that a search of all sets of nodes finds."""
    layers, peers = network
    formed = form(peers[0], peers[1:], layout(layers), 1)
    if not formed.ok:
        rest = [(one, one.held) for one in peers[1:] if one.held]
        first = [(peers[0], peers[0].held)] if peers[0].held else []
        sets = (few for size in range(len(rest) + 1) for few in combinations(rest, size))
        assert all(place([*first, *few], layout(layers)) is None for few in sets)


@settings(max_examples=100)
@given(networks(most=6))
def test_places_split_without_gap_and_no_cut_is_better(network: tuple[int, list[Peer]]) -> None:
    layers, peers = network
    shape = layout(layers)
    members = [(one, one.held) for one in peers if one.held]
    placed = place(members, shape)
    best = _best_split(sorted(members, key=lambda m: (m[1], m[0].account)), 0, shape.parts, layers)
    if placed is None:
        assert best is None
        return
    assert [part for _, span in placed for part in span.parts()] == list(range(shape.parts))
    assert max(stage_time(one, span, shape) for one, span in placed) == best


def _best_split(members: list[tuple[Peer, Span]], start: int, parts: int, layers: int) -> int | None:
    """Every split there is, tried one by one."""
    if not members:
        return 0 if start == parts else None
    one, held = members[0]
    found = []
    for stop in range(start + 1, held.stop + 1) if start in held else ():
        if stop in {1, parts - 1}:
            continue
        rest = _best_split(members[1:], stop, parts, layers)
        if rest is not None:
            found.append(max(rest, stage_time(one, Span(start, stop), layout(layers))))
    return min(found, default=None)


def test_greedy_takes_more_new_parts_for_the_time() -> None:
    first, quick_few, slow_many = peer(1, 0, 3), peer(2, 3, 5, link_us=1_000), peer(3, 3, 8, link_us=20_000)
    found = form(first, [quick_few, slow_many], layout(6), 1)
    assert [seat.account for seat in found.seats] == [account(1), account(3)]
    found = form(first, [quick_few, replace(slow_many, link_us=400_000), peer(4, 5, 8)], layout(6), 1)
    assert [seat.account for seat in found.seats] == [account(1), account(2), account(4)]


def test_why_there_is_no_quorum() -> None:
    shape = layout(6)
    assert "holds no part" in form(Peer(account(1), 1_000, 0), [], shape, 1).why_not
    assert "T5 joins no quorum" in form(peer(1, 0, 8, tier=5), [], shape, 1).why_not
    assert form(peer(1, 0, 6), [peer(2, 2, 7)], shape, 1).why_not == "no free node of matching speed can run the head"
    assert "can run the layer 5" in form(peer(1, 0, 6, tier=1), [peer(2, 6, 8, tier=3)], shape, 1).why_not
    assert "fewer than 3" in form(peer(1, 0, 8), [peer(2, 0, 8)], shape, 20).why_not
    many = [peer(n, n, n + 1) for n in range(1, 18)]
    assert "no quorum of 16" in form(peer(99, 0, 1), many, layout(16), 1).why_not


def test_a_node_that_holds_all_shares_it_in_a_larger_network() -> None:
    found = form(peer(1, 0, 8), [peer(2, 0, 8), peer(3, 3, 6), peer(4, 5, 8)], layout(6), 20)
    assert len(found.seats) == 3
    assert found.seats[0].account == account(1)


def _valid() -> tuple[Proposal, Facts]:
    peers = [peer(1, 0, 4), peer(2, 3, 6, tier=3), peer(3, 5, 8), peer(4, 0, 8, tier=4), peer(5, 0, 8, tier=5)]
    by_account = {one.account: one for one in peers}
    seats = (Seat(account(1), Span(0, 3)), Seat(account(2), Span(3, 6)), Seat(account(3), Span(6, 8)))
    return Proposal(account(1), seats, 0, 0, NOW, 3600), Facts(by_account, layout(6), 25, NOW)


def _seats(*rows: tuple[int, int, int]) -> dict[str, object]:
    return {"seats": tuple(Seat(account(n), Span(a, b)) for n, a, b in rows)}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arch_version": 1}, Reason.VERSION),
        ({"vocab_version": 1}, Reason.VERSION),
        ({"starts": NOW + 61}, Reason.TIME),
        ({"starts": NOW - 61}, Reason.TIME),
        ({"seconds": 1}, Reason.LENGTH),
        (_seats(*((n, n, n + 1) for n in range(17))), Reason.TOO_MANY),
        (_seats((1, 0, 3), (3, 3, 8)), Reason.TOO_FEW),
        (_seats((1, 0, 3), (2, 3, 6), (2, 6, 8)), Reason.DUPLICATE),
        ({"initiator": account(4)}, Reason.INITIATOR),
        (_seats((1, 0, 3), (9, 3, 6), (3, 6, 8)), Reason.UNKNOWN),
        (_seats((1, 0, 3), (2, 3, 6), (5, 6, 8)), Reason.TIER),
        (_seats((1, 0, 3), (4, 3, 6), (3, 6, 8)), Reason.TIER),
        (_seats((1, 0, 3), (2, 4, 6), (3, 6, 8)), Reason.GAP),
        (_seats((1, 1, 3), (2, 3, 6), (3, 6, 8)), Reason.GAP),
        (_seats((1, 0, 3), (2, 3, 6), (3, 6, 7)), Reason.GAP),
        (_seats((1, 0, 4), (2, 3, 6), (3, 6, 8)), Reason.OVERLAP),
        (_seats((1, 0, 3), (2, 3, 6), (3, 6, 9)), Reason.OVERLAP),
        (_seats((2, 3, 6), (1, 0, 3), (3, 6, 8)), Reason.OVERLAP),
        (_seats((1, 0, 2), (2, 2, 6), (3, 6, 8)), Reason.NOT_HELD),
        (_seats((1, 0, 1), (2, 1, 6), (3, 6, 8)), Reason.EMPTY),
        (_seats((1, 0, 3), (2, 3, 7), (3, 7, 8)), Reason.EMPTY),
    ],
)
def test_each_broken_rule_is_named(changes: dict[str, object], reason: Reason) -> None:
    proposal, facts = _valid()
    assert refusals(proposal, facts) == []
    found = refusals(replace(proposal, **changes), facts)  # type: ignore[arg-type]
    assert reason in {one.reason for one in found}
    assert str(found[0])


def test_members_elsewhere_away_or_too_small_are_refused() -> None:
    proposal, facts = _valid()
    busy = replace(facts, busy={account(2): b"\x07" * 32})
    assert [one.reason for one in refusals(proposal, busy)] == [Reason.BUSY]
    assert refusals(proposal, replace(facts, busy={account(2): proposal.id})) == []
    away = replace(facts, absent={account(2): Presence.STALE})
    assert [one.reason for one in refusals(proposal, away)] == [Reason.AWAY]
    small = {**facts.peers, account(3): replace(facts.peers[account(3)], memory=249)}
    assert [one.reason for one in refusals(proposal, replace(facts, peers=small))] == [Reason.MEMORY]


def test_every_reason_has_a_case() -> None:
    """A new reason without a test fails here."""
    cases = {mark.args[1][n][1] for mark in test_each_broken_rule_is_named.pytestmark for n in range(len(mark.args[1]))}
    assert cases | {Reason.BUSY, Reason.AWAY, Reason.MEMORY} == set(Reason)


# --- replacing ---


@settings(max_examples=100)
@given(covering(), st.integers(0, 15))
def test_a_substitute_keeps_the_quorum_valid(network: tuple[int, list[Peer]], at: int) -> None:
    layers, peers = network
    by_account, shape = {one.account: one for one in peers}, layout(layers)
    found = propose(peers[0], peers[1:], shape, Terms(NOW, 1))
    assume(isinstance(found, Proposal))
    assert isinstance(found, Proposal)
    lost = found.seats[at % len(found.seats)].account
    free = [one for one in peers if one.account not in found.accounts]
    taken = substitute(found.seats, lost, by_account, free, shape)
    if taken is None:
        return
    seats = tuple(Seat(taken.account, s.span) if s.account == lost else s for s in found.seats)
    after = replace(found, seats=seats, initiator=seats[0].account)
    assert refusals(after, Facts(by_account, shape, 1, NOW)) == []


def test_a_better_partner_must_be_better_by_a_fifth() -> None:
    assert worth_switching(12_001, 10_000)
    assert not worth_switching(12_000, 10_000)
    seats = (Seat(account(1), Span(0, 4)), Seat(account(2), Span(4, 8)))
    peers = {account(1): peer(1, 0, 4, tier=1), account(2): Peer(account(2), 30_000, 0, Span(4, 8), PLENTY)}
    little = Peer(account(3), 26_000, 0, Span(4, 8), PLENTY)
    much = Peer(account(4), 20_000, 0, Span(4, 8), PLENTY)
    assert better_partner(seats, peers, [little], layout(6)) is None
    assert better_partner(seats, peers, [little, much], layout(6)) == (account(2), much)
    elsewhere = Peer(account(5), 1_000, 0, Span(0, 4), PLENTY)
    assert better_partner(seats, peers, [elsewhere], layout(6)) is None
