"""From a proposal to a version and back by an emergency vote, on a real chain, while two nodes go on training."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.arena import MICRO
from consensus.commitments.tensors import global_root
from consensus.model.config import ModelConfig
from economics.units import neuro
from governance.activation import History
from node.training.ledger import RoundView
from node.training.work import Workshop
from node.vocabulary.ballots import change_of
from node.vocabulary.proposing import Desk
from tests.vocab.ballot import Ballot
from tests.vocab.conftest import SmallWorld

pytestmark = pytest.mark.process
NODES = (1, 2)


def run_round(world: SmallWorld) -> RoundView:
    """One whole round of both nodes, with its claims; afterwards both have the same next state."""
    before = world.view.number
    nodes = {world.network.accounts[index].address for index in NODES}
    world.until(lambda view: view.number > before and nodes <= {claim.node for claim in view.trains})
    view = world.finish_round()
    for index in NODES:
        world.loops[index].parts.eras.join()
    assert {claim.claim.program_hash for claim in view.claims} == {view.terms[0]}
    assert {claim.claim.data_root for claim in view.claims} == {view.terms[1]}
    assert len(view.finals) == len(NODES)
    return view


def agreed(world: SmallWorld, view: RoundView, config: ModelConfig) -> bytes:
    """The root that the chain has after a round; every node holds the state behind it, in these shapes."""
    root = world.contracts(0).registry.global_root()
    assert root != view.info.start_root
    for index in NODES:
        state = world.loops[index].parts.states.own(view.number + 1, root, config.shapes())
        assert state is not None
        assert {name: tuple(t.shape) for name, t in state.weights.items()} == config.shapes()
        assert global_root(state.weights, state.velocity) == root
    return root


def test_a_vote_grows_the_model_and_an_emergency_vote_takes_it_back(world: SmallWorld, shop: Workshop) -> None:
    for index in NODES:
        world.account(index)
        world.join(index)
    first = run_round(world)
    genesis = shop.genesis()
    assert first.terms[0] == genesis.program_hash
    agreed(world, first, MICRO)

    desk = Desk(shop, History())
    draft = desk.draft(0, desk.suggest(0, 5))
    grown = replace(MICRO, vocab=MICRO.vocab + len(draft.merges))
    ballot = Ballot.of(world, proposer=1)
    ballot.propose(draft)
    during = run_round(world)
    assert (during.info.version, during.info.target) == (0, 0), "a discussion changes nothing"
    ballot.pass_with(NODES)
    vocabulary = world.contracts(0).vocabulary
    assert vocabulary.state() == (0, 1)
    assert vocabulary.version_of(1).terms == change_of(draft).terms.hash()

    grows = run_round(world)
    assert (grows.info.version, grows.info.target) == (0, 1)
    assert grows.terms[0] == draft.terms.grow_hash
    assert grows.terms[1] == genesis.data_root
    agreed(world, grows, grown)
    for number in range(2):
        inside = run_round(world)
        assert (inside.info.version, inside.info.target) == (1, 1), number
        assert inside.terms[0] == draft.terms.program_hash
        assert inside.terms[1] == draft.terms.data_root
        agreed(world, inside, grown)

    ballot.roll_back(1, opener=2, voters=NODES)
    assert vocabulary.state() == (1, 0)
    shrinks = run_round(world)
    assert (shrinks.info.version, shrinks.info.target) == (1, 0)
    assert shrinks.terms[0] == draft.terms.shrink_hash
    assert shrinks.terms[1] == draft.terms.data_root
    agreed(world, shrinks, MICRO)
    back = run_round(world)
    assert (back.info.version, back.info.target) == (0, 0)
    assert back.terms == (genesis.program_hash, genesis.data_root)
    agreed(world, back, MICRO)


def test_a_node_that_comes_late_or_comes_back_rebuilds_the_version(world: SmallWorld, shop: Workshop) -> None:
    for index in NODES:
        world.account(index)
    world.join(1)
    desk = Desk(shop, History())
    draft = desk.draft(0, desk.suggest(0, 3))
    grown = replace(MICRO, vocab=MICRO.vocab + len(draft.merges))
    ballot = Ballot.of(world, proposer=1)
    ballot.propose(draft)
    ballot.pass_with(NODES)
    ballot.fetch(1)
    one = {world.network.accounts[1].address}
    world.until(lambda view: one <= {claim.node for claim in view.trains})
    # Stopped in the middle of the transition, and started again as if it had never run.
    world.stop(1)
    world.join(1)
    transition = world.finish_round()
    assert (transition.info.version, transition.info.target) == (0, 1)
    world.join(2)
    inside = run_round(world)
    assert (inside.info.version, inside.info.target) == (1, 1)
    agreed(world, inside, grown)


def test_votes_that_fail(world: SmallWorld, shop: Workshop) -> None:
    for index in (1, 2, 3):
        world.account(index)
    world.account(4, neuro(100))
    desk = Desk(shop, History())
    draft = desk.draft(0, desk.suggest(0, 2))
    rejected = Ballot.of(world, proposer=1)
    rejected.propose(draft)
    assert rejected.fails_with(approve=(1,), reject=(2, 3)) == "defeated"
    unheard = Ballot.of(world, proposer=1)
    unheard.propose(replace(draft, merges=draft.merges[:1]))
    assert unheard.fails_with(approve=(4,), reject=()) == "defeated", "all approve, but too few voted"
    assert world.contracts(0).vocabulary.state() == (0, 0)


def test_sensitive_and_false_proposals_are_refused_with_their_reasons(world: SmallWorld, shop: Workshop) -> None:
    desk = Desk(shop, History())
    honest = desk.suggest(0, 1)
    refused = desk.refusals(0, desk.counted(0, [(107, 101), (264, 121)]))
    assert any('merge 1 "key": it is sensitive: it has the word "key"' in str(one) for one in refused)
    lying = [replace(honest[0], occurrences=honest[0].occurrences + 1)]
    reason = str(desk.refusals(0, lying)[0])
    assert reason.endswith(f"are claimed, the training text has {honest[0].occurrences:,}")
