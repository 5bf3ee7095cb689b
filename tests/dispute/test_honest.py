"""An honest prover never loses, whatever challengers do; every game ends in bounded time, every bond in place."""

from __future__ import annotations

import random
from functools import cache

import pytest

from bench.arena import PATIENT, Arena, Story
from bench.honest import STEPS, altered, game_of_grief
from economics.constants import CHALLENGE_BOND

GAMES = 8
MOVES = 14


@cache
def honest(arena_id: int) -> dict[int, Story]:
    return {}


@pytest.mark.parametrize("seed", range(GAMES))
def test_an_honest_prover_never_loses(arena: Arena, seed: int) -> None:
    draw = random.Random(f"ponw/honest/{seed}")  # noqa: S311
    stories = honest(id(arena))
    story = stories.setdefault(0, arena.story(STEPS))
    griefers = [contracts.client.address for contracts in arena.contracts[2:4]]
    with arena.undone():
        staking, token = arena.prover.staking, arena.prover.token
        me = arena.prover.client.address
        stakes = {who: staking.account_of(who).active for who in (me, *griefers)}
        began, supply = arena.prover.client.block().timestamp, token.total_supply()
        assert game_of_grief(arena, story, draw, MOVES) == []
        ended = arena.prover.client.block().timestamp
        assert ended - began <= 2 * PATIENT.longest_game
        assert staking.account_of(me).active == stakes[me]
        assert [stakes[who] - staking.account_of(who).active for who in griefers] == [CHALLENGE_BOND] * 2
        assert staking.credit_of(me) == CHALLENGE_BOND
        assert supply - token.total_supply() == CHALLENGE_BOND, "half of each lost bond is burned"
        assert all(staking.account_of(who).locked == 0 for who in griefers)


def test_what_is_altered_is_not_what_it_was() -> None:
    draw = random.Random(1)  # noqa: S311
    value = (1, b"ab", [b"x" * 32], (2, []))
    assert all(altered(value, draw) != value for _ in range(50))
