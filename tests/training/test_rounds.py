"""Rounds of real nodes: what becomes of honest work, lazy work, interrupted work and wrong outer steps."""

from __future__ import annotations

import pytest

from consensus.commitments.claim import ClaimKind
from consensus.commitments.trace import StepLeaf, Trace
from consensus.training.step import TrainState
from economics.constants import CHALLENGE_BOND, CLAIM_BOND
from node.chain.types import ClaimState, Phase
from node.errors import FundsError, RpcError
from node.storage.tables import ClaimState as Recorded
from node.training.errors import OtherProgramError, OuterMismatchError
from node.training.loop import RoundLoop
from node.training.work import Task, Workshop
from tests.training.conftest import PATIENT, STAKE, STEPS, World

pytestmark = pytest.mark.process


def posted(world: World, *nodes: int) -> None:
    """Open a round and tick until each of these nodes has posted its claim."""
    addresses = {world.network.accounts[index].address for index in nodes}
    world.until(lambda view: addresses <= {claim.node for claim in view.trains})


def test_an_honest_round_pays_and_moves_the_global_state(world: World, shop: Workshop) -> None:
    for index in (1, 2):
        world.account(index)
        world.start(index)
    posted(world, 1, 2)
    view = world.finish_round()
    assert {claim.state for claim in view.trains} == {ClaimState.FINAL}
    genesis = world.network.genesis.start_root
    after = world.contracts(0).registry.global_root()
    assert after != genesis
    world.tick()
    for index in (1, 2):
        contracts = world.contracts(index)
        assert contracts.token.balance_of(contracts.client.address) > 0
        record = world.loops[index].parts.store.own_claim(1, ClaimKind.TRAIN)
        assert record is not None
        assert record.state == Recorded.PAID
        state = world.loops[index].parts.states.own(2, after)
        assert state is not None
        assert shop.heldout_loss(state.weights) < shop.heldout_loss(shop.genesis_state().weights)


def test_claims_differ_between_nodes_and_follow_from_the_rounds_randomness(world: World, shop: Workshop) -> None:
    for index in (1, 2):
        world.account(index)
        world.start(index)
    posted(world, 1, 2)
    view = world.view
    first, second = view.trains
    assert first.claim.trace_root != second.claim.trace_root
    for seen in view.trains:
        state = TrainState.start(shop.genesis_state().weights)
        leaves = list(shop.steps(state, Task(view.info.randomness, seen.claim.node), STEPS))
        assert Trace(leaves).root() == seen.claim.trace_root
        assert leaves[-1].state_root == seen.claim.end_root


def test_a_lazy_claim_is_challenged_and_slashed_by_the_clock(world: World) -> None:
    honest, lazy = world.account(1), world.account(3)
    world.start(1)
    world.to(Phase.TRAIN)
    lazy.registry.post(world.invent(3))
    posted(world, 1)
    world.close_training()
    world.until(lambda view: any(claim.challenges for claim in view.trains))
    world.pass_response()
    world.close_window()
    world.until(lambda view: any(claim.state is ClaimState.LOST for claim in view.trains))
    assert lazy.staking.account_of(lazy.client.address).active == STAKE - 2 * CLAIM_BOND
    assert honest.staking.credit_of(honest.client.address) == CLAIM_BOND
    view = world.to(Phase.OUTER)
    assert [claim.node for claim in view.finals] == [honest.client.address]


def test_an_honest_prover_wins_every_dispute_and_gains_half_of_each_bond(world: World) -> None:
    honest, steps = world.account(1), (2, 0, STEPS - 1, STEPS)
    griefers = [world.account(3 + number) for number in range(3)]
    loop = world.start(1)
    posted(world, 1)
    claim = world.view.trains[0].claim
    for griefer, step in zip(griefers, steps, strict=False):
        griefer.registry.challenge(claim, step)
    assert loop.parts.watcher.look() == 3
    judged = world.view.trains[0].judged
    assert judged == {griefer.client.address: step for griefer, step in zip(griefers, steps, strict=False)}
    # Nothing is wrong with any step, so the griefers have no move, and their clocks end the games.
    world.pass_response()
    assert loop.parts.watcher.look() == 3
    view = world.view.trains[0]
    assert not view.judged and not view.challenges and view.state is ClaimState.POSTED
    assert honest.staking.credit_of(honest.client.address) == 3 * CHALLENGE_BOND // 2
    for griefer in griefers:
        assert griefer.staking.account_of(griefer.client.address).active == STAKE - CHALLENGE_BOND


def test_the_update_is_answered_too(world: World) -> None:
    honest, griefer = world.account(1), world.account(3)
    loop = world.start(1)
    posted(world, 1)
    griefer.registry.challenge(world.view.trains[0].claim, STEPS)
    assert loop.parts.watcher.look() == 1
    world.pass_response()
    assert loop.parts.watcher.look() == 1
    assert honest.staking.credit_of(honest.client.address) == CHALLENGE_BOND // 2


def test_the_watcher_thread_answers_while_the_node_does_something_else(world: World) -> None:
    world.account(1)
    griefer = world.account(3)
    loop = world.start(1)
    posted(world, 1)
    griefer.registry.challenge(world.view.trains[0].claim, 0)
    loop.parts.watcher.start()
    try:
        answered = world.until(lambda view: not view.trains[0].challenges, ticks=2000)
    finally:
        loop.parts.watcher.close()
    assert answered.trains[0].state is ClaimState.POSTED


def interrupted(loop: RoundLoop, world: World, after: int) -> None:
    """Let a node train `after` steps of its round, then stop as on Ctrl-C."""
    append = loop.parts.store.append_leaf

    def counted(leaf: object) -> bool:
        new = append(leaf)  # type: ignore[arg-type]
        if leaf.step + 1 == after:  # type: ignore[attr-defined]
            loop.parts.stop.set()
        return new

    loop.parts.store.append_leaf = counted  # type: ignore[method-assign, assignment]
    world.until(lambda _: loop.parts.stop.is_set())


def test_a_stopped_node_goes_on_from_its_step_and_claims_the_same(world: World, shop: Workshop) -> None:
    world.account(1)
    interrupted(world.start(1), world, 4)
    assert not world.view.trains
    assert len(world.loops[1].parts.store.leaves(1)) == 4
    world.stop(1)
    loop = world.start(1)
    posted(world, 1)
    state = TrainState.start(shop.genesis_state().weights)
    view = world.view
    leaves = list(shop.steps(state, Task(view.info.randomness, view.trains[0].claim.node), STEPS))
    assert loop.parts.inner.leaves(1) == leaves
    assert view.trains[0].claim.trace_root == Trace(leaves).root()


def test_a_claim_planned_before_a_crash_is_the_one_posted_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.account(1)
    loop = world.start(1)

    def unreachable(_claim: object) -> None:
        raise RpcError("The endpoint does not answer.", "")

    with monkeypatch.context() as broken:
        broken.setattr(loop.parts.contracts.registry, "post", unreachable)
        world.until(lambda _: loop.parts.store.own_claim(1, ClaimKind.TRAIN) is not None)
    planned = loop.parts.store.own_claim(1, ClaimKind.TRAIN)
    assert planned is not None
    assert planned.state == Recorded.PLANNED
    world.stop(1)
    world.start(1)
    posted(world, 1)
    assert world.view.trains[0].hash == planned.hash


def test_a_claim_that_came_too_late_is_dropped_and_never_posted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.account(1)
    loop = world.start(1)

    def unreachable(_claim: object) -> None:
        raise RpcError("The endpoint does not answer.", "")

    with monkeypatch.context() as broken:
        broken.setattr(loop.parts.contracts.registry, "post", unreachable)
        world.until(lambda _: loop.parts.store.own_claim(1, ClaimKind.TRAIN) is not None)
    world.close_training()
    world.tick()
    planned = loop.parts.store.own_claim(1, ClaimKind.TRAIN)
    assert planned is not None
    assert planned.state == Recorded.DROPPED
    assert not world.view.trains


def wrong_outer(world: World) -> None:
    """Account 3 posts an outer step to nowhere in a round where account 1's claim is final."""
    world.close_training()
    world.tick()
    world.close_window()
    view = world.settled()
    leaf = StepLeaf(b"\x66" * 32, view.info.final_set, 0, 0)
    wrong = world.invent(
        3,
        kind=ClaimKind.OUTER,
        end_root=leaf.state_root,
        trace_root=leaf.hash(),
        update_root=view.info.final_set,
        steps=1,
        tokens=0,
    )
    world.contracts(3).registry.post(wrong)


def test_a_wrong_outer_step_is_disputed_and_replaced(world: World) -> None:
    honest = world.account(1)
    loop, cheat = world.start(1), world.account(3)
    posted(world, 1)
    wrong_outer(world)
    loop.tick()
    outer = world.view.outer
    assert outer is not None and list(outer.challenges) == [honest.client.address]
    loop.tick()
    assert world.view.outer is not None, "while the cheat's clock runs, nothing is final"
    world.pass_response()
    world.until(lambda view: view.outer is not None and view.outer.node == honest.client.address)
    assert cheat.staking.account_of(cheat.client.address).active == STAKE - 2 * CLAIM_BOND
    world.close_window()
    world.to(Phase.CLOSED)


def test_a_node_that_cannot_dispute_another_outer_root_stops(world: World) -> None:
    honest = world.account(1)
    loop, _ = world.start(1), world.account(3)
    posted(world, 1)
    wrong_outer(world)
    free = honest.staking.account_of(honest.client.address).free
    honest.staking.thaw(free)
    with pytest.raises(OuterMismatchError, match="posted 0x6666"):
        loop.tick()


def test_a_node_that_joins_later_takes_the_state_from_a_peer(world: World) -> None:
    world.account(1)
    world.account(2)
    world.start(1)
    posted(world, 1)
    world.finish_round()
    world.until(lambda view: view.number == 2 and view.phase is Phase.TRAIN)
    late = world.start(2)
    posted(world, 1, 2)
    root = world.contracts(0).registry.global_root()
    assert late.parts.states.own(2, root) is not None
    assert {claim.claim.round for claim in world.view.trains} == {2}


def test_a_final_claim_whose_update_is_withheld_costs_a_round_and_not_the_network(world: World) -> None:
    world.account(1)
    lazy = world.account(3)
    world.start(1, audit_share_bps=0)
    world.to(Phase.TRAIN)
    lazy.registry.post(world.invent(3))
    posted(world, 1)
    root = world.contracts(0).registry.global_root()
    world.close_training()
    world.tick()
    world.close_window()
    view = world.to(Phase.OUTER)
    assert len(view.finals) == 2
    world.tick()
    assert world.view.outer is None
    world.network.advance(PATIENT.train_time + 1)
    world.until(lambda view: view.number == 2 and len(view.trains) == 1)
    assert world.view.info.start_root == root


def test_a_node_without_stake_is_told_what_to_do(world: World) -> None:
    with pytest.raises(FundsError, match="has 0 NEURO staked"):
        world.start(1)


def test_a_node_of_another_program_is_refused(world: World) -> None:
    world.account(1)
    with pytest.raises(OtherProgramError, match="program"):
        world.start(1, preset="small")
