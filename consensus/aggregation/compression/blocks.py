"""Blocks of a flat tensor, and the elements of each that are largest."""

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consensus.errors import CompressionError

BLOCK: Final = 4096
"""Elements of a block, so that a place in it takes 12 bits; the last block of a tensor may be shorter."""
BF16_MAX: Final = float.fromhex("0x1.fep+127")
_CHUNK: Final = 256
"""Blocks in hand at once."""

Words = NDArray[np.uint16]


def runs(elements: int) -> Iterator[tuple[int, int, int]]:
    """(first element, blocks, elements of each): runs of whole blocks, then what is left."""
    whole = elements // BLOCK
    for at in range(0, whole, _CHUNK):
        yield at * BLOCK, min(_CHUNK, whole - at), BLOCK
    if elements % BLOCK:
        yield whole * BLOCK, 1, elements % BLOCK


def size_by_block(elements: int, size: Callable[[int], int]) -> int:
    """Bytes of all blocks; ``size``: of one with so many elements."""
    whole, rest = divmod(elements, BLOCK)
    return whole * size(BLOCK) + (size(rest) if rest else 0)


def largest(blocks: Tensor, count: int) -> Tensor:
    """Places of the ``count`` largest magnitudes of each row of [blocks, width], ascending; of equals the first."""
    width = blocks.shape[1]
    magnitude = (blocks.view(torch.int32) & 0x7FFFFFFF).to(torch.int64)
    key = (magnitude << 12) | (BLOCK - 1 - torch.arange(width))
    chosen = BLOCK - 1 - (key.topk(count, dim=1).values & (BLOCK - 1))
    return chosen.sort(dim=1).values


def checked_places(places: NDArray[np.integer], width: int) -> Tensor:
    """Places [blocks, count] as int64. Raises CompressionError unless they rise and stay inside the block."""
    wide = places.astype(np.int64)
    if (wide[:, -1] >= width).any() or (wide[:, 1:] <= wide[:, :-1]).any():
        raise CompressionError("the places of a block do not rise, or lie outside it")
    return torch.from_numpy(wide)


def to_bf16(x: Tensor) -> Tensor:
    """Rounded to the nearest finite bf16 number, as fp32."""
    return x.clamp(-BF16_MAX, BF16_MAX).to(torch.bfloat16).to(torch.float32)


def bf16_words(x: Tensor) -> Words:
    """The upper halves of fp32 numbers that are bf16 numbers."""
    return (x.contiguous().numpy().view(np.uint32) >> 16).astype("<u2")


def from_bf16(words: NDArray[np.uint16]) -> Tensor:
    """Fp32 from bf16 words. Raises CompressionError on what is not finite."""
    if ((words & 0x7F80) == 0x7F80).any():
        raise CompressionError("a value that is not finite")
    return torch.from_numpy((words.astype(np.uint32) << 16).view(np.float32))


def placed(blocks: int, width: int, places: Tensor, values: Tensor) -> Tensor:
    """Zeros [blocks * width] with values [blocks, count] in their places."""
    return torch.zeros((blocks, width)).scatter(1, places, values).reshape(-1)
