"""Every element in two bits: a sign, and one of two levels of its block of 256; a fifteenth of the bytes.

Nothing is left at zero, so that error feedback has little to make up for: the mean square of what is left out is about
an eighth of the update's. The levels are the 35th and the 87th hundredth of the magnitudes, which are close to the best
four levels for a normal distribution (Max 1960, "Quantizing for minimum distortion"), the upper one at least half of
the largest: without that, what is left out of a few large elements would grow without end. No sum is taken, whose order
would change bits.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consensus.aggregation.compression.blocks import bf16_words, from_bf16, to_bf16
from consensus.errors import CompressionError

_BLOCK: Final = 256
_LEVEL_BYTES: Final = 4
_CHUNK: Final = 1 << 14
"""Blocks in hand at once."""
_LOWER: Final = 35
_UPPER: Final = 87
_SHIFTS: Final = np.array([0, 2, 4, 6], dtype=np.uint8)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FourLevel:
    """All levels (two bf16 LE a block, the lower first), then all codes (four a byte).

    A code is 2 * negative + upper level. Padding is zero.
    """

    number: ClassVar[int] = 4

    def size(self, elements: int) -> int:
        """Bytes."""
        return _LEVEL_BYTES * -(-elements // _BLOCK) + -(-elements // 4)

    def encode(self, x: Tensor) -> bytes:
        """Finite fp32 [elements]."""
        levels, codes = [], []
        for at in range(0, len(x), _CHUNK * _BLOCK):
            some, chosen = _quantised(x[at : at + _CHUNK * _BLOCK])
            levels.append(bf16_words(some).tobytes())
            codes.append(_pack(chosen.numpy()))
        return b"".join(levels) + b"".join(codes)

    def decode(self, data: memoryview, elements: int) -> Tensor:
        """Fp32 [elements]. Raises CompressionError for levels that are not finite, not positive or not in order, and
        for padding that is not zero."""
        head = _LEVEL_BYTES * -(-elements // _BLOCK)
        words = np.frombuffer(data[:head], dtype="<u2").reshape(-1, 2)
        if (words >> 15).any() or (words[:, 0] > words[:, 1]).any():
            raise CompressionError("the levels of a block are not positive and in order")
        codes = _unpack(np.frombuffer(data[head:], dtype=np.uint8), elements)
        level = from_bf16(words)
        whole = np.pad(codes, (0, -elements % _BLOCK)).reshape(-1, _BLOCK)
        size = torch.where(torch.from_numpy(whole & 1).to(torch.bool), level[:, 1:], level[:, :1])
        return torch.where(torch.from_numpy(whole >> 1).to(torch.bool), -size, size).reshape(-1)[:elements]


def _quantised(x: Tensor) -> tuple[Tensor, Tensor]:
    """Levels [blocks, 2] and codes [elements] uint8."""
    whole = len(x) // _BLOCK * _BLOCK
    levels, codes = [torch.zeros((0, 2))], [torch.zeros(0, dtype=torch.uint8)]
    for part in (x[:whole].reshape(-1, _BLOCK), x[whole:].reshape(1, -1)):
        if part.numel():
            some, chosen = _of_blocks(part)
            levels.append(some)
            codes.append(chosen.reshape(-1))
    return torch.cat(levels), torch.cat(codes)


def _of_blocks(blocks: Tensor) -> tuple[Tensor, Tensor]:
    size = blocks.abs()
    ranked, width = size.sort(dim=1).values, blocks.shape[1]
    upper_level = torch.maximum(ranked[:, width * _UPPER // 100], ranked[:, -1] * 0.5)
    levels = to_bf16(torch.stack([ranked[:, width * _LOWER // 100], upper_level], dim=1))
    upper = (levels[:, 1:] - size).abs() < (size - levels[:, :1]).abs()
    return levels, upper.to(torch.uint8) + (blocks < 0).to(torch.uint8) * 2


def _pack(codes: Bytes) -> bytes:
    four = np.pad(codes, (0, -len(codes) % 4)).reshape(-1, 4)
    packed: Bytes = np.bitwise_or.reduce(four << _SHIFTS, axis=1).astype(np.uint8)
    return packed.tobytes()


def _unpack(packed: Bytes, count: int) -> Bytes:
    codes: Bytes = ((packed[:, None] >> _SHIFTS) & np.uint8(3)).reshape(-1)
    if codes[count:].any():
        raise CompressionError("a bit set in padding")
    return codes[:count]
