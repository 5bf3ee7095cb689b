"""The integer product, four ways. All return the same integers; a machine uses the fastest that proves itself.

Operands are integers of at most 12 bits held in fp32; at most 512 terms are contracted, so the result fits an int32.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

Product = Callable[[Tensor, Tensor], Tensor]
"""a [..., M, K], b [..., N, K] -> a . b^T as int32 [..., M, N]."""


def fp64(a: Tensor, b: Tensor) -> Tensor:
    """By an fp64 BLAS: every partial sum is an integer below 2^53, so its order does not matter."""
    return torch.matmul(a.to(torch.float64), b.to(torch.float64).transpose(-1, -2)).to(torch.int32)


def _limbs(q: Tensor) -> tuple[Tensor, Tensor]:
    high = torch.round(q * 0.015625)
    return high, q - high * 64.0


def _by_limbs(a: Tensor, b: Tensor, product: Product) -> Tensor:
    """q = 64 high + low with |high|, |low| <= 32, four products, joined as integers."""
    ah, al = _limbs(a)
    bh, bl = _limbs(b)
    middle = product(ah, bl) + product(al, bh)
    return product(ah, bh) * 4096 + middle * 64 + product(al, bl)


def _fp32_limb(a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b.transpose(-1, -2)).to(torch.int32)


def fp32(a: Tensor, b: Tensor) -> Tensor:
    """By an fp32 BLAS on limbs: sums stay below 512 * 32 * 32 = 2^19."""
    return _by_limbs(a, b, _fp32_limb)


def _int8_limb(a: Tensor, b: Tensor) -> Tensor:
    a8, b8 = a.to(torch.int8), b.to(torch.int8)
    if a8.dim() == 2:
        return torch._int_mm(a8, b8.t().contiguous())
    lead = a8.shape[:-2]
    flat = [torch._int_mm(x, y.t().contiguous()) for x, y in zip(a8.flatten(0, -3), b8.flatten(0, -3), strict=True)]
    return torch.stack(flat).reshape(*lead, *flat[0].shape)


def int8(a: Tensor, b: Tensor) -> Tensor:
    """By int8 matmul on limbs; |limb| <= 32 keeps clear of the saturation that int8 kernels without VNNI show at +-127.

    A single contracted term goes another way: ``torch._int_mm`` returns wrong integers for it.
    """
    if a.shape[-1] == 1:
        return fp32(a, b)
    return _by_limbs(a, b, _int8_limb)


def int8_padded(a: Tensor, b: Tensor) -> Tensor:
    """The same on a GPU, whose ``torch._int_mm`` takes at least 17 rows and multiples of 8: zeros fill up. Batches of
    matrices go through fp32, one call for all."""
    if a.dim() > 2:
        return fp32(a, b)
    rows, cols = a.shape[0], b.shape[0]
    terms = -a.shape[1] % 8
    a = torch.nn.functional.pad(a, (0, terms, 0, max(-rows % 8, 32 - rows)))
    b = torch.nn.functional.pad(b, (0, terms, 0, -cols % 8))
    return _by_limbs(a, b, _int8_across)[:rows, :cols]


def _int8_across(a: Tensor, b: Tensor) -> Tensor:
    return torch._int_mm(a.to(torch.int8), b.to(torch.int8).t())


PRODUCTS: Final[dict[str, Product]] = {"int8": int8, "fp32": fp32, "fp64": fp64}
