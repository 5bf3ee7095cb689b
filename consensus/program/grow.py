"""New layers as a program: the generator of the initial weights in ops that the contract judges already.

The op set has neither exclusive or nor shifts of 64 bits. A shift to the right by k is a floor division by 2^k that
clears the sign, and z ^ s = z + s - 2 (z & s), where z & s is summed up bit by bit.
"""

from functools import cache
from math import prod

import torch
from torch import Tensor

from consensus.model.init import GOLDEN, spread_of, stream_key
from consensus.program.capture import capture
from consensus.program.ops import Program
from consensus.training.growth import Growth

_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""SplitMix64: shift, then multiplier. Its last shift, by 31, does not reach the 24 bits that are used."""


@cache
def grow_program(growth: Growth) -> Program:
    """No inputs. Outputs: ``weights/NAME`` and ``velocity/NAME`` of every new tensor."""
    new = growth.new_shapes()

    def make(_: dict[str, Tensor]) -> dict[str, Tensor]:
        weights = {f"weights/{name}": _initial(name, shape, growth.origin) for name, shape in new.items()}
        return weights | {f"velocity/{name}": torch.zeros(shape) for name, shape in new.items()}

    return capture(make, {})


def _initial(name: str, shape: tuple[int, ...], seed: bytes) -> Tensor:
    """``consensus.model.init.init_tensor`` in tensor operations alone."""
    spread = spread_of(name, shape)
    if spread == 0.0:
        return torch.zeros(shape)
    counter = torch.arange(prod(shape)) + 1
    z = counter * _signed(int(GOLDEN)) + _signed(stream_key(seed, name))
    for shift, multiplier in _MIX:
        z = _xor(z, _right(z, shift), 64 - shift) * _signed(multiplier)
    return ((_right(z, 40) - (1 << 23)).to(torch.float32) * (spread * 2.0**-23)).view(shape)


def _right(z: Tensor, by: int) -> Tensor:
    """The 64 bits of ``z`` as an unsigned number, shifted to the right by 2 … 62."""
    floor = torch.div(z, torch.tensor([1 << by]), rounding_mode="floor")
    return floor + torch.where(z >= 0, 0, 1 << (64 - by))


def _xor(z: Tensor, s: Tensor, bits: int) -> Tensor:
    """``z ^ s``, where ``s`` has no more than ``bits`` bits."""
    powers = torch.tensor([1 << i for i in range(bits)])
    both = (_digits(z, powers) * _digits(s, powers) * powers).sum(-1, dtype=torch.int64)
    return z + s - both * 2


def _digits(z: Tensor, powers: Tensor) -> Tensor:
    """Binary digits [count, bits] of the lowest bits of ``z`` [count]."""
    floors = torch.div(z.unsqueeze(-1), powers, rounding_mode="floor")
    return floors - torch.div(floors, torch.tensor([2]), rounding_mode="floor") * 2


def _signed(value: int) -> int:
    """64 bits in two's complement."""
    return value - (1 << 64) if value >> 63 else value
