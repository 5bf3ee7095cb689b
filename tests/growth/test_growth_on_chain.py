"""Six layers become nine on a real chain, by a vote, while three nodes train on; and stay six where that fails."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from consensus.model.config import ModelConfig
from consensus.program.known import suite_of
from consensus.training.growth import Growth
from consensus.training.outer import GlobalState
from economics.rewards import Work, claim_reward
from economics.units import Steps
from node.chain.types import Change, ProposalState, Support
from node.errors import RevertError
from node.training.ledger import RoundView
from node.training.tools import Tools
from node.training.work import Workshop
from node.vocabulary.errors import OtherVersionError
from tests.growth.conftest import GROWN, PATIENT, DeepWorld
from tests.growth.growth_worker import CONFIG
from tests.training.conftest import STAKE, STEPS

pytestmark = pytest.mark.process
NODES = (1, 2, 3)
DEEP = replace(CONFIG, layers=GROWN)
YOUNG = tuple(replace(DEEP, young=3, age=age) for age in (0, 400, 800))


def started(world: DeepWorld) -> None:
    for index in NODES:
        world.account(index)
        world.join(index)


def state_of(world: DeepWorld, view: RoundView, config: ModelConfig) -> GlobalState:
    """The state that a round leaves, as node 1 has it."""
    state = world.loops[1].parts.states.own(view.number + 1, world.agreed(view, config), config.shapes())
    assert state is not None
    return state


def ungrown(world: DeepWorld, view: RoundView) -> GlobalState:
    """What the outer step of a round leaves without the growth that it ends with."""
    parts = world.loops[1].parts
    start = parts.states.own(view.number, view.info.start_root, CONFIG.shapes())
    assert start is not None
    tools = Tools.of(replace(parts.workshop, change=None), parts.settings.home, parts.contracts.client.address)
    return tools.outer.next_state(view, start).state


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor], names: dict[str, tuple[int, ...]]) -> bool:
    return all(torch.equal(left[name].view(torch.int32), right[name].view(torch.int32)) for name in names)


def paid(world: DeepWorld, view: RoundView) -> None:
    """Every claim held all steps, and was paid by the layers of its round and its node's record."""
    for claim in view.finals:
        assert claim.claim.steps == STEPS, "no step is lost"
        record = world.contracts(0).registry.record_of(claim.node)
        work = Work(Steps(STEPS), view.info.layers, stake=STAKE, finals=record.finals - 1)
        assert claim.reward == claim_reward(work)


def test_six_layers_become_nine_by_a_vote(world: DeepWorld, shop: Workshop) -> None:
    started(world)
    losses = []

    def run(config: ModelConfig, target: ModelConfig, program: bytes) -> RoundView:
        view = world.round()
        assert (view.info.layers, view.terms[0]) == (config.layers, program)
        paid(world, view)
        losses.append(replace(shop, config=target).heldout_loss(state_of(world, view, target).weights))
        return view

    first = shop.genesis().program_hash
    run(CONFIG, CONFIG, first)
    change = world.draft(shop)
    proposal = world.propose(change, proposer=1)
    world.pass_with(proposal, [1, 2])
    run(CONFIG, CONFIG, first)
    world.activate(proposal, holder=3)
    assert world.contracts(0).vocabulary.state() == (0, 1)

    grows = run(CONFIG, DEEP, change.grow_hash)
    before, after = ungrown(world, grows), state_of(world, grows, DEEP)
    assert same(before.weights, after.weights, CONFIG.shapes()), "old weights are bit for bit the same"
    assert same(before.velocity, after.velocity, CONFIG.shapes())
    assert shop.heldout_loss(before.weights) == losses[-1], "the loss does not jump at all"

    assert change.deepening is not None
    for config, (program, _) in zip(YOUNG, change.deepening.young, strict=True):
        assert suite_of(config).hash() == program
        young = run(DEEP, DEEP, program)
        assert (young.info.version, young.info.target) == (1, 1)
    run(DEEP, DEEP, change.program_hash)
    assert world.contracts(0).vocabulary.depth() == (GROWN, GROWN, 0)
    jumps = [now / last for last, now in pairwise(losses)]
    assert max(jumps) < 1.01, losses
    assert losses[-1] < losses[0], losses


def test_a_claim_of_the_old_depth_is_refused(world: DeepWorld, shop: Workshop) -> None:
    started(world)
    change = world.draft(shop)
    proposal = world.propose(change, proposer=1)
    world.pass_with(proposal, [1, 2])
    world.activate(proposal, holder=3)
    before = world.round().number
    world.account(4)
    view = world.until(lambda view: view.number > before)
    assert (view.info.layers, view.info.young) == (GROWN, len(YOUNG))
    registry = world.contracts(4).registry
    claim = world.invent(4, program_hash=view.terms[0], layer_count=GROWN)
    for layers in (CONFIG.layers, GROWN + 1):
        with pytest.raises(RevertError) as refused:
            registry.post(replace(claim, layer_count=layers))
        assert refused.value.name == "WrongLayers"
    registry.post(claim)


def test_an_aborted_growth_leaves_everything_as_it_was(world: DeepWorld, shop: Workshop) -> None:
    started(world)
    proposal = world.propose(world.draft(shop), proposer=1)
    world.pass_with(proposal, [1, 2])
    # Layers 6 and 7 only, and nobody for the last one.
    world.contracts(2).growth.pledge(proposal.id, CONFIG.layers, 2, 1)
    for extensions in range(1, 4):
        assert world.decide(proposal) is ProposalState.QUEUED
        assert world.governor.plan_of(proposal.id).extensions == extensions
        assert world.governor.lacking(proposal.id) == GROWN - 1
    assert world.decide(proposal) is ProposalState.CANCELED
    with pytest.raises(RevertError):
        world.governor.decide(proposal)
    vocabulary = world.contracts(0).vocabulary
    assert (vocabulary.state(), vocabulary.count(), vocabulary.depth()) == ((0, 0), 1, (6, 6, 0))
    for _ in range(2):
        view = world.round()
        assert view.terms == (shop.genesis().program_hash, shop.genesis().data_root)
        world.agreed(view, CONFIG)


def test_nodes_that_come_back_or_come_late_rebuild_the_depth(world: DeepWorld, shop: Workshop) -> None:
    for index in NODES:
        world.account(index)
    world.join(1)
    change = world.draft(shop)
    proposal = world.propose(change, proposer=1)
    world.pass_with(proposal, [1, 2])
    world.activate(proposal, holder=1)
    one = {world.network.accounts[1].address}
    world.until(lambda view: one <= {claim.node for claim in view.trains})
    # Stopped in the middle of the round that grows, and started again as if it had never run.
    world.stop(1)
    world.join(1)
    grows = world.finish_round()
    assert grows.terms[0] == change.grow_hash
    world.agreed(grows, DEEP)
    world.join(2)
    world.agreed(world.round(), DEEP)
    world.stop(1)
    world.join(1)
    world.join(3)
    late = world.round()
    assert late.info.young == len(YOUNG) - 1
    world.agreed(late, DEEP)


def test_a_growth_is_taken_back_while_its_layers_are_young(world: DeepWorld, shop: Workshop) -> None:
    started(world)
    change = world.draft(shop)
    proposal = world.propose(change, proposer=1)
    world.pass_with(proposal, [1, 2])
    world.activate(proposal, holder=3)
    world.agreed(world.round(), DEEP)
    world.agreed(world.round(), DEEP)
    taken_back(world, version=1)
    assert change.deepening is not None
    back = world.round()
    assert (back.info.layers, back.info.young) == (GROWN, 2)
    assert back.terms[0] == change.deepening.young[1][1]
    assert back.terms[0] == suite_of(YOUNG[1], Growth(YOUNG[1], CONFIG.layers)).hash()
    world.agreed(back, CONFIG)
    as_before = world.round()
    assert as_before.terms[0] == shop.genesis().program_hash
    world.agreed(as_before, CONFIG)


def taken_back(world: DeepWorld, version: int) -> None:
    emergency = world.contracts(2).emergency
    emergency.propose_rollback(version, "a test")
    number = emergency.id_of(version)
    world.network.advance(2)
    for index in NODES[1:]:
        world.contracts(index).emergency.vote(number, Support.FOR)
    world.network.advance(PATIENT.emergency + PATIENT.vote_extension + 1)
    emergency.execute(version)


def test_a_wrong_growth_stops_the_node_that_recomputes_it(world: DeepWorld, shop: Workshop) -> None:
    world.account(1)
    world.join(1)
    wrong: Change = replace(world.draft(shop), grow_hash=b"\x09" * 32)
    proposal = world.propose(wrong, proposer=1)
    world.pass_with(proposal, [1])
    world.activate(proposal, holder=1)
    world.until(lambda view: view.info.target == 1)
    with pytest.raises(OtherVersionError, match="Version 0 to 1 of the vocabulary: this node's program"):
        world.tick()
        world.loops[1].parts.eras.join()
