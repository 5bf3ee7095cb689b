"""The largest 64 of each 4,096 elements in two bits each: a sign, and one of two levels of the block.

The levels are the quartiles of the chosen magnitudes, so that no sum is taken. Sparse, with few levels and error
feedback, as in Strom 2015, "Scalable distributed DNN training using commodity GPU cloud computing".
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consensus.aggregation.compression.blocks import (
    bf16_words,
    checked_places,
    from_bf16,
    largest,
    placed,
    runs,
    size_by_block,
    to_bf16,
)
from consensus.errors import CompressionError

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TwoBit:
    """A block: two levels (bf16 LE, the lower first), places (12 bits, two in three bytes), codes (four a byte).

    A code is 2 * negative + upper level. Padding is zero.
    """

    number: ClassVar[int] = 3

    def size(self, elements: int) -> int:
        """Bytes."""
        return size_by_block(elements, lambda width: sum(_layout(_count(width))))

    def encode(self, x: Tensor) -> bytes:
        """Finite fp32 [elements]."""
        parts = []
        for first, blocks, width in runs(len(x)):
            held = x[first : first + blocks * width].reshape(blocks, width)
            places = largest(held, _count(width))
            levels, codes = _quantised(held.gather(1, places))
            fields = (bf16_words(levels).view(np.uint8), _pack12(places.numpy()), _pack2(codes.numpy()))
            parts.append(np.concatenate(fields, axis=1).tobytes())
        return b"".join(parts)

    def decode(self, data: memoryview, elements: int) -> Tensor:
        """Fp32 [elements]. Raises CompressionError for places out of order or range, levels that are not finite, not
        positive or not in order, and for padding that is not zero."""
        whole, at, parts = np.frombuffer(data, dtype=np.uint8), 0, [torch.zeros(0)]
        for _, blocks, width in runs(elements):
            count = _count(width)
            layout = _layout(count)
            held = whole[at : at + blocks * sum(layout)].reshape(blocks, sum(layout))
            at += held.size
            levels, packed, codes = np.split(held, [layout[0], layout[0] + layout[1]], axis=1)
            places = checked_places(_unpack12(packed, count), width)
            parts.append(placed(blocks, width, places, _values(levels, _unpack2(codes, count))))
        return torch.cat(parts)


def _count(width: int) -> int:
    return -(-width // 64)


def _layout(count: int) -> tuple[int, int, int]:
    """Bytes of levels, places and codes."""
    return 4, -(-count * 3 // 2), -(-count // 4)


def _quantised(values: Tensor) -> tuple[Tensor, Tensor]:
    """Levels [blocks, 2] and codes [blocks, count] uint8 of chosen values."""
    size = values.abs()
    ranked = size.sort(dim=1).values
    count = size.shape[1]
    levels = to_bf16(ranked[:, [count // 4, (3 * count) // 4]])
    low, high = levels[:, :1], levels[:, 1:]
    upper = (high - size).abs() < (size - low).abs()
    return levels, (upper.to(torch.uint8) + (values < 0).to(torch.uint8) * 2)


def _values(levels: Bytes, codes: Bytes) -> Tensor:
    words = np.ascontiguousarray(levels).view("<u2")
    if (words >> 15).any() or (words[:, 0] > words[:, 1]).any():
        raise CompressionError("the levels of a block are not positive and in order")
    level = from_bf16(words)
    size = torch.where(torch.from_numpy(codes & 1).to(torch.bool), level[:, 1:], level[:, :1])
    return torch.where(torch.from_numpy(codes >> 1).to(torch.bool), -size, size)


def _pack12(places: NDArray[np.int64]) -> Bytes:
    even = np.pad(places, ((0, 0), (0, places.shape[1] % 2)))
    a, b = even[:, ::2], even[:, 1::2]
    three = np.stack([a & 255, (a >> 8) | ((b & 15) << 4), b >> 4], axis=2).astype(np.uint8)
    return three.reshape(len(places), -1)[:, : _layout(places.shape[1])[1]]


def _unpack12(packed: Bytes, count: int) -> NDArray[np.int64]:
    three = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 3))).reshape(len(packed), -1, 3).astype(np.int64)
    a, b = three[:, :, 0] | ((three[:, :, 1] & 15) << 8), (three[:, :, 1] >> 4) | (three[:, :, 2] << 4)
    places = np.stack([a, b], axis=2).reshape(len(packed), -1)
    if places[:, count:].any():
        raise CompressionError("a bit set in padding")
    return places[:, :count]


def _pack2(codes: Bytes) -> Bytes:
    four = np.pad(codes, ((0, 0), (0, -codes.shape[1] % 4))).reshape(len(codes), -1, 4)
    return (four[:, :, 0] | (four[:, :, 1] << 2) | (four[:, :, 2] << 4) | (four[:, :, 3] << 6)).astype(np.uint8)


def _unpack2(packed: Bytes, count: int) -> Bytes:
    codes = np.stack([(packed >> shift) & 3 for shift in (0, 2, 4, 6)], axis=2).reshape(len(packed), -1)
    if codes[:, count:].any():
        raise CompressionError("a bit set in padding")
    return codes[:, :count]
