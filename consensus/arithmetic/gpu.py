"""The kernels of an NVIDIA GPU: fused ones where Triton is there, and the reference over PyTorch's own products.

Nothing here is needed: without a CUDA build of PyTorch or without a GPU there are no candidates.
"""

import importlib.util
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from consensus.arithmetic.engine import Engine
from consensus.arithmetic.products import fp32, fp64, int8_padded
from consensus.arithmetic.reference import Reference

Maker = Callable[[], Engine | None]
Product = Callable[[Tensor, Tensor], Tensor]

PRODUCTS: Final[dict[str, Product]] = {"int8": int8_padded, "fp64": fp64, "fp32": fp32}


def candidates() -> list[tuple[str, Maker]]:
    """(name, maker) of the kernels on PyTorch's current GPU, fastest first as far as known; none where there is none."""
    if not torch.cuda.is_available():
        return []
    device = torch.device("cuda", torch.cuda.current_device())
    plain = [(f"cuda-{name}", _reference(f"cuda-{name}", product, device)) for name, product in PRODUCTS.items()]
    return [("cuda-fused", lambda: fused(device)), *plain]


def fused(device: torch.device) -> Engine | None:
    """The engine over Triton's kernels; None where Triton is not installed."""
    if importlib.util.find_spec("triton") is None:
        return None
    from consensus.arithmetic.fused import Fused  # noqa: PLC0415 - needs Triton, which only CUDA builds bring

    return Fused(device)


def wait(device: torch.device) -> None:
    """Until everything queued on the device is done; at once on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reference(name: str, product: Product, device: torch.device) -> Maker:
    return lambda: Reference(product, name, device)
