"""A hundred simulated machines for some hours: the rules hold at every moment, and the same seed gives the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.simulate.events import Loop
from bench.simulate.machines import MODEL, Machine, Spec, make_machines
from bench.simulate.network import Network
from bench.simulate.pipeline import step_us
from bench.simulate.report import SAMPLE_MS, report, sample
from bench.simulate.rounds import Rounds
from bench.simulate.run import simulate
from consensus.quorum.capacity import LAYER_WORK, Layout
from consensus.quorum.modes import Mode
from consensus.quorum.parts import Span
from consensus.quorum.session import BOUND, RUNNING, engaged
from economics.cohort import update_freshness

SPEC = Spec(nodes=100, hours=3, seed=7, batches_min=50, uptime_hours=4.0)


@pytest.fixture(scope="module")
def watched() -> tuple[Network, dict[str, Any]]:
    """The simulation, looked at every five minutes."""
    network = Network(SPEC)
    rounds = Rounds(network)

    def look() -> bool:
        _check(network)
        return sample(network)

    network.loop.every(SAMPLE_MS, look)
    network.loop.run(3_600_000 * SPEC.hours)
    return network, report(network, rounds)


def _check(network: Network) -> None:
    """No node in two sessions, every session's members cover the model, and modes say what nodes do."""
    running = [one.session for one in network.sessions.running.values()]
    bound = engaged(running)
    assert all(network.sessions.busy[account] == quorum for account, quorum in bound.items())
    assert set(network.sessions.busy) == set(bound)
    for session in running:
        assert session.state in BOUND
        assert [part for seat in session.seats for part in seat.span.parts()] == list(range(network.layout.parts))
        for account in session.accounts if session.state in RUNNING else ():
            machine = network.machines[account]
            assert machine.peer.tier < 5
            assert not machine.up or machine.mode is Mode.PIPELINE or machine.why == "starting"
    for machine in network.machines.values():
        assert not (machine.slashed and not machine.wrong)
        assert machine.why
    assert sum(network.modes.values()) == sum(machine.up for machine in network.machines.values())


def test_the_same_seed_gives_the_same(watched: tuple[Network, dict[str, Any]]) -> None:
    """Watching adds no event that changes anything, so a run on its own must give the very same report."""
    assert simulate(SPEC) == watched[1]


def test_another_seed_gives_something_else(watched: tuple[Network, dict[str, Any]]) -> None:
    other = simulate(replace(SPEC, seed=8, hours=1))
    assert other["events"] != watched[1]["events"]


def test_quorums_form_train_renew_repair_and_end(watched: tuple[Network, dict[str, Any]]) -> None:
    network, found = watched
    quorums = found["quorums"]
    assert quorums["formed"] > 20
    assert quorums["renewals"] > 0
    assert quorums["replaced"] > 0
    assert sum(quorums["ends"].values()) == len(network.books.lifetimes_s)
    assert quorums["formed"] + quorums["lapsed"] <= quorums["proposed"]
    assert max(network.books.lifetimes_s) <= network.times.session_max + network.times.dissolve
    assert found["tokens_per_s"]["quorums"] > 0
    assert found["coverage"]["share_of_time_whole"] == 1.0


def test_rounds_sync_and_audit(watched: tuple[Network, dict[str, Any]]) -> None:
    network, found = watched
    assert found["sync"]["rounds"] == 3
    assert found["sync"]["cohort_min"] > 0
    assert found["audit"]["claims"] > 100
    assert found["audit"]["honest_slashed"] == 0
    assert 0 < found["audit"]["audited"] < found["audit"]["claims"]
    assert sum(one["caught"] for one in network.books.rounds) == sum(m.slashed for m in network.machines.values())  # type: ignore[misc]


def test_nothing_leaves_where_nothing_fails() -> None:
    quiet = Spec(nodes=30, hours=1, seed=3, uptime_hours=0, slow_hours=0, cheating=0, loss_max=0)
    found = simulate(quiet)
    assert found["quorums"]["replaced"] == 0
    assert found["audit"]["wrong_claims"] == 0
    assert set(found["quorums"]["ends"]) <= {"too few batches to be renewed"}


def test_everyone_audits_in_a_small_network_and_cheats_are_caught() -> None:
    small = Spec(nodes=12, hours=2, seed=5, uptime_hours=0, slow_hours=0, cheating=40, window=10**6)
    found = simulate(small)["audit"]
    assert found["cheats"] > 0
    assert found["audited"] == found["claims"]
    assert found["of_those_who_fake_all"] == 1.0


# --- its parts ---


def test_events_run_in_order_of_time_then_of_asking() -> None:
    loop, seen = Loop(), []
    loop.after(5, lambda: seen.append("c"))
    loop.after(1, lambda: loop.after(4, lambda: seen.append("d")))
    loop.after(0, lambda: seen.append("a"))
    loop.after(-3, lambda: seen.append("b"))
    loop.every(10, lambda: bool(seen.append(f"at {loop.now}")) or loop.now < 20)
    loop.after(100, lambda: seen.append("too late"))
    loop.run(50)
    assert seen == ["at 0", "a", "b", "c", "d", "at 10", "at 20"]
    assert loop.now == 50


def test_a_step_is_as_slow_as_its_slowest_stage() -> None:
    def machine(layer_us: int) -> Machine:
        return Machine(b"", layer_us, link_us=2_000, bandwidth=10**9, memory=0, shards=0, wrong=0)

    layout = Layout((1, 1, 1, 1), (1, LAYER_WORK, LAYER_WORK, 1))
    both = [(machine(10_000), Span(0, 2)), (machine(30_000), Span(2, 4))]
    wire = (512 * MODEL.width + 4 * 512) * 1_000_000 // 10**9
    alone = step_us(both[:1], MODEL, layout, 0)
    assert alone == 8 * (3 * 10_000 + 3)
    assert step_us(both, MODEL, layout, 0) == 30_003 + 90_009 + 2 * (wire + 1_000) + 7 * 90_009
    both[1][0].slow_until = 1
    assert step_us(both, MODEL, layout, 0) > 4 * step_us(both, MODEL, layout, 2)


def test_machines_come_from_the_seed_alone() -> None:
    assert make_machines(SPEC) == make_machines(SPEC)
    assert make_machines(SPEC) != make_machines(replace(SPEC, seed=8))
    assert {m.peer.tier for m in make_machines(SPEC)} == {1, 2, 3, 4, 5}


def test_freshness_by_age() -> None:
    assert [update_freshness(age) for age in (0, 59, 60, 3_599, 3_600, 86_400)] == [
        10_000,
        10_000,
        9_000,
        9_000,
        7_000,
        3_000,
    ]
