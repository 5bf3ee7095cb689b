"""Roots of tensors that lie on a GPU, hashed there, so that a commitment moves 32 bytes a tensor and not the state.

Used where Triton is installed and the kernels give the roots of ``hashlib`` at every kind of size; elsewhere the
tensors are copied to main memory and hashed as any other.
"""

import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from consensus.commitments import tree
from economics.constants import LEAF_BYTES

_LANES: Final = 128
_WORD: Final = 4
_PADDING: Final = 73
"""Prefix byte, end mark, length and rounding up: blocks of 64 bytes are (size + 73) / 64."""
_CHECK_SIZES: Final = (4, 60, 64, LEAF_BYTES - 4, LEAF_BYTES, LEAF_BYTES + 4, 21 * LEAF_BYTES + 8, 293 * LEAF_BYTES + 4)
_KEPT: Final = 4

Places = tuple[tuple[int, int], ...]
"""Address and bytes of each tensor."""


def round_constants() -> NDArray[np.int32]:
    """The 64 constants of SHA-256: 32 fractional bits of the cube roots of the first primes, by integer roots."""
    primes = [n for n in range(2, 312) if all(n % p for p in range(2, n))]
    words = [_cube_root(p << 96) & 0xFFFFFFFF for p in primes]
    return np.array(words, dtype=np.uint32).view(np.int32)


def _cube_root(n: int) -> int:
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle * middle * middle <= n else (low, middle)
    return low


@dataclass(slots=True)
class _Plan:
    """What to hash in which order, for tensors at fixed places: pieces, then level by level the pairs above them."""

    address: Tensor
    sizes: Tensor
    most: int
    levels: list[tuple[Tensor, Tensor, int]]
    hashes: Tensor
    roots: Tensor
    constants: Tensor
    runs: int = 0
    graph: torch.cuda.CUDAGraph | None = None
    result: Tensor | None = None


@dataclass(slots=True)
class DeviceHasher:
    """Roots on one device; plans of the last few sets of places are kept."""

    device: torch.device
    _plans: dict[Places, _Plan] = field(default_factory=dict)

    def roots(self, tensors: Sequence[Tensor]) -> list[bytes]:
        """The root of each tensor's bytes; each is contiguous and has a whole number of words, at least one."""
        places = tuple((t.data_ptr(), t.numel() * t.element_size()) for t in tensors)
        plan = self._plans.pop(places, None) or _planned(places, self.device)
        self._plans[places] = plan
        while len(self._plans) > _KEPT:
            self._plans.pop(next(iter(self._plans)))
        words = self._run(plan).cpu().numpy().view(np.uint32).astype(">u4").tobytes()
        return [words[at : at + tree.HASH_BYTES] for at in range(0, len(words), tree.HASH_BYTES)]

    def _run(self, plan: _Plan) -> Tensor:
        plan.runs += 1
        if self.device.type != "cuda" or plan.runs == 1:
            return _hash(plan)
        if plan.graph is None or plan.result is None:
            plan.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(plan.graph, capture_error_mode="thread_local"):
                plan.result = _hash(plan)
        plan.graph.replay()
        return plan.result


def _planned(places: Places, device: torch.device) -> _Plan:
    counts = [-(-size // LEAF_BYTES) for _, size in places]
    each = list(zip(places, counts, strict=True))
    starts = np.concatenate([start + LEAF_BYTES * np.arange(n, dtype=np.int64) for (start, _), n in each])
    sizes = np.concatenate([_piece_sizes(size, n) for (_, size), n in each])
    ends = list(accumulate(counts))
    level = [np.arange(end - n, end, dtype=np.int32) for end, n in zip(ends, counts, strict=True)]
    total, levels = ends[-1], []
    while any(part.size > 1 for part in level):
        # A tree that has come down to its root stays as it is.
        open_ = [part for part in level if part.size > 1]
        lefts = np.concatenate([part[::2] for part in open_])
        rights = np.concatenate([np.append(part[1::2], np.full(part.size % 2, -1, np.int32)) for part in open_])
        levels.append((_on(lefts, device), _on(rights.astype(np.int32), device), total))
        above = []
        for part in level:
            n = -(-part.size // 2) if part.size > 1 else 0
            above.append(np.arange(total, total + n, dtype=np.int32) if n else part)
            total += n
        level = above
    roots = np.array([part[0] for part in level], dtype=np.int64)
    return _Plan(
        _on(starts, device),
        _on(sizes, device),
        (int(sizes.max()) + _PADDING) // 64,
        levels,
        torch.empty((total, 8), dtype=torch.int32, device=device),
        _on(roots, device),
        _on(round_constants(), device),
    )


def _piece_sizes(size: int, count: int) -> NDArray[np.int32]:
    sizes = np.full(count, LEAF_BYTES, dtype=np.int32)
    sizes[-1] = size - LEAF_BYTES * (count - 1)
    return sizes


def _on(values: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(values).to(device)


def _hash(plan: _Plan) -> Tensor:
    """int32 [tensors, 8]."""
    from consensus.commitments import kernels_sha256 as kernels  # noqa: PLC0415 - needs Triton

    count = plan.sizes.numel()
    grid = (-(-count // _LANES),)
    kernels.leaves[grid](plan.address, plan.sizes, plan.hashes, plan.constants, count, plan.most, _LANES)
    for lefts, rights, first in plan.levels:
        n = lefts.numel()
        kernels.nodes[(-(-n // _LANES),)](plan.hashes, lefts, rights, first, plan.constants, n, _LANES)
    return plan.hashes[plan.roots]


@functools.cache
def hasher(device: torch.device) -> DeviceHasher | None:
    """The hasher of a GPU, once it has proved itself; None where there is none that does."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return None
    made = DeviceHasher(device)
    return made if check(made) else None


def check(made: DeviceHasher) -> bool:
    """Whether it gives the roots of ``hashlib`` at every kind of size."""
    stream = hashlib.shake_256(b"ponw/hasher/1").digest(max(_CHECK_SIZES))
    samples = [stream[:size] for size in _CHECK_SIZES]
    words = [torch.frombuffer(bytearray(sample), dtype=torch.int32).to(made.device) for sample in samples]
    return made.roots(words) == [_root(sample) for sample in samples]


def _root(data: bytes) -> bytes:
    return tree.root([tree.leaf_hash(data[at : at + LEAF_BYTES]) for at in range(0, len(data), LEAF_BYTES)])


def hashable(tensors: Sequence[Any]) -> TypeGuard[Sequence[Tensor]]:
    """Whether all of these are tensors of one GPU that the hasher can take as they are."""
    return bool(tensors) and all(
        isinstance(t, Tensor)
        and t.device == tensors[0].device
        and t.device.type == "cuda"
        and t.is_contiguous()
        and t.numel() * t.element_size() % _WORD == 0
        and t.numel() > 0
        and t.data_ptr() % _WORD == 0
        for t in tensors
    )
