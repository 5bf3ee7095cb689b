"""The outer step of an architecture as a program, for a given number of final claims and a change of the vocabulary."""

from functools import cache

import torch
from torch import Tensor

from consensus.aggregation.reference import window_of
from consensus.aggregation.trimmed_mean import trimmed
from consensus.model.config import ModelConfig
from consensus.program.builder import Builder
from consensus.program.capture import capture
from consensus.program.ops import DType, Program
from consensus.program.views import View
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


@cache
def outer_program(config: ModelConfig, updates: int, change: Change | None = None) -> Program:
    """Inputs: ``weights/NAME`` and ``velocity/NAME`` (also outputs), ``update00000/NAME`` … and ``counts``, int64
    [updates]: the integer weights of the updates. With a ``change``, the resize program follows."""
    if change is not None:
        return outer_program(config, updates).then(resize_program(config, change))
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


_ANY = "tensor"


@cache
def _tensor_program(shape: tuple[int, ...], updates: int) -> Program:
    """The outer step of one tensor of this shape."""
    given = {f"{part}/{_ANY}": torch.empty(shape) for part in PARTS}
    given |= {update_name(i, _ANY): torch.empty(shape) for i in range(updates)}
    given["counts"] = torch.empty(updates, dtype=torch.int64)

    def step(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        mean = window_of(inputs["counts"], [inputs[update_name(i, _ANY)] for i in range(updates)], trimmed())
        after = momentum_step(inputs[f"weights/{_ANY}"], inputs[f"velocity/{_ANY}"], mean)
        return {f"{part}/{_ANY}": tensor for part, tensor in zip(PARTS, after, strict=True)}

    return capture(step, given)
