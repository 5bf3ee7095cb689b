"""Roots of tensors and of sets of tensors, up to the root of a whole training state."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from consensus.commitments import device, hashing, tree
from consensus.errors import CommitmentError
from economics.constants import LEAF_BYTES

Tensorlike = torch.Tensor | NDArray[np.generic]
TensorSet = Mapping[str, Tensorlike]
"""Tensors by name: weights, a moment, an update, a velocity."""
Buffer = bytes | bytearray | memoryview

_MAX_DIMS = 255
_MAX_SIZE = 2**32 - 1


def tensor_bytes(tensor: Tensorlike | Buffer) -> hashing.Bytes:
    """The contiguous little-endian bytes, without a copy where the tensor is contiguous and in main memory."""
    if isinstance(tensor, torch.Tensor):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        # A single element that was spread has a stride of 0, which no view to bytes takes.
        return flat.as_strided(flat.shape, (1,)).view(torch.uint8).numpy()
    if isinstance(tensor, np.ndarray):
        if tensor.dtype.byteorder == ">" or tensor.dtype.hasobject:
            raise CommitmentError(f"an array of {tensor.dtype} has no little-endian bytes")
        return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8)
    return np.frombuffer(tensor, dtype=np.uint8)


def tensor_root(tensor: Tensorlike | Buffer, threads: int = 0) -> bytes:
    """Root over 1,024-byte leaves of a tensor or buffer, 32 bytes. ``threads`` 0: as many as PyTorch uses."""
    return hashing.roots([tensor_bytes(tensor)], _threads(threads))[0]


class RootBuilder:
    """The tensor root of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._leaves: list[bytes] = []
        self._rest = b""

    def update(self, data: Buffer) -> None:
        """Takes the next bytes."""
        whole = self._rest + bytes(data)
        end = len(whole) - len(whole) % LEAF_BYTES
        self._leaves += [tree.leaf_hash(whole[at : at + LEAF_BYTES]) for at in range(0, end, LEAF_BYTES)]
        self._rest = whole[end:]

    def root(self) -> bytes:
        """Root over all bytes so far, 32 bytes."""
        return tree.root([*self._leaves, tree.leaf_hash(self._rest)] if self._rest else self._leaves)


def describe(name: str, tensor: Tensorlike) -> bytes:
    """The head of a tensor's leaf in its set: ``name ‖ 0x00 ‖ dtype ‖ 0x00 ‖ ndim (u8) ‖ dims (u32 BE each)``.

    Raises CommitmentError on a name with a zero byte or a shape beyond the encoding.
    """
    return head(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape))


def head(name: str, dtype: str, shape: tuple[int, ...]) -> bytes:
    """The same from the type's name and the shape."""
    if not name or "\0" in name:
        raise CommitmentError(f"a tensor cannot be called {name!r}")
    if len(shape) > _MAX_DIMS or any(size > _MAX_SIZE for size in shape):
        raise CommitmentError(f"tensor {name} has a shape beyond 255 dimensions of 32 bits")
    dims = b"".join(size.to_bytes(4, "big") for size in shape)
    return name.encode() + b"\0" + dtype.encode() + b"\0" + bytes([len(shape)]) + dims


def set_leaves(tensors: TensorSet, threads: int = 0) -> list[bytes]:
    """Leaf hashes of a tensor set, in sorted order of names."""
    return sets_leaves([tensors], threads)[0]


def tensor_set_root(tensors: TensorSet, threads: int = 0) -> bytes:
    """Root of a tensor set: one leaf a tensor, in sorted order of names."""
    return tree.root(set_leaves(tensors, threads))


def state_root(weights: TensorSet, m: TensorSet, v: TensorSet, threads: int = 0) -> bytes:
    """Root of a training state: three leaves, the roots of weights and both moments. One pass over all the memory."""
    return sets_root((weights, m, v), threads)


def global_root(weights: TensorSet, velocity: TensorSet, threads: int = 0) -> bytes:
    """Root of the network's state between rounds: two leaves, the roots of weights and outer velocity."""
    return sets_root((weights, velocity), threads)


def sets_root(sets: Sequence[TensorSet], threads: int = 0) -> bytes:
    """Root over the roots of several tensor sets, one leaf (32 bytes of data) a set."""
    return tree.root([tree.leaf_hash(tree.root(leaves)) for leaves in sets_leaves(sets, threads)])


def sets_leaves(sets: Sequence[TensorSet], threads: int = 0) -> list[list[bytes]]:
    """Leaf hashes of several tensor sets, each in sorted order of names, in one pass over the memory."""
    ordered = [sorted(tensors.items()) for tensors in sets]
    roots = iter(_roots([tensor for items in ordered for _, tensor in items], threads))
    return [[tree.leaf_hash(describe(name, tensor) + next(roots)) for name, tensor in items] for items in ordered]


def _roots(tensors: Sequence[Tensorlike], threads: int) -> list[bytes]:
    """The root of each tensor's bytes: on its GPU where all lie on one that hashes exactly, else in main memory."""
    if device.hashable(tensors):
        there = device.hasher(tensors[0].device)
        if there is not None:
            return there.roots(tensors)
    return hashing.roots([tensor_bytes(tensor) for tensor in tensors], _threads(threads))


def _threads(threads: int) -> int:
    return threads or torch.get_num_threads()
