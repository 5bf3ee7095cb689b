"""The step as a flat program: same bits as the fast step, one hash everywhere, one scalar at a time."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from consensus.arithmetic import choose_engine
from consensus.arithmetic.choice import survey
from consensus.commitments.tensors import state_root
from consensus.dispute import onestep
from consensus.errors import ProgramError
from consensus.model.config import PRESETS, ModelConfig
from consensus.model.init import init_weights
from consensus.program import Kind, Program, capture, execute, step_program
from consensus.program.execute import run
from consensus.program.ops import DType
from consensus.program.outer import outer_program
from consensus.program.step import PARTS, schedule_row
from consensus.training.optimizer import AdamW
from consensus.training.step import Trainer, TrainState

MICRO = ModelConfig("micro", layers=2, width=16, heads=2, seq_len=32, batch=4)
WIDE = ModelConfig("wide", layers=1, width=144, heads=2, seq_len=8, batch=128)
"""A contraction of 576 terms, in two blocks, and two micro-batches."""
GROWN = ModelConfig("grown", layers=1, width=16, heads=2, seq_len=32, batch=4, vocab=531)
"""Rows that divide by nothing, more than one block of them."""
SAMPLES = 6


def tokens(config: ModelConfig, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (config.batch, config.seq_len + 1), generator=draw, dtype=torch.int32)


def named(state: TrainState) -> dict[str, Tensor]:
    parts = zip(PARTS, (state.weights, state.m, state.v), strict=True)
    return {f"{part}/{name}": tensor for part, tensors in parts for name, tensor in tensors.items()}


def inputs(config: ModelConfig, state: TrainState) -> dict[str, Tensor]:
    held = {name: tensor.clone() for name, tensor in named(state).items()}
    return held | {"tokens": tokens(config, state.step), "schedule": schedule_row(AdamW(), state.step)}


@pytest.mark.parametrize("config", [MICRO, WIDE, GROWN, PRESETS["tiny"]], ids=lambda config: config.name)
def test_op_by_op_gives_the_bits_of_the_fast_step(config: ModelConfig) -> None:
    program, trainer = step_program(config), Trainer(config, choose_engine(threads=1))
    state = TrainState.start(init_weights(config, b"program"))
    for _ in range(3):
        given = inputs(config, state)
        loss = trainer.step(state, given["tokens"])
        found = execute(program, given)
        assert float(found.pop("loss")) == loss
        wanted = named(state)
        assert found.keys() == wanted.keys()
        assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == []


def test_every_kernel_steps_a_vocabulary_whose_rows_divide_by_nothing() -> None:
    roots: dict[str, bytes] = {}
    for verdict in survey():
        if verdict.engine is None:
            continue
        trainer, state = Trainer(GROWN, verdict.engine), TrainState.start(init_weights(GROWN, b"program"))
        for step in range(2):
            trainer.step(state, tokens(GROWN, step) * 2)
        roots[verdict.name] = state_root(state.weights, state.m, state.v)
    assert len(roots) > 1
    assert len(set(roots.values())) == 1, roots


@pytest.mark.parametrize("config", [MICRO, WIDE], ids=lambda config: config.name)
def test_any_element_of_any_op_follows_from_what_it_reads(config: ModelConfig) -> None:
    program, draw = step_program(config), random.Random(config.name)  # noqa: S311
    trainer, state = Trainer(config, choose_engine(threads=1)), TrainState.start(init_weights(config, b"program"))
    trainer.step(state, tokens(config, 99))
    outs = [out for _, out in run(program, inputs(config, state))]
    flat = [out.reshape(-1) for out in outs]

    def bits(op: int, index: int) -> int:
        value = flat[op][index]
        return int(value.view(torch.int32)) & 0xFFFFFFFF if value.dtype is torch.float32 else int(value)

    for at, op in enumerate(program.ops):
        if op.kind is Kind.INPUT:
            continue
        for index in {0, op.size - 1, *(draw.randrange(op.size) for _ in range(SAMPLES))}:
            told = set(onestep.reads(op, index))
            asked: set[tuple[int, int]] = set()

            def read(source: int, place: int, asked: set[tuple[int, int]] = asked) -> int:
                asked.add((source, place))
                return bits(source, place)

            assert onestep.element(op, index, read) == bits(at, index), (at, op.kind.name, index)
            assert told <= asked
            assert len(asked - told) <= (op.kind is Kind.GATHER)


def test_every_kind_in_a_step_is_judged() -> None:
    kinds = set(step_program(PRESETS["tiny"]).kinds()) | set(outer_program(PRESETS["tiny"], 3).kinds())
    assert kinds - {Kind.INPUT} == onestep.JUDGED
    assert set(Kind) == onestep.JUDGED | {Kind.INPUT}


def test_reductions_read_elements_that_lie_together() -> None:
    for op in step_program(PRESETS["tiny"]).ops:
        if op.extent and op.extent[-1] > 16:
            assert all(o.strides[-1] in (0, 1) for o in op.operands if o.source is not None), op.kind.name
        if op.kind is Kind.DOT:
            assert op.extent[0] <= 512


def test_the_hash_is_the_same_in_another_process_at_another_isa_and_thread_count() -> None:
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from consensus.model.config import PRESETS\n"
        "from consensus.program import step_program\n"
        "print(step_program(PRESETS['tiny']).hash().hex())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"ATEN_CPU_CAPABILITY": "default", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == step_program(PRESETS["tiny"]).hash().hex()


def test_any_change_of_the_program_changes_its_hash() -> None:
    program = step_program(MICRO)
    ops = program.ops
    at = next(i for i, op in enumerate(ops) if op.kind is Kind.MUL and i + 1 < len(ops))
    given = program.inputs
    dropped = Program(ops[:-1], given, {name: k for name, k in program.outputs.items() if k < len(ops) - 1})
    renamed = dict(program.outputs)
    first, second = sorted(renamed)[:2]
    renamed[first], renamed[second] = renamed[second], renamed[first]
    other = (*ops[:at], replace(ops[at], kind=Kind.DIV), *ops[at + 1 :])
    turned = dict(reversed(given.items()))
    changed = (Program(ops, given, renamed), Program(other, given, program.outputs), Program(ops, turned, renamed))
    assert len({one.hash() for one in (program, dropped, *changed)}) == 5
    other_optimizer = step_program(MICRO, AdamW(weight_decay=0.5)).hash()
    assert other_optimizer == program.hash(), "decay is in the schedule, not in the program"
    assert step_program(MICRO, AdamW(beta1=0.5)).hash() != program.hash()


OUTSIDE = {
    "exp": torch.exp,
    "float sum": lambda x: x.sum(),
    "matmul in fp32": lambda x: x @ x,
    "reciprocal": torch.reciprocal,
    "fp64 arithmetic": lambda x: (x.to(torch.float64) + 1.0).to(torch.float32),
    "fp32 square root": torch.sqrt,
    "a constant fp32 does not hold": lambda x: x * 0.1,
    "chance": lambda x: x + torch.rand_like(x),
    "half precision": lambda x: x.to(torch.float16).to(torch.float32),
    "a fused multiply-add": lambda x: torch.addcmul(x, x, x),
}


@pytest.mark.parametrize("what", OUTSIDE)
def test_an_op_outside_the_set_fails_at_build_time_with_its_name_and_place(what: str) -> None:
    with pytest.raises(ProgramError, match=r"aten\.\w+\.?\w* \(node \w+\)"):
        capture(lambda given: {"y": OUTSIDE[what](given["x"])}, {"x": torch.empty(4, 4)})


def test_what_no_result_needs_is_dropped_and_equal_ops_are_one() -> None:
    def step(given: dict[str, Tensor]) -> dict[str, Tensor]:
        x = given["x"]
        _unused = x * 3.0
        return {"y": (x + 1.0) * (x + 1.0), "z": x.t()}

    program = capture(step, {"x": torch.empty(2, 3)})
    assert [op.kind for op in program.ops] == [Kind.INPUT, Kind.ADD, Kind.MUL, Kind.COPY]
    assert [op.dtype for op in program.ops] == [DType.FLOAT32] * 4
    x = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    found = execute(program, {"x": x})
    assert torch.equal(found["y"], (x + 1) * (x + 1))
    assert torch.equal(found["z"], x.t())
    with pytest.raises(ProgramError, match="input x"):
        execute(program, {"x": x.t()})
