"""Updates as int8 carries them, as a program: the bits that every receiver decodes, in ops that are judged."""

from __future__ import annotations

import random

import pytest
import torch

from consensus.aggregation.compression import Int8
from consensus.aggregation.compression.int8 import through_int8
from consensus.dispute import onestep
from consensus.model.config import ModelConfig
from consensus.program import Kind, execute
from consensus.program.update import update_program

MICRO = ModelConfig("micro", layers=1, width=16, heads=2, seq_len=32, batch=4)


def decoded(x: torch.Tensor) -> torch.Tensor:
    flat = x.reshape(-1).contiguous()
    return Int8().decode(memoryview(Int8().encode(flat)), len(flat)).reshape(x.shape)


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.view(torch.int32), b.view(torch.int32))


@pytest.mark.parametrize("size", [1, 255, 256, 257, 4224])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 2.0**126, 2.0**-115, 2.0**-140, 0.0])
def test_exact_ops_round_as_the_codec_does(size: int, scale: float) -> None:
    x = torch.randn(size, generator=torch.Generator().manual_seed(size)) * scale
    x = x.clamp(-3.0e38, 3.0e38)
    assert same(through_int8(x), decoded(x))


def test_edges_of_a_scale() -> None:
    edges = [127.0, 127.49, 127.5, 127.51, 255.9, 0.0, -0.0, -127.5, 1e-45]
    for edge in edges:
        x = torch.tensor([edge, 0.5, -0.4, 1.5])
        assert same(through_int8(x), decoded(x))


def test_the_program_gives_what_receivers_decode_and_every_kind_is_judged() -> None:
    program = update_program(MICRO)
    draw = torch.Generator().manual_seed(5)
    start = {name: torch.randn(shape, generator=draw) for name, shape in MICRO.shapes().items()}
    end = {name: w - torch.randn(w.shape, generator=draw) * 0.01 for name, w in start.items()}
    given = {f"start/{n}": w for n, w in start.items()} | {f"end/{n}": w for n, w in end.items()}
    found = execute(program, given)
    assert all(same(found[f"update/{n}"], decoded(w - end[n])) for n, w in start.items())
    assert set(program.kinds()) - {Kind.INPUT} <= onestep.JUDGED
    assert max(len(op.extent) for op in program.ops) == 1
    assert max((op.extent[0] for op in program.ops if op.extent), default=0) <= 256


def test_updates_that_need_rounding_are_rounded() -> None:
    draw = random.Random(1)  # noqa: S311 - a test's own dice
    x = torch.tensor([draw.uniform(-1, 1) for _ in range(300)])
    assert not same(through_int8(x), x)
    assert (through_int8(x) - x).abs().max() <= 2.0**-7
