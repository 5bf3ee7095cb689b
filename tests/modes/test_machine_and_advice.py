"""A machine measured, a network looked at, and the mode that follows: from real engines and real files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.arithmetic.choice import choose_engine
from consensus.model.config import PRESETS
from consensus.model.init import init_weights
from consensus.quorum.capacity import layout_of, uniform_layout
from consensus.quorum.modes import Action, Mode
from consensus.quorum.parts import Span
from consensus.training.step import Trainer, TrainState
from economics.networks import DEVNET_TIMES, MAINNET_TIMES
from node.errors import DataError, DiskError
from node.modes.advisor import Advisor, Machine
from node.modes.benchmark import RUNS, SelfBenchmark, measure_layer_us
from node.modes.desk import NO_PEERS, ModeDesk
from node.modes.memory import usable_memory
from node.modes.sources import FileSource, RecordSource
from node.modes.view import NetworkView, NodeRow, QuorumRow, Range, SeatRow, read_view, write_view

TINY = PRESETS["tiny"]
ME = "0x" + "11" * 20


def account(number: int) -> str:
    return "0x" + number.to_bytes(20, "big").hex()


def row(number: int, start: int, stop: int, **more: object) -> NodeRow:
    facts = {"layer_us": 20_000, "link_us": 1_000, "memory": 10**9, "mode": "idle", "last_heartbeat": 1_000}
    return NodeRow.model_validate({"account": account(number), "held": Range(start=start, stop=stop), **facts, **more})


def quorum(*members: tuple[int, int, int], state: str = "active") -> QuorumRow:
    seats = [SeatRow(account=account(n), parts=Range(start=a, stop=b)) for n, a, b in members]
    return QuorumRow(id="0x" + "ab" * 32, initiator=seats[0].account, state=state, seats=seats)


class Ticks:
    """A clock that gives the next of its readings, or stands."""

    def __init__(self, readings: Iterator[float] | None = None) -> None:
        self.now, self.readings = 0.0, readings

    def __call__(self) -> float:
        if self.readings is not None:
            self.now = next(self.readings)
        return self.now


# --- the machine ---


def test_the_benchmark_takes_the_median_of_its_runs() -> None:
    durations = [9.0, 0.004, 0.004, 7.0, 0.003, 0.004, 0.005, 0.005]
    assert len(durations) == RUNS + 1
    readings = [at for n, took in enumerate(durations) for at in (100.0 * n, 100.0 * n + took)]
    assert measure_layer_us(choose_engine(1), TINY, Ticks(iter(readings))) == 4_000


def test_the_benchmark_disturbs_no_training() -> None:
    """Measuring between two steps changes no bit of what is trained."""
    import torch

    states, engine = [], choose_engine(1)
    tokens = (torch.arange(TINY.batch * (TINY.seq_len + 1)) * 31 % 250).to(torch.int32).view(TINY.batch, -1)
    for measures in (False, True):
        trainer, state = Trainer(TINY, engine), TrainState.start(init_weights(TINY, b"x"))
        for _ in range(2):
            trainer.step(state, tokens)
            if measures:
                measure_layer_us(engine, TINY, Ticks(), runs=1)
        states.append(state)
    assert all(torch.equal(w, states[1].weights[name]) for name, w in states[0].weights.items())


def test_it_measures_again_after_an_hour() -> None:
    clock = Ticks()
    bench = SelfBenchmark(clock)
    engine = choose_engine(1)
    assert bench.look(engine, TINY) == 1
    assert (bench.tier, bench.measured) == (1, 1)
    clock.now = MAINNET_TIMES.benchmark - 1
    bench.look(engine, TINY)
    assert bench.measured == 1
    clock.now = MAINNET_TIMES.benchmark
    bench.look(engine, TINY)
    assert bench.measured == 2


def test_memory(tmp_path: Path) -> None:
    info = tmp_path / "meminfo"
    assert usable_memory(512) == 512 << 20
    info.write_text("MemTotal: 100 kB\nMemAvailable:   1000 kB\n")
    assert usable_memory(None, info) == 1000 * 1024 * 80 // 100
    assert usable_memory(None) > 1 << 20
    info.write_text("MemTotal: 100 kB\n")
    for path in (info, tmp_path / "none"):
        with pytest.raises(DiskError) as caught:
            usable_memory(None, path)
        assert "memory_mib" in caught.value.hint


# --- the view ---


def test_a_view_comes_back_as_written(tmp_path: Path) -> None:
    assert FileSource(tmp_path).view() is None
    view = NetworkView(layers=6, account=ME, nodes=[row(1, 0, 4)], quorums=[quorum((1, 0, 8))])
    write_view(tmp_path, view)
    assert FileSource(tmp_path).view() == view
    assert view.quorum_of(account(1).upper().replace("0X", "0x")) == view.quorums[0]
    assert view.quorum_of(ME) is None


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 0},
        {"layers": 10**9},
        {"colour": 1},
        {"nodes": [{"account": "0x12"}]},
        {"nodes": [{"account": ME, "held": {"start": 3, "stop": 3}}]},
        {"nodes": [{"account": ME, "why": "x" * 301}]},
        {"nodes": [{"account": ME, "presence": "asleep"}]},
        {"quorums": [{"id": "0xab", "initiator": ME, "state": "active"}]},
    ],
)
def test_what_is_no_view_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "network.json").write_text(json.dumps({"layers": 6} | change))
    with pytest.raises(DataError, match="no view of the network"):
        read_view(tmp_path)


def test_layers_and_their_scarcity() -> None:
    nodes = [row(1, 0, 4), row(2, 0, 4), row(3, 2, 8), row(4, 2, 8, presence="stale"), row(5, 0, 8, presence="offline")]
    rows = NetworkView(layers=6, nodes=[*nodes, row(6, 0, 1), row(7, 0, 1)]).layer_rows()
    assert [len(one.holders) for one in rows] == [4, 2, 4, 4, 2, 2, 2, 2]
    assert {one.wanted for one in rows} == {2}
    assert [one.name for one in rows][::7] == ["embedding", "head"]
    rows = NetworkView(layers=6, nodes=nodes[:1]).layer_rows()
    assert [one.scarcity for one in rows] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert rows[0].holders == [account(1)]


def test_records_become_a_view() -> None:
    rows = [row(3, 0, 4, last_heartbeat=879), row(2, 0, 4, last_heartbeat=880), row(1, 0, 4, last_heartbeat=1_000)]
    view = RecordSource(6, lambda: rows, lambda: 1_000.0, lambda: [quorum((1, 0, 8))]).view()
    assert [(one.account, one.presence) for one in view.nodes] == [
        (account(1), "online"),
        (account(2), "stale"),
        (account(3), "offline"),
    ]
    assert len(view.online()) == 1
    assert view.quorums[0].seats[0].parts.span == Span(0, 8)


# --- advice ---


def _advise(view: NetworkView, seconds: int = 0, **machine: object) -> tuple[Mode, Action, str]:
    clock = Ticks()
    clock.now = 1_000.0
    advisor = Advisor(uniform_layout(6, 100, 150), clock, held=machine.pop("held", None))  # type: ignore[arg-type]
    me = replace(Machine(ME, 20_000, 10**9), **machine)  # type: ignore[arg-type]
    advisor.advise(me, view)
    clock.now += seconds
    choice = advisor.advise(me, view).choice
    return choice.mode, choice.action, choice.why


def test_alone_it_is_solo() -> None:
    assert _advise(NetworkView(layers=6))[0] is Mode.SOLO


def test_it_joins_where_a_member_is_gone() -> None:
    others = [row(1, 0, 4), row(2, 4, 8, presence="offline"), row(3, 0, 4)]
    view = NetworkView(layers=6, nodes=others, quorums=[quorum((1, 0, 4), (2, 4, 8))])
    assert _advise(view, held=Span(3, 8)) == (Mode.PIPELINE, Action.JOIN, "joins quorum 0xabababab")
    whole = NetworkView(layers=6, nodes=[row(1, 0, 4), row(2, 4, 8)], quorums=view.quorums)
    assert _advise(whole, held=Span(3, 8))[1] is Action.WAIT
    assert _advise(view, held=Span(0, 4))[1] is Action.WAIT


def test_it_forms_after_the_search_and_the_proposal_is_there() -> None:
    view = NetworkView(layers=6, nodes=[row(1, 0, 4), row(2, 0, 4)])
    assert _advise(view, 29, held=Span(3, 8)) == (Mode.IDLE, Action.WAIT, "looks for a quorum to join, for 1 s more")
    assert _advise(view, 30, held=Span(3, 8))[:2] == (Mode.PIPELINE, Action.FORM)
    clock = Ticks()
    advisor = Advisor(uniform_layout(6, 100, 150), clock, DEVNET_TIMES, held=Span(3, 8))
    advisor.advise(Machine(ME, 20_000, 10**9), view)
    clock.now = float(DEVNET_TIMES.join)
    advice = advisor.advise(Machine(ME, 20_000, 10**9), view)
    assert advice.proposal is not None
    assert advice.proposal.initiator == bytes.fromhex(ME[2:])
    assert advice.proposal.seconds == DEVNET_TIMES.session_small


def test_of_those_that_hold_alike_the_one_with_the_largest_account_chooses_anew() -> None:
    def held(number: int, others: list[NodeRow], seconds: int) -> Span | None:
        clock = Ticks()
        clock.now = 1_000.0
        advisor = Advisor(uniform_layout(6, 100, 150), clock, held=Span(0, 5))
        me = Machine(account(number), 20_000, 600)
        view = NetworkView(layers=6, nodes=others)
        advisor.advise(me, view)
        clock.now += seconds
        return advisor.advise(me, view).span

    alike = [row(1, 0, 5), row(2, 0, 4)]
    assert held(3, alike, 29) == Span(0, 5)  # it has not looked for a quorum for long
    moved = held(3, alike, 30)
    assert moved is not None
    assert moved.stop == 8
    assert held(1, [row(3, 0, 5)], 30) == Span(0, 5)
    assert held(3, [row(1, 0, 5), row(2, 5, 8)], 30) == Span(0, 5)  # nothing is missing
    assert held(3, [row(1, 2, 5)], 30) == Span(0, 5)  # nobody else holds its first parts
    # One that takes no seat, or is too fast or too slow for this one, fills no gap and is not asked to move.
    for change in ({"aside": True}, {"mode": "verify"}, {"layer_us": 2_000_000}):
        moved = held(3, [*alike, row(9, 0, 8, **change)], 30)
        assert moved is not None, change
        assert moved.stop == 8, change


def test_a_node_that_holds_everything_needs_no_quorum() -> None:
    mode, action, why = _advise(NetworkView(layers=6, nodes=[row(1, 0, 4)]), 90, held=Span(0, 8))
    assert (mode, action) == (Mode.ASYNC, Action.STAY)
    assert "it holds the whole model" in why


def test_it_says_why_it_cannot_form() -> None:
    view = NetworkView(layers=6, nodes=[row(1, 0, 4), row(2, 0, 4)], quorums=[quorum((1, 0, 4), (2, 4, 8))])
    mode, action, why = _advise(view, 40, held=Span(3, 8))
    assert (mode, action) == (Mode.IDLE, Action.WAIT)
    assert "no free node of matching speed can run the embedding; tries for 50 s more" in why
    mode, _, why = _advise(view, 90, held=Span(3, 8))
    assert mode is Mode.ASYNC
    assert why == "no quorum: no free node of matching speed can run the embedding"
    verifying = NetworkView(layers=6, nodes=[row(1, 0, 4, mode="verify")])
    assert "can run the embedding" in _advise(verifying, 40, held=Span(3, 8))[2]


def test_a_member_is_in_its_pipeline_and_searches_anew_afterwards() -> None:
    mine = quorum((1, 0, 4), (0x11, 4, 8))
    mine = mine.model_copy(update={"seats": [mine.seats[0], SeatRow(account=ME, parts=Range(start=4, stop=8))]})
    clock = Ticks()
    advisor = Advisor(uniform_layout(6, 100, 150), clock, held=Span(3, 8))
    machine, nodes = Machine(ME, 20_000, 10**9), [row(1, 0, 4)]
    assert advisor.advise(machine, NetworkView(layers=6, nodes=nodes)).choice.action is Action.WAIT
    clock.now = 500.0
    view = NetworkView(layers=6, nodes=nodes, quorums=[mine])
    assert advisor.advise(machine, view, nodes=2).choice.why == "member of quorum 0xabababab"
    gone = NetworkView(layers=6, nodes=nodes, quorums=[mine.model_copy(update={"state": "dissolved"})])
    assert "for 30 s more" in advisor.advise(machine, gone, nodes=2).choice.why


def test_parts_are_chosen_by_memory_and_scarcity() -> None:
    view = NetworkView(layers=6, nodes=[row(1, 0, 5), row(2, 0, 5), row(3, 6, 8), row(4, 6, 8)])
    advisor = Advisor(uniform_layout(6, 100, 150), Ticks())
    span = advisor.advise(Machine(ME, 20_000, 250), view).span
    assert span is not None
    assert 5 in span
    assert advisor.advise(Machine(ME, 20_000, 99), view).span is None
    assert advisor.advise(Machine(ME, 20_000, 99), view).choice.mode is Mode.IDLE


# --- the running node ---


def test_the_desk_reports_and_writes(tmp_path: Path) -> None:
    engine, clock = choose_engine(1), Ticks()
    memory = sum(layout_of(TINY).memory)
    desk = ModeDesk(tmp_path, ME, memory, clock=clock, unix=lambda: 5_000.0)
    assert desk.trains
    shown = desk.look(engine, TINY, {ME: "http://127.0.0.1:1"})
    assert shown == {
        "mode": "solo",
        "why": "no other node is online",
        "nodes": 1,
        "tier": 1,
        "layer_us": 1,
        "holds": "embedding to head",
    }
    assert desk.trains
    clock.now = 10.0
    shown = desk.look(engine, TINY, {ME: "http://127.0.0.1:1", account(2): "http://127.0.0.1:2"})
    assert (shown["mode"], shown["why"]) == ("async", f"no quorum: {NO_PEERS}")
    view = read_view(tmp_path)
    assert view is not None
    assert [one.account for one in view.nodes] == [account(2), ME]
    assert (view.nodes[1].mode, view.nodes[1].held) == ("async", Range(start=0, stop=6))


def test_the_operator_can_force_a_mode_and_the_desk_obeys(tmp_path: Path) -> None:
    engine = choose_engine(1)
    for mode, trains in ((Mode.VERIFY, False), (Mode.ASYNC, True), (Mode.PIPELINE, False)):
        desk = ModeDesk(tmp_path, ME, 1 << 30, forced=mode, clock=Ticks(), unix=lambda: 5_000.0)
        shown = desk.look(engine, TINY, {ME: "a", account(2): "b"})
        assert "chosen by the operator" in str(shown["why"])
        assert desk.trains is trains
    assert NO_PEERS in str(shown["why"])
