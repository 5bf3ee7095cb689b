"""The outer step of an architecture as a program, for a given number of final claims, and what it may end with: a
change of the vocabulary, or of the number of layers."""

from dataclasses import replace
from functools import cache
from typing import Final

import torch
from torch import Tensor

from consensus.aggregation.reference import window_of
from consensus.aggregation.trimmed_mean import trimmed
from consensus.errors import ProgramError
from consensus.model.config import ModelConfig
from consensus.program.builder import Builder
from consensus.program.capture import capture
from consensus.program.grow import grow_program
from consensus.program.ops import DType, Op, Operand, Program
from consensus.program.views import View, dense_strides
from consensus.training.growth import Transition
from consensus.training.outer import momentum_step
from consensus.training.resize import TABLES, Change

PARTS = ("weights", "velocity")


@cache
def resize_program(config: ModelConfig, change: Change) -> Program:
    """Inputs and outputs: ``weights/NAME`` and ``velocity/NAME`` of embedding and head, which get their new shape."""
    shapes = config.shapes()
    given = {f"{part}/{name}": torch.empty(shapes[name]) for part in PARTS for name in TABLES}
    return capture(lambda inputs: {name: change.table(t) for name, t in inputs.items()}, given)


def update_name(number: int, name: str) -> str:
    """The input that holds a tensor of update ``number``, in the chain's order of final claims."""
    return f"update{number:05d}/{name}"


def outer_program(config: ModelConfig, updates: int, change: Transition | None = None) -> Program:
    """Inputs: ``weights/NAME`` and ``velocity/NAME`` (also outputs), ``update00000/NAME`` … and ``counts``, int64
    [updates]: the integer weights of the updates. With a ``change``, the resize or grow program follows, and the
    outputs are those of the architecture afterwards."""
    return _outer_program(config.grown_up if change is None else config, updates, change)


@cache
def _outer_program(config: ModelConfig, updates: int, change: Transition | None) -> Program:
    if isinstance(change, Change):
        return outer_program(config, updates).then(resize_program(config.grown_up, change))
    if change is not None:
        return _reshaped(outer_program(config, updates).then(grow_program(change)), change.after(config))
    shapes = config.shapes()
    names = [f"{part}/{name}" for part in PARTS for name in shapes]
    names += [update_name(i, name) for i in range(updates) for name in shapes]
    builder = Builder([*names, "counts"])
    for name in names:
        builder.input(name, DType.FLOAT32, shapes[name.partition("/")[2]])
    builder.input("counts", DType.INT64, (updates,))
    outputs: dict[str, dict[str, View]] = {part: {} for part in PARTS}
    for name, shape in shapes.items():
        # Tensors do not depend on one another, so those of one shape are one capture.
        for port, view in builder.include(_tensor_program(shape, updates), _ANY, name).items():
            outputs[port.partition("/")[0]][port] = view
    return builder.finish({port: view for part in PARTS for port, view in outputs[part].items()})


def _reshaped(program: Program, config: ModelConfig) -> Program:
    """The same ops; outputs are the tensors of ``config``, in the order of their leaves."""
    names = [f"{part}/{name}" for part in PARTS for name in config.shapes()]
    return Program(program.ops, program.inputs, {name: program.outputs[name] for name in names})


_ANY = "tensor"


_TRACED: Final = (1009, 1013)
"""What a capture stands in for any shape with: no number of updates, and no two alike."""


@cache
def _tensor_program(shape: tuple[int, ...], updates: int) -> Program:
    """The outer step of one tensor of this shape.

    Every op of it has the tensor's shape or is one number, so a capture is taken once for each rank, and given its
    shape here. Raises ProgramError where that does not hold.
    """
    program = _traced_program(_TRACED[: len(shape)], updates)
    return replace(program, ops=tuple(_of_shape(op, program, shape) for op in program.ops))


def _of_shape(op: Op, program: Program, shape: tuple[int, ...]) -> Op:
    traced = _TRACED[: len(shape)]
    if op.shape != traced:
        if any(program.ops[source].shape == traced for source in op.sources):
            raise ProgramError(f"{op.kind.name} of the outer step runs over a tensor")
        return op
    return replace(op, shape=shape, operands=tuple(_restrided(o, traced, shape) for o in op.operands))


def _restrided(operand: Operand, traced: tuple[int, ...], shape: tuple[int, ...]) -> Operand:
    if operand.source is None or not any(operand.strides):
        return replace(operand, strides=operand.strides and (0,) * len(shape))
    if operand.offset or operand.strides != dense_strides(traced):
        raise ProgramError("an operand of the outer step is not read in place")
    return replace(operand, strides=dense_strides(shape))


@cache
def _traced_program(shape: tuple[int, ...], updates: int) -> Program:
    given = {f"{part}/{_ANY}": torch.empty(shape) for part in PARTS}
    given |= {update_name(i, _ANY): torch.empty(shape) for i in range(updates)}
    given["counts"] = torch.empty(updates, dtype=torch.int64)

    def step(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        parts = [inputs[update_name(i, _ANY)] for i in range(updates)]
        mean = window_of(inputs["counts"], parts, trimmed())
        after = momentum_step(inputs[f"weights/{_ANY}"], inputs[f"velocity/{_ANY}"], mean)
        return {f"{part}/{_ANY}": tensor for part, tensor in zip(PARTS, after, strict=True)}

    return capture(step, given)
