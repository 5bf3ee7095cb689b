"""Every lie about a step or an update loses the stake behind it, on a real EVM."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from bench.arena import PATIENT, Arena, flip, opening, openings, serve
from bench.attacks import attacks, by_kind
from bench.outer_attacks import outer_attacks
from consensus.dispute.challenger import Challenger
from consensus.dispute.game import Case
from consensus.program.ops import Kind
from economics.constants import CLAIM_BOND
from node.chain.types import ClaimState
from node.errors import RevertError


def money(arena: Arena) -> tuple[int, int, int]:
    """The prover's stake, the challenger's credit, and the supply, in wei."""
    staking, prover, challenger = arena.prover.staking, arena.prover.client.address, arena.challenger.client.address
    supply = arena.prover.token.total_supply()
    return staking.account_of(prover).active, staking.credit_of(challenger), supply


def test_every_lie_loses(arena: Arena, draw: random.Random) -> None:
    won, played = [], 0
    for attack in attacks(arena, draw):
        with arena.undone():
            before = money(arena)
            outcome = attack.play(arena)
            played += 1
            gained = tuple(now - then for now, then in zip(money(arena), before, strict=True))
            if outcome.prover_won or gained != (-2 * CLAIM_BOND, CLAIM_BOND, -CLAIM_BOND):
                won.append(attack.name)
    assert won == []
    assert played >= 50


def test_a_trace_of_another_length_than_claimed_cannot_be_answered(arena: Arena) -> None:
    story = arena.story(3)
    registry, prover = arena.challenger.registry, arena.prover.registry
    tokens = prover.parameters().tokens_per_step
    for steps, step in ((2, 1), (4, 3)):
        fields = {"steps": steps, "tokens": steps * tokens, "end_root": story.leaves[min(steps, 3) - 1].state_root}
        with arena.undone():
            claim = arena.claim(story, **fields)
            arena.prover.registry.post(claim)
            registry = arena.challenger.registry
            registry.challenge(claim, step)
            before, opened = opening(story, step - 1), opening(story, min(step, 2))
            with pytest.raises(RevertError) as refused:
                arena.prover.registry.answer(claim, arena.challenger.client.address, before, opened, bytes(32))
            assert refused.value.name == "BadProof"
            arena.advance(PATIENT.response + 1)
            registry.timeout(claim, arena.challenger.client.address)
            assert registry.claim_of(arena.prover.client.address).state is ClaimState.LOST


def test_a_proof_is_of_no_use_to_anybody_else_or_twice(arena: Arena) -> None:
    honest = arena.story(2)
    program = honest.reruns[1].program
    with arena.undone():
        story = arena.story(2, {1: flip(by_kind(program)[Kind.MUL][0], 3, 1)})
        claim, lying = arena.claim(story), story.reruns[1]
        arena.prover.registry.post(claim)
        dispute = arena.dispute(claim, 1, story, lying.trace.root)
        arena.challenger.registry.challenge(claim, 1)
        who = arena.challenger.client.address
        arena.prover.registry.answer(claim, who, *openings(story, 1), dispute.trace)
        case = Case(arena.config, dispute)
        winner = Challenger(case, arena.facts(1, honest.reruns[1]))
        serve(winner, lying, honest.reruns[1])
        move = winner.next_move()
        thief = arena.contracts[3]
        stolen = Case(arena.config, replace(dispute, challenger=bytes.fromhex(thief.client.address[2:])))
        for played, name in ((case, "NotChallenger"), (stolen, "NoGame")):
            with pytest.raises(RevertError) as refused:
                thief.judge.move(played, move)
            assert refused.value.name == name
        arena.challenger.judge.move(case, move)
        with pytest.raises(RevertError) as refused:
            arena.challenger.judge.move(case, move)
        assert refused.value.name == "NoGame"


def test_every_lie_about_an_outer_step_loses(arena: Arena, draw: random.Random) -> None:
    won, played = [], 0
    for attack in outer_attacks(arena, draw):
        with arena.undone():
            outcome = attack.play(arena)
            played += 1
            if outcome.prover_won:
                won.append(attack.name)
    assert won == []
    assert played >= 20
