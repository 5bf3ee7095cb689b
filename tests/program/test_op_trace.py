"""The op trace: whoever changes one bit of one op's output is found at that op and at that element."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from consensus.commitments import tree
from consensus.commitments.tensors import tensor_root
from consensus.dispute import onestep
from consensus.errors import CommitmentError
from consensus.model.config import ModelConfig
from consensus.model.init import init_weights
from consensus.program import Kind, Program, step_program
from consensus.program.execute import run
from consensus.program.ops import Op
from consensus.program.step import PARTS, schedule_row
from consensus.program.trace import OpTrace, first_wrong_op
from consensus.training.optimizer import AdamW

MICRO = ModelConfig("micro", layers=1, width=16, heads=2, seq_len=32, batch=4)


@pytest.fixture(scope="module")
def program() -> Program:
    return step_program(MICRO)


@pytest.fixture(scope="module")
def given() -> dict[str, Tensor]:
    weights = init_weights(MICRO, b"trace")
    held = {
        f"{part}/{n}": w if part == "weights" else torch.zeros_like(w) for part in PARTS for n, w in weights.items()
    }
    tokens = torch.randint(0, 256, (4, 33), generator=torch.Generator().manual_seed(5), dtype=torch.int32)
    return held | {"tokens": tokens, "schedule": schedule_row(AdamW(), 0)}


@pytest.fixture(scope="module")
def outs(program: Program, given: dict[str, Tensor]) -> list[Tensor]:
    return [out for _, out in run(program, given)]


@pytest.fixture(scope="module")
def honest(program: Program, given: dict[str, Tensor]) -> OpTrace:
    return OpTrace.of(program, given)


def one_of_each(program: Program) -> list[int]:
    """The last op of each kind."""
    return sorted({op.kind: at for at, op in enumerate(program.ops)}.values())


def flipped(out: Tensor, at: int) -> Tensor:
    """A copy with the lowest bit of one element changed."""
    copy = out.clone().reshape(-1)
    if copy.dtype is torch.bool:
        copy[at] = ~copy[at]
    else:
        integers = copy.view(torch.int32) if copy.dtype is torch.float32 else copy
        integers[at] ^= 1
    return copy.reshape(out.shape)


def bits(out: Tensor, at: int) -> int:
    value = out.reshape(-1)[at]
    return int(value.view(torch.int32)) & 0xFFFFFFFF if value.dtype is torch.float32 else int(value)


def test_every_op_has_one_root_that_proves(honest: OpTrace, program: Program, outs: list[Tensor]) -> None:
    assert len(honest.roots) == len(program.ops)
    for at in (0, 1, len(outs) // 2, len(outs) - 1):
        leaf = tree.leaf_hash(tensor_root(outs[at]))
        assert tree.verify_inclusion(leaf, at, len(outs), honest.prove(at), honest.root())


def test_a_flipped_bit_in_any_kind_of_op_is_found_and_judged(
    program: Program, honest: OpTrace, outs: list[Tensor]
) -> None:
    for at in one_of_each(program):
        op: Op = program.ops[at]
        place = op.size // 2
        lie = flipped(outs[at], place)
        committed = [*honest.roots[:at], tensor_root(lie), *honest.roots[at + 1 :]]
        assert first_wrong_op(program, committed, honest) == at, op.kind.name
        if op.kind is not Kind.INPUT:
            judged = onestep.element(op, place, lambda source, index: bits(outs[source], index))
            assert judged == bits(outs[at], place) != bits(lie, place), op.kind.name


def test_an_honest_trace_has_no_wrong_op(program: Program, honest: OpTrace) -> None:
    assert first_wrong_op(program, honest.roots, honest) is None


def test_dropped_added_and_swapped_ops(program: Program, honest: OpTrace) -> None:
    with pytest.raises(CommitmentError, match="an op trace of"):
        first_wrong_op(program, honest.roots[:-1], honest)
    with pytest.raises(CommitmentError, match="an op trace of"):
        first_wrong_op(program, [*honest.roots, honest.roots[-1]], honest)
    at = next(i for i, pair in enumerate(zip(honest.roots, honest.roots[1:], strict=False)) if pair[0] != pair[1])
    swapped = list(honest.roots)
    swapped[at], swapped[at + 1] = swapped[at + 1], swapped[at]
    assert first_wrong_op(program, swapped, honest) == at
