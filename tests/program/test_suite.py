"""What claims name as their program: one hash over every program of a network."""

from __future__ import annotations

import hashlib
from dataclasses import astuple, replace

import pytest

from bench.arena import MICRO
from consensus.commitments import tree
from consensus.model.config import PRESETS
from consensus.program.known import KNOWN, suite_of
from consensus.program.outer import outer_program
from consensus.program.step import schedule_row
from consensus.program.suite import Suite, schedule_leaves
from consensus.training.optimizer import AdamW
from economics.constants import MAX_CLAIMS, MAX_STEPS


def test_the_roots_that_ship_are_those_of_the_code() -> None:
    assert set(KNOWN) == set(PRESETS.values())
    assert KNOWN[PRESETS["tiny"]] == Suite.of(PRESETS["tiny"])
    for config, suite in KNOWN.items():
        assert (suite.sequences, suite.length) == (config.batch, config.seq_len + 1)
        assert (suite.tensors, suite.outer_count) == (len(config.shapes()), MAX_CLAIMS)


def test_the_hash_by_its_definition() -> None:
    suite = suite_of(MICRO)
    words = b"".join(v if isinstance(v, bytes) else v.to_bytes(32, "big") for v in astuple(suite))
    assert suite.hash() == hashlib.sha256(b"ponw/programs/1\0" + words).digest()
    changed = [replace(suite, **{name: 99 if isinstance(value, int) else b"\x09" * 32}).hash() for name, value in (
        (field, getattr(suite, field)) for field in Suite.__slots__
    )]  # fmt: skip
    assert len({suite.hash(), *changed}) == 1 + len(Suite.__slots__)


def test_outer_programs_and_schedule_stand_at_their_places() -> None:
    suite = suite_of(MICRO)
    leaves = [
        tree.leaf_hash(len(outer_program(MICRO, n).ops).to_bytes(4, "big") + outer_program(MICRO, n).root())
        for n in range(1, MAX_CLAIMS + 1)
    ]
    assert tree.root(leaves) == suite.outer_root
    rows = schedule_leaves(AdamW(), MAX_STEPS)
    assert tree.root(rows) == suite.schedule_root
    assert rows[7] == tree.leaf_hash(schedule_row(AdamW(), 7).numpy().tobytes())


@pytest.mark.parametrize("step", [0, 1, 9, 10, 999])
def test_no_two_steps_of_the_warmup_share_a_row(step: int) -> None:
    rows = schedule_leaves(AdamW(), MAX_STEPS)
    assert rows[step] != rows[(step + 1) % 10]
