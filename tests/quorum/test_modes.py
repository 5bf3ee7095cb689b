"""The choice of a mode: the protocol's order, and a reason in words for every choice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.quorum.modes import Action, Mode, Situation, choose, providers_wanted, verifiers_wanted

LARGE = Situation(nodes=200, tier=2, searched=1000, verifiers=50, providers=50)
"""A node of a network that lacks nothing, after its search for a quorum."""


@pytest.mark.parametrize(
    ("changes", "mode", "action", "why"),
    [
        ({"nodes": 1}, Mode.SOLO, Action.STAY, "no other node is online"),
        ({"nodes": 1, "holds": False}, Mode.IDLE, Action.STAY, "fits the memory"),
        ({"staked": False}, Mode.IDLE, Action.STAY, "no active stake"),
        (
            {"tier": 5, "layer_us": 1_500_000, "shards": 3},
            Mode.DATA,
            Action.STAY,
            "T5 (1500 ms a layer) joins no quorum",
        ),
        ({"tier": 5, "layer_us": 1_500_000}, Mode.ASYNC, Action.STAY, "it holds no shards"),
        ({"tier": 5, "holds": False}, Mode.IDLE, Action.STAY, "fits the memory"),
        ({"in_quorum": "quorum 0xab"}, Mode.PIPELINE, Action.STAY, "member of quorum 0xab"),
        ({"joinable": "quorum 0xab"}, Mode.PIPELINE, Action.JOIN, "joins quorum 0xab"),
        ({"searched": 12}, Mode.IDLE, Action.WAIT, "looks for a quorum to join, for 18 s more"),
        ({"searched": 12, "formable": True}, Mode.IDLE, Action.WAIT, "for 18 s more"),
        ({"searched": 30, "formable": True}, Mode.PIPELINE, Action.FORM, "forms one"),
        (
            {"searched": 31, "why_not": "nobody runs the head"},
            Mode.IDLE,
            Action.WAIT,
            "nobody runs the head; tries for 59 s",
        ),
        ({"formable": True}, Mode.PIPELINE, Action.FORM, "forms one"),
        ({"verifiers": 1}, Mode.VERIFY, Action.STAY, "1 of 4 verifiers"),
        (
            {"verifiers": 1, "why_not": "nobody runs the head"},
            Mode.VERIFY,
            Action.STAY,
            "no quorum: nobody runs the head; ",
        ),
        ({"providers": 2, "shards": 1}, Mode.DATA, Action.STAY, "2 of 3 data providers"),
        ({"providers": 2, "storage": 10, "shard_bytes": 10}, Mode.DATA, Action.STAY, "2 of 3 data providers"),
        ({"providers": 2, "storage": 9, "shard_bytes": 10}, Mode.ASYNC, Action.STAY, "no other node offers a seat"),
        ({}, Mode.ASYNC, Action.STAY, "no other node offers a seat"),
        ({"holds": False, "shards": 2}, Mode.DATA, Action.STAY, "holds 2 shards"),
        ({"holds": False}, Mode.IDLE, Action.STAY, "fits the memory"),
        ({"forced": Mode.INFERENCE}, Mode.INFERENCE, Action.STAY, "chosen by the operator"),
        ({"forced": Mode.VERIFY, "in_quorum": "quorum 0xab"}, Mode.VERIFY, Action.STAY, "chosen by the operator"),
        ({"forced": Mode.PIPELINE}, Mode.IDLE, Action.FORM, "pipeline chosen by the operator, but no quorum"),
        ({"forced": Mode.PIPELINE, "formable": True}, Mode.PIPELINE, Action.FORM, "chosen by the operator"),
        ({"forced": Mode.PIPELINE, "in_quorum": "q"}, Mode.PIPELINE, Action.STAY, "chosen by the operator"),
        ({"forced": Mode.ASYNC, "staked": False}, Mode.IDLE, Action.STAY, "no active stake"),
    ],
)
def test_the_order_and_the_reason(changes: dict[str, object], mode: Mode, action: Action, why: str) -> None:
    choice = choose(replace(LARGE, **changes))  # type: ignore[arg-type]
    assert (choice.mode, choice.action) == (mode, action)
    assert why in choice.why


@given(
    st.builds(
        Situation,
        nodes=st.integers(1, 1000),
        tier=st.integers(1, 5),
        holds=st.booleans(),
        staked=st.booleans(),
        in_quorum=st.sampled_from(["", "quorum 0xab"]),
        joinable=st.sampled_from(["", "quorum 0xcd"]),
        formable=st.booleans(),
        searched=st.integers(0, 200),
        shards=st.integers(0, 2),
        storage=st.integers(0, 2),
        verifiers=st.integers(0, 40),
        providers=st.integers(0, 5),
        forced=st.sampled_from([None, *Mode]),
    )
)
def test_every_choice_has_a_reason_and_keeps_the_rules(at: Situation) -> None:
    choice = choose(at)
    assert choice.why
    if not at.staked:
        assert choice.mode is Mode.IDLE
    elif at.forced is None:
        assert (choice.mode is Mode.SOLO) == (at.nodes == 1 and at.holds)
        assert choice.mode is not Mode.INFERENCE
        if at.tier == 5:
            assert choice.mode is not Mode.PIPELINE
        if choice.mode in {Mode.ASYNC, Mode.VERIFY}:
            assert at.holds
    elif at.forced is not Mode.PIPELINE:
        assert choice.mode is at.forced


def test_how_many_verify_and_serve() -> None:
    assert [verifiers_wanted(n) for n in (1, 19, 20, 99, 100, 499, 500, 1000)] == [0, 0, 2, 8, 2, 10, 6, 12]
    assert [providers_wanted(n) for n in (1, 4, 5, 19, 20)] == [1, 1, 2, 2, 3]
