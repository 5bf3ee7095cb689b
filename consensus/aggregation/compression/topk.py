"""The largest hundredth of each block (Aji & Heafield 2017, "Sparse communication for distributed gradient descent").

Places are u16 within the block, never differences, which overflow silently; values are bf16.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
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


@dataclass(frozen=True, slots=True)
class TopK:
    """A block: its places (u16 LE, rising), then their values (bf16 LE)."""

    number: ClassVar[int] = 2

    def size(self, elements: int) -> int:
        """Bytes."""
        return size_by_block(elements, lambda width: 4 * _count(width))

    def encode(self, x: Tensor) -> bytes:
        """Finite fp32 [elements]."""
        parts = []
        for first, blocks, width in runs(len(x)):
            held = x[first : first + blocks * width].reshape(blocks, width)
            places = largest(held, _count(width))
            words = bf16_words(to_bf16(held.gather(1, places)))
            parts.append(np.concatenate([places.numpy().astype("<u2"), words], axis=1).tobytes())
        return b"".join(parts)

    def decode(self, data: memoryview, elements: int) -> Tensor:
        """Fp32 [elements]. Raises CompressionError for places out of order or range, and values not finite."""
        whole, at, parts = np.frombuffer(data, dtype="<u2"), 0, [torch.zeros(0)]
        for _, blocks, width in runs(elements):
            count = _count(width)
            words = whole[at : at + blocks * 2 * count].reshape(blocks, 2 * count)
            at += words.size
            parts.append(placed(blocks, width, checked_places(words[:, :count], width), from_bf16(words[:, count:])))
        return torch.cat(parts)


def _count(width: int) -> int:
    return -(-width // 100)
