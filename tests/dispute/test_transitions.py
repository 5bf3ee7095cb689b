"""A round that changes the vocabulary is judged like any other: every lie about its outer step loses, on a real EVM."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from bench import arena as arenas
from bench.arena import MICRO
from bench.outer_attacks import apart_from_indices, flipped, outer_attacks
from consensus.dispute.game import Stage, program_of
from consensus.model.init import init_weights
from consensus.program.outer import outer_program
from consensus.training.outer import GlobalState
from consensus.training.resize import Change
from node.data.corpus import ensure_default

MERGES = ((116, 104), (264, 101), (32, 265), (97, 110), (267, 100))
GROWN = replace(MICRO, vocab=MICRO.vocab + len(MERGES))
FINALS = 2


@pytest.mark.process
@pytest.mark.parametrize(
    ("config", "change"),
    [(MICRO, Change(GROWN.vocab, MERGES)), (GROWN, Change(MICRO.vocab))],
    ids=["growing", "shrinking"],
)
def test_every_lie_about_a_transition_loses(config: arenas.ModelConfig, change: Change, tmp_path: Path) -> None:
    draw = random.Random(f"ponw/transition/{change.rows}")  # noqa: S311
    dataset, start = ensure_default(tmp_path / "data"), GlobalState.start(init_weights(config, b"arena"))
    with arenas.arena(tmp_path / "chain", config, dataset, start, change=change) as field:
        program = program_of(config, Stage.OUTER, FINALS, change)
        own = len(outer_program(config, FINALS).ops)
        attacks = [attack for attack in outer_attacks(field, draw)][::4]
        story = field.story(1)
        attacks += [flipped(story, program, op, draw) for op in draw.sample(apart_from_indices(program, own), k=4)]
        attacks.append(flipped(story, program, program.outputs["weights/embed"], draw))
        won = []
        for attack in attacks:
            with field.undone():
                if attack.play(field).prover_won:
                    won.append(attack.name)
    assert won == []
    assert len(attacks) >= 10
