"""Members of a cohort: the same root whatever happens, late and invalid contributions, stops and returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consensus.aggregation.compression import Int8, decode_update, encode_update
from consensus.commitments.tensors import global_root
from consensus.quorum.parts import Span
from consensus.training.outer import outer_step, update_weight
from node.cohort.deciding import BehindError
from node.cohort.errors import NotSettledError, RootMismatchError
from node.cohort.finals import ByFinals, Finals
from node.cohort.leaves import agreed, leaves_of, reported, require_own, root_of
from node.cohort.outbox import Outbox
from node.net.wire.cohort_pb2 import Body, Contribution
from tests.cohort.hub import CONFIG, STEPS, WHOLE, Cluster, Member, quorum, update_of

LEFT, RIGHT = Span(0, 2), Span(2, 4)
SHAPES = CONFIG.shapes()


@pytest.fixture
def mixed(tmp_path: Path) -> Iterator[Cluster]:
    """Two quorums of two, cut at different places, and two that train alone."""
    one, other = quorum((1, LEFT), (2, RIGHT)), quorum((3, LEFT), (4, RIGHT))
    spans = {1: LEFT, 2: RIGHT, 3: LEFT, 4: RIGHT, 5: WHOLE, 6: WHOLE}
    cluster = Cluster(tmp_path, spans, {1: one, 2: one, 3: other, 4: other})
    yield cluster
    cluster.close()


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Cluster]:
    """Three that train alone."""
    cluster = Cluster(tmp_path, {1: WHOLE, 2: WHOLE, 3: WHOLE})
    yield cluster
    cluster.close()


def test_quorums_and_lone_nodes_hold_one_root_after_each_round(mixed: Cluster) -> None:
    for number in range(1, 4):
        for member in mixed.members.values():
            member.contribute()
        roots = mixed.settle()
        assert len(set(roots.values())) == 1
        assert {member.cohort.standing.number for member in mixed.members.values()} == {number + 1}
    whole = mixed.members[5].cohort.standing.state
    assert global_root(whole.weights, whole.velocity) in roots.values()


def test_the_state_is_the_outer_step_over_what_receivers_decode(mixed: Cluster) -> None:
    for member in mixed.members.values():
        member.contribute()
    mixed.settle()
    sources = [1000, 1000, 5, 6]
    start = mixed.start.weights
    sent = []
    for source in sources:
        raw = update_of(source, 1, WHOLE)
        # What a contributor encodes is start minus end, which rounds.
        exact = {name: start[name] - (start[name] - raw[name]) for name in start}
        sent.append((update_weight(STEPS), decode_update(Int8(), encode_update(Int8(), exact), SHAPES)))
    wanted = outer_step(mixed.start, sent)
    found = mixed.members[6].cohort.standing.state
    assert global_root(found.weights, found.velocity) == global_root(wanted.weights, wanted.velocity)


def third_comes_back(trio: Cluster) -> Member:
    """All contribute, the third is away for the rest of the round, and is back with its late work."""
    for member in trio.members.values():
        member.contribute()
    late = trio.members[3]
    trio.hub.away.add("3")
    trio.clock.at += 120
    silence(trio, 3)
    trio.settle(1, 2)
    trio.hub.away.clear()
    hear(trio, 3)
    assert late.cohort.catch_up()
    return late


def test_a_late_contribution_counts_in_the_next_round_for_less(trio: Cluster) -> None:
    late = third_comes_back(trio)
    assert late.cohort.standing.opening == trio.members[1].cohort.standing.opening
    for number in (1, 2):
        trio.members[number].contribute()
    late.contribute()
    settled = trio.rounds()
    assert len({one.root for one in settled.values()}) == 1
    fresh, aged = update_weight(STEPS), update_weight(STEPS, 9_000)  # two minutes old: 0.9
    assert {(late.account, 2, fresh), (late.account, 1, aged)} <= set(settled[1].counted)
    assert not late.cohort.outbox.pending


def test_who_comes_back_with_late_work_alone_holds_nobody_up(trio: Cluster) -> None:
    late = third_comes_back(trio)
    for number in (1, 2):
        trio.members[number].contribute()
    for member in trio.members.values():  # whoever waited for more would give the round up
        object.__setattr__(member.cohort.place.deadlines, "collect", 1000.0)
    settled = trio.rounds()
    assert len({one.root for one in settled.values()}) == 1
    assert (late.account, 1, update_weight(STEPS, 9_000)) in settled[1].counted


def test_a_member_that_knows_an_outcome_but_finds_nothing_of_it_any_more_catches_up(trio: Cluster) -> None:
    back = trio.members[3]
    back.contribute()
    trio.hub.away.add("3")
    trio.clock.at += 120
    silence(trio, 3)
    for _ in range(3):
        for number in (1, 2):
            trio.members[number].contribute()
        trio.settle(1, 2)
    trio.hub.away.clear()
    with pytest.raises(BehindError):
        back.cohort.settle()
    assert back.cohort.catch_up()
    assert back.cohort.standing.opening == trio.members[1].cohort.standing.opening


def silence(cluster: Cluster, number: int) -> None:
    """The others hear no heartbeat of a member for too long."""
    account = cluster.members[number].account
    for other, census in cluster.censuses.items():
        if other != number:
            seen = census._seen[account]
            census._seen[account] = type(seen)(seen.node, seen.peer, seen.quorum, seen.mode, 0)


def hear(cluster: Cluster, number: int) -> None:
    """The others hear it again."""
    account = cluster.members[number].account
    for other, census in cluster.censuses.items():
        if other != number:
            seen = census._seen[account]
            census._seen[account] = type(seen)(seen.node, seen.peer, seen.quorum, seen.mode, cluster.clock.at)


def spoiled(member: Member, **changes: object) -> None:
    """Announce a contribution of the open round with other fields than the outbox would give it."""
    cohort = member.cohort
    member.contribute()
    pending = cohort.outbox.pending[-1]
    data = cohort.outbox.data(pending)
    fields = {
        "version": 1,
        "versions": cohort.place.versions,
        "round": cohort.standing.number,
        "base": pending.base,
        "start_root": cohort.standing.opening.root,
        "account": member.account,
        "part_count": len(member.span),
        "batches": STEPS,
        "codec": Int8().number,
        "size": len(data),
        "root": cohort._catalogue.add_bytes(data),
        "update_root": bytes.fromhex(pending.update_root),
    }
    message = Contribution(**(fields | changes))  # type: ignore[arg-type]
    cohort._exchange.say(cohort._exchange.seal(Body(round=message.round, contribution=message)))
    cohort.outbox.after({pending.base})


def test_an_invalid_contribution_is_left_out_with_its_reason_and_a_score(trio: Cluster) -> None:
    trio.members[1].contribute()
    trio.members[2].contribute()
    trio.clock.at += 120
    spoiled(trio.members[3], update_root=b"u" * 32)
    spoiled(trio.members[3], start_root=b"s" * 32)
    silence(trio, 3)
    roots = trio.settle(1, 2)
    assert len(set(roots.values())) == 1
    first = trio.members[1]
    assert {source for source, _ in first.cohort.standing.counted} == {trio.members[n].account for n in (1, 2)}
    third = trio.members[3].account
    assert {(third, "update"), (third, "root")} <= {(account, what) for account, what, _ in first.cohort.faults.reasons}
    assert first.cohort.faults.score(third) < 0
    assert not first.banned


def test_an_encoding_that_does_not_decode_is_left_out(trio: Cluster) -> None:
    third = trio.members[3]
    third.contribute()
    data = bytearray(third.cohort.outbox.data(third.cohort.outbox.pending[0]))
    data[-1] = 0x80  # -128, which the encoder never writes
    third.cohort.outbox.after({1})
    spoiled(third, root=third.cohort._catalogue.add_bytes(bytes(data)))
    for number in (1, 2):
        trio.members[number].contribute()
    trio.clock.at += 120
    silence(trio, 3)
    trio.settle(1, 2)
    assert "payload" in {code for _, code, _ in trio.members[1].cohort.faults.reasons}
    assert len(trio.members[2].cohort.standing.counted) == 2


def test_a_member_that_hears_no_announcement_asks(trio: Cluster) -> None:
    trio.hub.deaf.add("2")
    for member in trio.members.values():
        member.contribute()
    assert len(set(trio.settle().values())) == 1
    assert len(trio.members[2].cohort.standing.counted) == 3


def test_a_member_killed_in_a_round_comes_back_to_it(trio: Cluster, tmp_path: Path) -> None:
    for member in trio.members.values():
        member.contribute()
    before = trio.members[3].cohort.outbox.data(trio.members[3].cohort.outbox.pending[0])
    trio.members[3].close()
    trio.members[3] = trio.member(3)
    (pending,) = trio.members[3].cohort.outbox.pending
    assert trio.members[3].cohort.outbox.data(pending) == before
    assert len(set(trio.settle().values())) == 1
    assert (trio.members[3].account, 1) in trio.members[1].cohort.standing.counted


def test_without_a_majority_nothing_is_settled(trio: Cluster) -> None:
    trio.members[1].contribute()
    trio.hub.away |= {"2", "3"}
    trio.clock.at += 120
    silence(trio, 2)
    silence(trio, 3)
    object.__setattr__(trio.members[1].cohort.place.deadlines, "round", 3.0)
    with pytest.raises(NotSettledError, match="not settled"):
        trio.members[1].cohort.settle()
    assert trio.members[1].cohort.standing.number == 1


def test_who_is_gone_votes_no_more(trio: Cluster) -> None:
    for number in (1, 2):
        trio.members[number].contribute()
    trio.hub.away.add("3")
    trio.clock.at += 120
    silence(trio, 3)
    trio.settle(1, 2)
    assert trio.members[1].cohort.standing.voters == tuple(sorted(trio.members[n].account for n in (1, 2)))


def test_what_an_encoding_left_out_is_in_the_next_one_also_after_a_stop(tmp_path: Path) -> None:
    update = update_of(1, 1, WHOLE)
    first = Outbox(tmp_path, SHAPES, Int8())
    made = first.put(1, STEPS, update)
    sent = decode_update(Int8(), first.data(made), SHAPES)
    first.after({1})
    again = Outbox(tmp_path, SHAPES, Int8())
    assert not again.pending
    second = decode_update(Int8(), again.data(again.put(2, STEPS, update)), SHAPES)
    due = {name: update[name] + (update[name] - sent[name]) for name in update}
    wanted = decode_update(Int8(), encode_update(Int8(), due), SHAPES)
    assert all((second[name] == wanted[name]).all() for name in update)
    assert any((second[name] != sent[name]).any() for name in update)


def test_what_never_counted_is_in_the_next_one(tmp_path: Path) -> None:
    update = update_of(1, 1, WHOLE)
    box = Outbox(tmp_path, SHAPES, Int8())
    box.put(1, STEPS, update)
    box.after(set())
    assert [one.tries for one in box.pending] == [1]
    box.after(set())
    assert not box.pending
    zero = {name: tensor * 0.0 for name, tensor in update.items()}
    sent = decode_update(Int8(), box.data(box.put(2, STEPS, zero)), SHAPES)
    assert all((sent[name] - update[name]).abs().max() < 1e-3 for name in update)


def test_leaves_of_parts_lead_to_the_root_of_the_whole(trio: Cluster) -> None:
    state = trio.start
    assert root_of(leaves_of(state)) == global_root(state.weights, state.velocity)


def test_another_tensor_than_most_holders_have_stops_the_node() -> None:
    accounts = frozenset(bytes([at]) * 20 for at in range(3))
    found = {"a": {account: b"x" * 64 for account in accounts}}
    pairs = agreed(found, {"a": accounts})
    assert pairs == {"a": b"x" * 64}
    with pytest.raises(RootMismatchError, match="a than this node"):
        require_own(pairs, {"a": b"y" * 64}, 1)
    assert agreed({"a": dict(zip(accounts, (b"x" * 64, b"y" * 64, b"z" * 64), strict=True))}, {"a": accounts}) is None
    assert reported([], b"", ["a"]) == {"a": {}}


def test_on_a_chain_the_final_claims_are_what_counts(tmp_path: Path) -> None:
    finals: dict[int, Finals] = {}
    cluster = Cluster(
        tmp_path, {1: WHOLE, 2: WHOLE, 3: WHOLE}, decides=lambda messages: ByFinals(messages, finals.get, 20.0)
    )
    try:
        for member in cluster.members.values():
            member.contribute()
        roots = [bytes.fromhex(cluster.members[n].cohort.outbox.pending[0].update_root) for n in (1, 3)]
        finals[1] = Finals(tuple(roots), cluster.clock.at + 60)
        settled = cluster.rounds()
        assert len({one.root for one in settled.values()}) == 1
        assert {source for source, *_ in settled[2].counted} == {cluster.members[n].account for n in (1, 3)}
        assert cluster.members[2].cohort.standing.opening.at == cluster.clock.at + 60
        assert [one.tries for one in cluster.members[2].cohort.outbox.pending] == [1]
    finally:
        cluster.close()
