"""Freed memory goes back to the system: a gateway decodes uploads in many threads for months."""

from __future__ import annotations

import ctypes
import platform
from typing import Final

M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""mallopt(3)."""
MAPPED_FROM: Final = 128 << 10
ARENAS: Final = 2


def give_back_freed() -> bool:
    """Map every block from 128 KiB on by itself, and share two arenas among all threads. False where it is not glibc.

    By default glibc raises that limit to the size of what was freed last, up to 32 MiB, and keeps an arena for each of
    up to 8 threads a core: tensors freed by one thread are then of no use to the others and stay with the process.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)) and bool(libc.mallopt(M_ARENA_MAX, ARENAS))
