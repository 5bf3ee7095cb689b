"""One token as a flat program: the same token as decoding gives, and each of its scalars follows from what it reads."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from consensus.dispute import onestep
from consensus.inference.decoding import Definition, Row
from consensus.inference.sampling import NEVER, Settings, choose
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.program import Kind, execute
from consensus.program.execute import run
from consensus.program.infer import infer_inputs, infer_program

MICRO = ModelConfig("micro", layers=2, width=16, heads=2, seq_len=32, batch=4)
WIDE = ModelConfig("wide", layers=1, width=144, heads=2, seq_len=8, batch=128)
SAMPLES = 4


def weights_of(config: ModelConfig) -> dict[str, Tensor]:
    """Of a model that says something: a fresh one's head is zero, every id alike."""
    weights = {name: w * 4.0 for name, w in init_weights(config, b"infer").items()}
    return weights | {"head": weights["embed"].flip(0).contiguous()}


@pytest.mark.parametrize("config", [MICRO, WIDE, PRESETS["tiny"]], ids=lambda config: config.name)
def test_op_by_op_gives_the_tokens_of_decoding(config: ModelConfig) -> None:
    program, weights = infer_program(config), weights_of(config)
    draw = random.Random(config.name)  # noqa: S311
    whole = [draw.randrange(256) for _ in range(config.seq_len)]
    decoder = Definition(config, weights, 1)
    logits: list[Tensor] = []
    for at in range(0, config.seq_len, 32):
        logits += decoder.logits([Row(0, at + i, token) for i, token in enumerate(whole[at : at + 32])])
    temperatures = (0, 1, 700, 1000, 5000, 1_000_000)
    for number, length in enumerate((1, 2, config.seq_len // 2, config.seq_len - 1, config.seq_len)):
        for temperature in temperatures[number % 3 :: 3]:
            choice = Settings(temperature, 10_000, bytes([number]) * 32).choice(temperature)
            found = execute(program, infer_inputs(config, weights, whole[:length], choice))["token"]
            assert int(found) == choose(logits[length - 1], choice), (length, temperature)
            assert int(found) not in NEVER


def test_the_logits_have_the_bits_of_decoding() -> None:
    weights, context = weights_of(MICRO), [7, 99, 255, 0, 31]
    wanted = Definition(MICRO, weights, 1).logits([Row(0, i, token) for i, token in enumerate(context)])[-1]
    given = infer_inputs(MICRO, weights, context, Settings(1000, 10_000, bytes(32)).choice(0))
    outs = [out for _, out in run(infer_program(MICRO), given)]
    assert any(out.dtype is torch.float32 and torch.equal(out.reshape(-1), wanted) for out in outs)


@pytest.mark.parametrize("config", [MICRO, WIDE], ids=lambda config: config.name)
@pytest.mark.parametrize("temperature", [0, 900])
def test_any_element_of_any_op_follows_from_what_it_reads(config: ModelConfig, temperature: int) -> None:
    program, draw = infer_program(config), random.Random(config.name)  # noqa: S311
    choice = Settings(temperature, 10_000, bytes(32)).choice(3)
    given = infer_inputs(config, weights_of(config), [5, 6, 7], choice)
    flat = [out.reshape(-1) for _, out in run(program, given)]

    def bits(op: int, index: int) -> int:
        value = flat[op][index]
        return int(value.view(torch.int32)) & 0xFFFFFFFF if value.dtype is torch.float32 else int(value)

    for at, op in enumerate(program.ops):
        if op.kind is Kind.INPUT:
            continue
        for index in {0, op.size - 1, *(draw.randrange(op.size) for _ in range(SAMPLES))}:
            assert onestep.element(op, index, bits) == bits(at, index), (at, op.kind.name, index)
    assert set(program.kinds()) <= onestep.JUDGED | {Kind.INPUT}
