"""int8 with a power-of-two scale for each 256 elements: a quarter of the bytes, an error of at most half a step."""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from consensus.errors import CompressionError

_BLOCK: Final = 256
_QMAX: Final = 127
_LEAST: Final = -120
_MOST: Final = 121
"""Exponents of scales; 127 * 2**121 is finite, and 2**-120 is far above the subnormal numbers."""


@dataclass(frozen=True, slots=True)
class Int8:
    """All scales (i8 exponents, one a block), then all elements (i8, within +-127)."""

    number: ClassVar[int] = 1

    def size(self, elements: int) -> int:
        """Bytes."""
        return elements + -(-elements // _BLOCK)

    def encode(self, x: Tensor) -> bytes:
        """Finite fp32 [elements]; each is rounded half to even."""
        blocks = torch.nn.functional.pad(x, (0, -len(x) % _BLOCK)).reshape(-1, _BLOCK)
        exponent = _exponents(blocks.abs().amax(1)) if len(blocks) else torch.zeros(0, dtype=torch.int32)
        q = torch.round(blocks * _power(-exponent).unsqueeze(1)).clamp(-_QMAX, _QMAX).to(torch.int8)
        return exponent.to(torch.int8).numpy().tobytes() + q.reshape(-1)[: len(x)].numpy().tobytes()

    def decode(self, data: memoryview, elements: int) -> Tensor:
        """Fp32 [elements]. Raises CompressionError for a scale out of range and for -128."""
        count = -(-elements // _BLOCK)
        raw = torch.from_numpy(np.frombuffer(data, dtype=np.int8).copy())
        exponent, q = raw[:count].to(torch.int32), raw[count:]
        if bool(((exponent < _LEAST) | (exponent > _MOST)).any()) or bool((q < -_QMAX).any()):
            raise CompressionError("a scale or an element out of range")
        return q.to(torch.float32) * _power(exponent).repeat_interleave(_BLOCK)[:elements]


def through_int8(x: Tensor) -> Tensor:
    """What receivers decode of finite fp32 numbers of any shape: the same bits in exact ops alone, so that a program
    can hold them (consensus/program/update.py)."""
    flat, count = x.reshape(-1), x.numel()
    cut = count - count % _BLOCK
    runs = [flat[:cut].reshape(-1, _BLOCK)] if cut else []
    runs += [flat[cut:].reshape(1, -1)] if cut < count else []
    rounded = [_rounded(run).reshape(-1, 1) for run in runs]
    return (rounded[0] if len(rounded) == 1 else torch.cat(rounded)).reshape(x.shape)


def _rounded(blocks: Tensor) -> Tensor:
    """Each row on the grid of its own largest magnitude."""
    top = blocks.abs().amax(1)
    e = _within((top.view(torch.int32) >> 23) - 127 - 6)
    e = _within(torch.where(torch.round(top * _power(0 - e)) > _QMAX, e + 1, e)).unsqueeze(1)
    steps = torch.round(blocks * _power(0 - e))
    steps = torch.where(steps > _QMAX, float(_QMAX), torch.where(steps < -_QMAX, float(-_QMAX), steps))
    return steps.to(torch.int32).to(torch.float32) * _power(e)  # through integers, so that a zero has no sign


def _within(e: Tensor) -> Tensor:
    least, most = torch.full_like(e, _LEAST), torch.full_like(e, _MOST)
    e = torch.where(e >= most, most, e)
    return torch.where(e >= least, e, least)


def _exponents(top: Tensor) -> Tensor:
    """The least exponents e with round(top / 2**e) <= 127."""
    e = ((top.view(torch.int32) >> 23) - 127 - 6).clamp(_LEAST, _MOST)
    over = torch.round(top * _power(-e)) > _QMAX
    return torch.where(over, e + 1, e).clamp(_LEAST, _MOST)


def _power(e: Tensor) -> Tensor:
    """2**e as fp32, from its bits; e in -126 … 127."""
    return ((e + 127) << 23).view(torch.float32)
