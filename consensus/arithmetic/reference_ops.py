"""One op of a step program at a time, over PyTorch tensors: what `reference` composes, kind by kind."""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from consensus.arithmetic.products import fp64
from consensus.arithmetic.reference import square_root

Elementwise = Callable[..., Tensor]

ELEMENTWISE: Final[dict[str, Elementwise]] = {
    "COPY": lambda x: x,
    "ADD": torch.add,
    "SUB": torch.sub,
    "MUL": torch.mul,
    "DIV": torch.div,
    "SQRT": square_root,
    "ROUND": torch.round,
    "ABS": torch.abs,
    "GT": torch.gt,
    "GE": torch.ge,
    "LT": torch.lt,
    "WHERE": torch.where,
    "AS_INT": lambda x: x.contiguous().view(torch.int32),
    "AS_FLOAT": lambda x: x.contiguous().view(torch.float32),
    "INT_ADD": torch.add,
    "INT_SUB": torch.sub,
    "INT_MUL": torch.mul,
    "INT_DIV": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "INT_GE": torch.ge,
    "INT_EQ": torch.eq,
    "SHL": torch.bitwise_left_shift,
    "SHR": torch.bitwise_right_shift,
}
"""Kinds whose element depends on one element of each operand, all spread to the op's shape."""


def largest(x: Tensor, extent: int) -> Tensor:
    """Maximum over the last ``extent`` dimensions; a largest zero is +0, whichever sign the processor's order keeps."""
    return x.amax(tuple(range(-extent, 0))) + 0.0


def integer_sum(x: Tensor, extent: int) -> Tensor:
    """int64 sum over the last ``extent`` dimensions."""
    return x.sum(tuple(range(-extent, 0)), dtype=torch.int64)


def integer_product(a: Tensor, b: Tensor) -> Tensor:
    """a, b [..., M, N, K], a constant along N and b along M -> int32 [..., M, N]."""
    return fp64(a[..., :, 0, :], b[..., 0, :, :])


def gather(flat: Tensor, start: Tensor, index: Tensor, stride: int, limit: int) -> Tensor:
    """Elements ``start + index * stride`` of ``flat``. Raises IndexError outside 0 … limit - 1."""
    if bool(((index < 0) | (index >= limit)).any()):
        raise IndexError(f"an index is outside 0 … {limit - 1}")
    return flat[start + index.to(torch.int64) * stride]


def sum_at(index: Tensor, columns: Tensor, rows: int) -> Tensor:
    """index [R], columns [d, R] int32 -> int32 [rows, d]: row t adds the columns whose index is t."""
    zeros = torch.zeros((rows, columns.shape[0]), dtype=torch.int32)
    return zeros.index_add_(0, index.to(torch.int64), columns.t())


def stack(parts: Sequence[Tensor]) -> Tensor:
    """Equal tensors along a new first dimension."""
    return torch.stack(list(parts), 0)
