"""A round that ends with more layers, or with fewer, is judged like any other: every lie loses, on a real EVM."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from bench import arena as arenas
from bench.arena import MICRO
from bench.outer_attacks import another_state, apart_from_indices, flipped, outer_attacks
from consensus.dispute.game import Stage, program_of
from consensus.errors import ProgramError
from consensus.model.init import init_weights
from consensus.program.ops import Program
from consensus.program.outer import outer_program
from consensus.program.suite import outer_size
from consensus.training.growth import Growth
from consensus.training.outer import GlobalState
from node.data.corpus import ensure_default

DEEPER = replace(MICRO, layers=2)
GROWS, SHRINKS = Growth(MICRO, 2, bytes(range(32))), Growth(DEEPER, 1)
FINALS = 2


@pytest.mark.process
@pytest.mark.parametrize("growth", [GROWS, SHRINKS], ids=["growing", "shrinking"])
def test_every_lie_about_a_change_of_depth_loses(growth: Growth, tmp_path: Path) -> None:
    config, draw = growth.config, random.Random(f"ponw/depth/{growth.layers}")  # noqa: S311
    dataset, start = ensure_default(tmp_path / "data"), GlobalState.start(init_weights(config, b"arena"))
    with arenas.arena(tmp_path / "chain", config, dataset, start, change=growth) as field:
        program = program_of(config, Stage.OUTER, FINALS, growth)
        own = len(outer_program(config, FINALS).ops)
        story = field.story(1)
        attacks = [attack for attack in outer_attacks(field, draw)][::8]
        names = ["weights/position", "velocity/layer000.mlp_in"]
        if growth.added > 0:
            attacks += [flipped(story, program, op, draw) for op in draw.sample(apart_from_indices(program, own), k=4)]
            names += ["weights/layer001.attn_in", "weights/layer001.mlp_out", "velocity/layer001.attn_out"]
        attacks += [another_state(story, name) for name in names]
        won = []
        for attack in attacks:
            with field.undone():
                if attack.play(field).prover_won:
                    won.append(attack.name)
    assert won == []
    assert len(attacks) >= 5


def test_the_size_of_an_outer_step_names_the_tensors_only_where_they_change() -> None:
    plain, grown = outer_program(MICRO, 1), outer_program(MICRO, 1, GROWS)
    assert outer_size(plain, MICRO) == len(plain.ops)
    assert outer_size(grown, MICRO, GROWS) == len(grown.ops) + (11 << 20)
    given = plain.ops[plain.inputs["counts"]]
    huge = Program((given,) * 2**20, {"counts": 2**20 - 1}, {})
    with pytest.raises(ProgramError, match="1048576 ops"):
        outer_size(huge, MICRO)
