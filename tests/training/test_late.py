"""Late claims: work from the start of an earlier round, trained through others, audited, judged, weighed and paid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from consensus.commitments.claim import ClaimKind
from consensus.commitments.tensors import global_root
from consensus.commitments.trace import StepLeaf, Trace
from consensus.training.claimed import unpack_update
from consensus.training.outer import GlobalState, outer_step, update_weight
from consensus.training.step import TrainState
from economics.constants import ASYNC_REWARD, CLAIM_BOND, LATE_ROUNDS
from economics.rewards import Work, claim_reward, role_multiplier, stake_multiplier
from economics.units import BPS, WAD, Seconds, Steps, Wei
from node.artefacts.publisher import RoundPublisher
from node.artefacts.server import create_app
from node.artefacts.serving import serve_in_thread
from node.chain.types import ClaimState, Phase
from node.config import Settings
from node.data.dataset import Dataset
from node.demo.liar import LyingWorkshop, lying
from node.errors import RevertError
from node.genesis import workshop
from node.training.ledger import RoundView, lateness
from node.training.loop import RoundLoop
from node.training.outer import update_weights
from node.training.starts import have_start
from node.training.work import Task, Workshop
from tests.conftest import Network
from tests.training.conftest import PATIENT, STAKE, STEPS, World, deployed

if TYPE_CHECKING:
    from node.chain.devnet import Running

pytestmark = pytest.mark.process
SLOW = 3
LONG = 10
"""Steps of the slow node's work: rounds of the others pass before they are done."""
TIMES = replace(PATIENT, train_time=Seconds(900), window=Seconds(300), thaw=Seconds(10**6))
HOUR = 3600


@dataclass(frozen=True)
class SlowWorkshop(Workshop):
    """Takes five seconds of the tests' clock a step: two fit into a moment of training."""

    passes: Callable[[], None] = lambda: None

    def step(self, state: TrainState, task: Task) -> StepLeaf:
        """As ever, but slowly."""
        self.passes()
        return super().step(state, task)


@dataclass(frozen=True)
class SlowLiar(LyingWorkshop):
    """The same, with a lie in every step."""

    passes: Callable[[], None] = lambda: None

    def step(self, state: TrainState, task: Task) -> StepLeaf:
        """A lie, slowly."""
        self.passes()
        return super().step(state, task)


def slowed(world: World, liar: str = "") -> Callable[[Settings], Workshop]:
    """Makes the workshop of a machine that takes its time."""

    def passes() -> None:
        world.clock.now += 5.0

    def make(settings: Settings) -> Workshop:
        if liar:
            bent = lying(settings, liar, every=1)
            return SlowLiar(bent.config, bent.engine, bent.dataset, bent.liar, 1, passes)
        made = workshop(settings)
        return SlowWorkshop(made.config, made.engine, made.dataset, passes)

    return make


@pytest.fixture(scope="module")
def unhurried(anvil: Running, shop: Workshop) -> Network:
    """A network with long rounds: no busy machine makes a late claim miss the round that it is for."""
    return deployed(anvil, shop, TIMES)


@pytest.fixture
def late(unhurried: Network, corpus: Dataset, tmp_path: Path) -> Iterator[World]:
    """That network, in which nobody has staked; the chain is as it was when the test ends."""
    snapshot = unhurried.rpc("evm_snapshot")
    made = World(unhurried, corpus, tmp_path, TIMES)
    with made.stack:
        yield made
    unhurried.rpc("evm_revert", snapshot)


def whole_round(world: World, *nodes: int) -> RoundView:
    """A round from its opening to its end, in which these nodes claim."""
    number = world.view.number + (world.view.phase in (Phase.NONE, Phase.CLOSED))
    addresses = {world.network.accounts[index].address for index in nodes}
    world.until(lambda view: view.number == number and addresses <= {claim.node for claim in view.trains})
    return world.finish_round()


def claimed(world: World) -> RoundView:
    """Let the slow node alone go on until its claim stands."""
    for _ in range(LONG):
        view = world.view
        if view.own(world.network.accounts[SLOW].address, ClaimKind.TRAIN):
            return view
        world.tick(SLOW)
    raise AssertionError("the slow node has not claimed")


def base_file(world: World, index: int, number: int) -> Path:
    """Where a node keeps the state that a round starts from."""
    return world.loops[index].parts.states.path(number)


def test_work_of_three_rounds_is_audited_weighed_and_paid_by_its_age(late: World, shop: Workshop) -> None:
    for index in (1, 2, SLOW):
        late.account(index)
    late.start(1, starts_kept=0)
    late.start(2, starts_kept=2)
    whole_round(late, 1, 2)
    loop = late.start(SLOW, slowed(late), late=True, round_steps=LONG)
    late.until(lambda view: view.number == 2 and len(view.trains) == 2)
    base = late.view
    trained = len(loop.parts.store.leaves(2))
    assert 0 < trained < LONG, "a round of the others is too short for it"
    late.stop(SLOW)
    whole_round(late, 1, 2)
    late.network.advance(HOUR)
    late.until(lambda view: view.number == 3 and len(view.trains) == 2)
    loop = late.start(SLOW, slowed(late), late=True, round_steps=LONG)
    late.tick(SLOW)
    assert trained <= len(loop.parts.store.leaves(2)) < LONG, "it goes on where it was"
    late.finish_round()
    assert not any(claim.node == loop.parts.contracts.client.address for claim in late.view.trains)
    late.until(lambda view: view.number == 4 and view.phase is Phase.TRAIN)
    view = claimed(late)
    late.until(lambda view: len(view.trains) == 3)
    seen = view.own(loop.parts.contracts.client.address, ClaimKind.TRAIN)
    assert seen is not None
    claim = seen.claim
    assert (claim.round, claim.base, claim.steps, claim.start_root) == (4, 2, LONG, base.info.start_root)
    assert lateness(claim) == "late, from round 2"
    state = TrainState.start(start_of(loop, base).weights)
    assert Trace(list(shop.steps(state, Task(base.info.randomness, claim.node), LONG))).root() == claim.trace_root
    view = late.view
    age = view.info.opened_at - base.info.opened_at
    assert view.age(claim) == age > HOUR

    assert base_file(late, 2, 2).exists(), "another keeps the starts of more rounds"
    assert not base_file(late, 1, 2).exists(), "an auditor has the state of that round no more"
    held = late.contracts(SLOW).staking.account_of(seen.node).active
    view = late.finish_round()
    assert base_file(late, 1, 2).exists()
    assert [final.state for final in view.trains] == [ClaimState.FINAL] * 3
    final = view.own(seen.node, ClaimKind.TRAIN)
    assert final is not None
    layers = loop.parts.workshop.config.layers
    work = Work(Steps(LONG), layers, stake=Wei(held), age=Seconds(age))
    plain = ASYNC_REWARD * LONG * layers * 7_000 // BPS * role_multiplier(True, True, True) // BPS
    assert final.reward == claim_reward(work) == plain * stake_multiplier(Wei(held)) // WAD
    weights = [update_weight(STEPS), update_weight(STEPS), update_weight(LONG, 7_000)]
    by_node = dict(zip([one.node for one in view.trains], [one.claim.is_late for one in view.trains], strict=True))
    assert sorted(by_node.values()) == [False, False, True]
    assert update_weights(view) == [weights[2 * by_node[one.node]] for one in view.finals]
    root = late.contracts(0).registry.global_root()
    assert root == by_hand(late, view)
    late.tick()
    for index in (1, 2, SLOW):
        assert late.loops[index].parts.states.own(5, root) is not None

    late.until(lambda view: view.number == 5 and view.phase is Phase.TRAIN)
    twice = late.invent(SLOW, base=2, start_root=base.info.start_root)
    with pytest.raises(RevertError, match="claimed work that began in round 2 or later"):
        late.contracts(SLOW).registry.post(twice)
    with pytest.raises(RevertError, match="began in round 3, which ran other terms"):
        late.contracts(SLOW).registry.post(replace(twice, base=3))


def start_of(loop: RoundLoop, base: RoundView) -> GlobalState:
    """What a round started from, as a node has it."""
    state = loop.parts.states.own(base.number, base.info.start_root)
    assert state is not None
    return state


def by_hand(world: World, view: RoundView) -> bytes:
    """The root that follows from a round's final claims, from what their nodes publish."""
    parts = world.loops[1].parts
    state, shapes = start_of(world.loops[1], view), parts.workshop.config.shapes()
    updates = []
    for index in (1, 2, SLOW):
        packed = (world.folder / f"node{index}" / "artefacts" / str(view.number) / "update.bin").read_bytes()
        late = index == SLOW
        updates.append((update_weight(LONG, 7_000) if late else update_weight(STEPS), unpack_update(packed, shapes)))
    after = outer_step(state, updates)
    return global_root(after.weights, after.velocity)


def test_a_lie_in_a_late_claim_is_slashed_by_the_judge(late: World) -> None:
    honest, liar = late.account(1), late.account(SLOW)
    late.start(1)
    late.until(lambda view: len(view.trains) == 1)
    late.close_training()
    # It begins from round 1 while others are audited, too late to claim in it.
    late.start(SLOW, slowed(late, liar.client.address), late=True, round_steps=3)
    late.finish_round()
    late.until(lambda view: view.number == 2 and view.phase is Phase.TRAIN)
    claimed(late)
    late.until(lambda view: len(view.trains) == 2)
    late.close_training()
    view = late.until(lambda view: any(claim.challenges for claim in view.trains))
    suspect = next(claim for claim in view.trains if claim.challenges)
    assert (suspect.node, suspect.claim.base) == (liar.client.address, 1)
    while sum(loop.parts.watcher.look() for loop in late.loops.values()):
        pass
    lost = late.view.find(suspect.hash)
    assert lost is not None
    assert (lost.state, lost.reason.endswith(": ruled wrong")) == (ClaimState.LOST, True)
    assert liar.staking.account_of(liar.client.address).active == STAKE - 2 * CLAIM_BOND
    assert honest.staking.credit_of(honest.client.address) == CLAIM_BOND
    assert liar.registry.record_of(liar.client.address).base == 1, "work that was lost is not claimed again"


def test_work_done_within_its_round_is_claimed_on_time(late: World) -> None:
    late.account(SLOW)
    loop = late.start(SLOW, late=True)
    late.until(lambda view: len(view.trains) == 1)
    claim = late.view.trains[0].claim
    assert (claim.round, claim.base, lateness(claim)) == (1, 1, "")
    late.tick()
    assert len(loop.parts.store.leaves(1)) == STEPS
    assert not loop.parts.reporter.now.activity.startswith("training"), "no work begins from the same round again"


@pytest.mark.parametrize(("number", "version"), [(2, 1), (2 + LATE_ROUNDS, 0)], ids=["another version", "too old"])
def test_work_is_void_where_the_network_has_changed_or_gone_too_far(late: World, number: int, version: int) -> None:
    late.account(SLOW)
    loop = late.start(SLOW, slowed(late), late=True, round_steps=LONG)
    late.until(lambda _: bool(loop.parts.inner.checkpoints.saved()))
    view, told = late.view, list[str]()
    work = loop.late
    assert work is not None and work.under_way
    loop.parts.reporter.listen = lambda now: told.append(now.activity)
    info = replace(view.info, version=version, target=version)
    work.go_on(replace(view, number=1 + LATE_ROUNDS, phase=Phase.CLOSED))
    assert work.under_way
    work.go_on(replace(view, number=number, phase=Phase.CLOSED, info=info))
    assert not work.under_way
    assert "the work from round 1 is void, beginning anew" in told[-1]
    assert not loop.parts.inner.checkpoints.saved()


def test_the_base_of_a_late_claim_is_taken_from_who_serves_it_and_from_no_other_bytes(late: World) -> None:
    late.account(1)
    lazy = late.account(SLOW)
    loop = late.start(1, starts_kept=0)
    whole_round(late, 1)
    late.until(lambda view: view.number == 2 and len(view.trains) == 1)
    base, served = late.view, RoundPublisher(late.folder / "served", 3)
    right = late.folder / "right"
    right.write_bytes(base_file(late, 1, 2).read_bytes())
    late.finish_round()
    late.until(lambda view: view.number == 3 and len(view.trains) == 1)
    claim = late.invent(SLOW, base=2, start_root=base.info.start_root)
    lazy.registry.post(claim)
    served.put_base(base_file(late, 1, 3))
    served.finish()
    with serve_in_thread(create_app(late.folder / "served"), "127.0.0.1", 0) as serving:
        lazy.registry.announce(serving.uri)
        view = late.view
        seen = view.own(lazy.client.address, ClaimKind.TRAIN)
        assert seen is not None
        assert view.start_of(claim) == base.start
        assert view.age(claim) == view.info.opened_at - base.info.opened_at
        assert view.start_of(replace(claim, base=3)) == view.start
        late.close_training()
        late.until(lambda _: seen.hash in loop.parts.audits.tried)
        assert not base_file(late, 1, 2).exists(), "another state than the chain's is not kept"
        served.put_base(right)
        served.finish()
        state = have_start(loop.parts.states, view, seen, loop.parts.workshop.config.shapes())
    assert global_root(state.weights, state.velocity) == base.info.start_root
    assert base_file(late, 1, 2).exists()
