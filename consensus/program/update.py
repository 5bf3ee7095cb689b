"""What a claim adds to the outer step, as a program: start weights minus end weights."""

from functools import cache

import torch
from torch import Tensor

from consensus.aggregation.compression.int8 import through_int8
from consensus.model.config import ModelConfig
from consensus.program.capture import capture, for_layer
from consensus.program.layers import layer_of
from consensus.program.ops import Program


@cache
def update_program(config: ModelConfig) -> Program:
    """Inputs: ``start/NAME`` and ``end/NAME``; outputs: ``update/NAME``."""
    if config.young:
        return update_program(config.grown_up)
    shapes, layer = config.shapes(), layer_of(config)
    given = {f"{part}/{name}": torch.empty(shape) for part in ("start", "end") for name, shape in shapes.items()}

    def step(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"update/{name}": _difference(inputs, name, layer(name)) for name in shapes}

    return capture(step, given, layer)


@cache
def rounded_update_program(config: ModelConfig) -> Program:
    """The same with updates as ``Int8`` carries them: what a claim could name so that its contribution travels in a
    quarter of the bytes and stays disputable. No suite holds it yet."""
    shapes = config.grown_up.shapes()
    given = {f"{part}/{name}": torch.empty(shape) for part in ("start", "end") for name, shape in shapes.items()}

    def step(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"update/{name}": through_int8(inputs[f"start/{name}"] - inputs[f"end/{name}"]) for name in shapes}

    return capture(step, given)


def _difference(inputs: dict[str, Tensor], name: str, layer: int) -> Tensor:
    with for_layer(layer):
        return inputs[f"start/{name}"] - inputs[f"end/{name}"]
