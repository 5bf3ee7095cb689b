"""Roots of tensors at memory speed: the compiled hasher where it proves itself, ``hashlib`` elsewhere. Same bits."""

import ctypes
import functools
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consensus.commitments import tree
from consensus.errors import CommitmentError
from consensus.extensions import built
from economics.constants import LEAF_BYTES

Bytes = NDArray[np.uint8]
"""A contiguous one-dimensional array of bytes."""

_LEVELS: Final = {1: "sha-ni", 2: "avx512"}
_CHECK_SIZES: Final = (0, 1, 63, 64, LEAF_BYTES, LEAF_BYTES + 1, 21 * LEAF_BYTES + 7, 293 * LEAF_BYTES + 1)
"""Every path of the compiled hasher: none, part, one and many leaves, both widths, more than one subtree."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Who hashes: ``avx512``, ``sha-ni`` or ``hashlib``, and why not a faster one (empty when none is)."""

    name: str
    reason: str
    library: ctypes.CDLL | None = field(default=None, repr=False, compare=False)


def _find() -> str | None:
    return built("_sha256")


def load_library(path: str) -> ctypes.CDLL:
    """The compiled hasher with typed entry points. Raises OSError where it does not load."""
    library = ctypes.CDLL(path)
    library.ponw_sha256_available.restype = ctypes.c_int
    library.ponw_sha256_cap.argtypes = [ctypes.c_int]
    library.ponw_sha256_cap.restype = None
    library.ponw_tensor_roots.argtypes = [
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_uint64,
        ctypes.c_void_p,
        ctypes.c_int,
    ]
    library.ponw_tensor_roots.restype = ctypes.c_int
    return library


def leaf_hashes(data: Bytes) -> list[bytes]:
    """Leaf hashes of one tensor's bytes, ``LEAF_BYTES`` each, the last may be shorter."""
    return [tree.leaf_hash(data[at : at + LEAF_BYTES].tobytes()) for at in range(0, data.size, LEAF_BYTES)]


def portable_roots(tensors: Sequence[Bytes]) -> list[bytes]:
    """The roots by ``hashlib``."""
    return [tree.root(leaf_hashes(data)) for data in tensors]


def native_roots(library: ctypes.CDLL, tensors: Sequence[Bytes], threads: int = 0) -> list[bytes]:
    """The roots by the compiled hasher, all tensors in one parallel call; ``threads`` 0: as many as cores."""
    count = len(tensors)
    pointers = np.array([data.ctypes.data for data in tensors], dtype=np.uint64)
    lengths = np.array([data.size for data in tensors], dtype=np.uint64)
    out = np.zeros(count * tree.HASH_BYTES, dtype=np.uint8)  # not empty: stale memory could pass the self-check
    failed = library.ponw_tensor_roots(pointers.ctypes.data, lengths.ctypes.data, count, out.ctypes.data, threads)
    if failed:
        raise MemoryError("no memory for the hashes of the state's tensors")
    joined = out.tobytes()
    return [joined[at : at + tree.HASH_BYTES] for at in range(0, len(joined), tree.HASH_BYTES)]


def check_library(library: ctypes.CDLL) -> bool:
    """Whether the compiled hasher gives the roots of ``hashlib`` at every kind of size."""
    stream = hashlib.shake_256(b"ponw/hasher/1").digest(max(_CHECK_SIZES))
    samples = [np.frombuffer(stream, dtype=np.uint8)[:size] for size in _CHECK_SIZES]
    return native_roots(library, samples, 1) == portable_roots(samples)


@functools.cache
def provider() -> Provider:
    """The hasher of this process, chosen once: the fastest that is built, runs here and passes its self-check."""
    if sys.byteorder != "little":
        raise CommitmentError("this machine stores numbers big-endian first", "Run on a little-endian machine.")
    path = _find()
    if path is None:
        return Provider("hashlib", "the compiled hasher was not built")
    try:
        library = load_library(path)
    except OSError as error:
        return Provider("hashlib", f"the compiled hasher does not load: {error}")
    level = int(library.ponw_sha256_available())
    if level == 0:
        return Provider("hashlib", "this processor has no SHA instructions")
    if not check_library(library):
        return Provider("hashlib", "the compiled hasher failed its self-check")
    return Provider(_LEVELS[level], "" if level == max(_LEVELS) else "this processor has no AVX-512", library)


def roots(tensors: Sequence[Bytes], threads: int = 0) -> list[bytes]:
    """The root of each tensor's bytes, 32 bytes each. ``threads`` 0: as many as cores; it never changes the bits."""
    chosen = provider()
    if chosen.library is None:
        return portable_roots(tensors)
    return native_roots(chosen.library, tensors, threads)
