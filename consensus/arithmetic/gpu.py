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

_AMPERE: Final = (8, 0)
"""Least compute capability: shared memory enough for the products' tiles."""
_RESERVED: Final = 1024
"""Bytes of it that the driver keeps for itself."""
_ROOM_SHARE: Final = 0.7
"""Of the memory that is free: the estimate of a step is rough, and the allocator leaves gaps."""

PRODUCTS: Final[dict[str, Product]] = {"int8": int8_padded, "fp64": fp64, "fp32": fp32}


def device() -> torch.device | None:
    """PyTorch's current GPU, or None where it finds none."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else None


def candidates() -> list[tuple[str, Maker]]:
    """(name, maker) of the kernels to try here, fastest first as far as known: the fused ones, or where Triton is not
    installed the reference over PyTorch's products."""
    found = device()
    if found is None:
        return []
    return [("cuda-fused", lambda: fused(found))] if has_triton() else plain()


def has_triton() -> bool:
    """Whether the fused kernels can be compiled: CUDA builds of PyTorch for Linux bring Triton."""
    return importlib.util.find_spec("triton") is not None


def plain() -> list[tuple[str, Maker]]:
    """The reference over PyTorch's products: the same on any GPU, without Triton, and slower."""
    found = device()
    if found is None:
        return []
    return [(f"cuda-{name}", _reference(f"cuda-{name}", product, found)) for name, product in PRODUCTS.items()]


def fused(where: torch.device) -> Engine | None:
    """The engine over Triton's kernels; None where Triton is not installed, or on a GPU before Ampere."""
    if not has_triton() or torch.cuda.get_device_capability(where) < _AMPERE:
        return None
    from consensus.arithmetic.fused import Fused  # noqa: PLC0415 - needs Triton, which only CUDA builds bring

    return Fused(where)


def shared_memory(where: torch.device) -> int:
    """Bytes of shared memory that one program may take; no bound on the CPU, where kernels are interpreted."""
    if where.type != "cuda":
        return 1 << 62
    card = torch.cuda.get_device_properties(where)
    return int(getattr(card, "shared_memory_per_block_optin", card.shared_memory_per_block)) - _RESERVED


def wait(where: torch.device) -> None:
    """Until everything queued there is done; at once on the CPU."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)


def device_room(where: torch.device) -> int:
    """Bytes of a GPU's memory that a step may still take, within this process's share of it; 0 on the CPU."""
    if where.type != "cuda":
        return 0
    free, total = torch.cuda.mem_get_info(where)
    held = torch.cuda.memory_reserved(where)
    share = int(total * torch.cuda.get_per_process_memory_fraction(where))
    return int(_ROOM_SHARE * max(0, min(free + held, share) - torch.cuda.memory_allocated(where)))


def _reference(name: str, product: Product, where: torch.device) -> Maker:
    return lambda: Reference(product, name, where)
