"""The outer step as a program: the bits of the fast outer step, its op kinds all judged."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from consensus.dispute import onestep
from consensus.model.config import ModelConfig
from consensus.model.init import init_weights
from consensus.program import Kind, execute, outer
from consensus.program.execute import run
from consensus.program.outer import outer_program, update_name
from consensus.training.outer import GlobalState, outer_step

MICRO = ModelConfig("micro", layers=1, width=16, heads=2, seq_len=32, batch=4)


def updates(count: int, spread: float) -> list[dict[str, Tensor]]:
    draw = torch.Generator().manual_seed(count)
    return [
        {name: torch.randn(shape, generator=draw) * spread for name, shape in MICRO.shapes().items()}
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "spread"), [(1, 1e-2), (3, 1e-3), (4, 2.0**60), (2, 2.0**-80), (2, 2.0**-100), (2, 0.0)]
)
def test_op_by_op_gives_the_bits_of_the_fast_outer_step(count: int, spread: float) -> None:
    program = outer_program(MICRO, count)
    weights = init_weights(MICRO, b"outer")
    velocity = {name: w * 0.25 for name, w in weights.items()}
    given = updates(count, spread)
    counts = [10_000 + 137 * i for i in range(count)]
    wanted = outer_step(GlobalState(weights, velocity), list(zip(counts, given, strict=True)))
    inputs = {f"weights/{n}": w for n, w in weights.items()} | {f"velocity/{n}": v for n, v in velocity.items()}
    inputs |= {update_name(i, n): t for i, update in enumerate(given) for n, t in update.items()}
    found = execute(program, inputs | {"counts": torch.tensor(counts)})
    for part, tensors in (("weights", wanted.weights), ("velocity", wanted.velocity)):
        assert [name for name, t in tensors.items() if not torch.equal(found[f"{part}/{name}"], t)] == []


def test_every_kind_is_judged_and_no_maximum_runs_over_a_matrix() -> None:
    program = outer_program(MICRO, 3)
    assert set(program.kinds()) - {Kind.INPUT} <= onestep.JUDGED
    longest = max(size for shape in MICRO.shapes().values() for size in shape)
    assert all(len(op.extent) == 1 and op.extent[0] <= longest for op in program.ops if op.extent)


def test_the_number_of_updates_is_part_of_the_program() -> None:
    assert len({outer_program(MICRO, count).hash() for count in (1, 2, 3)}) == 3


def test_every_op_judged_for_one_element_gives_the_element_that_was_computed() -> None:
    """Updates of very different sizes and weights, so that the window cuts through every place."""
    program, draw = outer_program(MICRO, 5), random.Random(3)  # noqa: S311 - a test's own dice
    given = [
        {name: t * 10.0 ** draw.randint(-30, 30) for name, t in update.items()} for update in updates(5, 1.0)
    ]  # fmt: skip
    weights = init_weights(MICRO, b"outer")
    inputs = {f"weights/{n}": w for n, w in weights.items()} | {f"velocity/{n}": w * 0.5 for n, w in weights.items()}
    inputs |= {update_name(i, n): t for i, update in enumerate(given) for n, t in update.items()}
    flat = [out.reshape(-1) for _, out in run(program, inputs | {"counts": torch.tensor([9, 40_000, 3, 77_000, 1000])})]

    def read(op: int, index: int) -> int:
        value = flat[op][index]
        return int(value.view(torch.int32)) & 0xFFFFFFFF if value.dtype is torch.float32 else int(value)

    for at, op in enumerate(program.ops):
        if op.kind is not Kind.INPUT:
            index = draw.randrange(op.size)
            assert onestep.element(op, index, read) == read(at, index), (at, op.kind.name, index)


def test_a_capture_for_a_rank_is_the_capture_for_the_shape() -> None:
    for shape in set(MICRO.shapes().values()):
        assert outer._tensor_program(shape, 4).hash() == outer._traced_program(shape, 4).hash()
