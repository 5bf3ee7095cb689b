"""Every lie about a step or an update loses the stake behind it, on a real EVM."""

from __future__ import annotations

import random

from bench.arena import Arena
from bench.attacks import attacks
from bench.outer_attacks import outer_attacks
from economics.constants import CLAIM_BOND


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
