"""What a claim adds to the outer step, as a program: start weights minus end weights, rounded as they travel."""

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
    """Inputs: ``start/NAME`` and ``end/NAME``; outputs: ``update/NAME``, as ``claimed_update`` has them."""
    if config.young:
        return update_program(config.grown_up)
    shapes, layer = config.shapes(), layer_of(config)
    given = {f"{part}/{name}": torch.empty(shape) for part in ("start", "end") for name, shape in shapes.items()}

    def step(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"update/{name}": _rounded(inputs, name, layer(name)) for name in shapes}

    return capture(step, given, layer)


def _rounded(inputs: dict[str, Tensor], name: str, layer: int) -> Tensor:
    with for_layer(layer):
        return through_int8(inputs[f"start/{name}"] - inputs[f"end/{name}"])
