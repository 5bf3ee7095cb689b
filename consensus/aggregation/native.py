"""The compiled kernels over rows of updates. Without them torch gives the same bits."""

import ctypes
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from consensus.arithmetic import kernels_rows
from consensus.extensions import built

_SHARE: Final = 1 << 13
"""Columns a thread, at least."""
_P, _L, _I, _F, _Q = ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_float, ctypes.c_int64


def find() -> str | None:
    """Path of the built kernels, or None where no compiler was at hand."""
    return built("_aggregate")


def load_library(path: str) -> ctypes.CDLL:
    """The compiled kernels with typed entry points. Raises OSError where they do not load."""
    library = ctypes.CDLL(path)
    library.ponw_window.argtypes = [_P, _P, _I, _L, _Q, _Q, _Q, _F, _I, _P]
    library.ponw_window.restype = _I
    library.ponw_gram.argtypes = [_P, _I, _L, _F, _I, _P]
    library.ponw_gram.restype = _I
    library.ponw_mix.argtypes = [_P, _P, _P, _I, _L, _F, _F, _F, _I, _P]
    library.ponw_mix.restype = _I
    return library


def native_window(
    library: ctypes.CDLL,
    rows: Sequence[Tensor],
    weights: Sequence[int],
    bounds: tuple[int, int, int],
    limit: float,
    threads: int,
) -> Tensor | None:
    """``window_mean`` by the kernel; ``bounds``: unit, low and high as integers. None for a value that is not finite.

    Raises MemoryError.
    """
    held = [row.contiguous() for row in rows]
    counts = torch.tensor(list(weights), dtype=torch.int64)
    out = torch.zeros_like(held[0])
    columns = out.numel()
    answer = library.ponw_window(
        _pointers(held), counts.data_ptr(), len(held), columns, *bounds, limit, _team(threads, columns), out.data_ptr()
    )
    if answer < 0:
        raise MemoryError("no memory for the columns of an aggregation")
    return out if answer else None


def native_gram(library: ctypes.CDLL, rows: Sequence[Tensor], rate: float, threads: int) -> Tensor:
    """``kernels_rows.gram`` by the kernel. Raises MemoryError."""
    held = [row.contiguous() for row in rows]
    half, columns = torch.zeros((len(held), len(held)), dtype=torch.int64), held[0].numel()
    team = _team(threads, columns)
    if library.ponw_gram(_pointers(held), len(held), columns, rate, team, half.data_ptr()) < 0:
        raise MemoryError("no memory for the rows of an aggregation")
    return half + half.triu(1).t()


def native_mix(
    library: ctypes.CDLL, rows: Sequence[Tensor], weights: Tensor, near: Tensor, grid: kernels_rows.Grid, threads: int
) -> Tensor:
    """``kernels_rows.mix`` by the kernel. Raises MemoryError."""
    held = [row.contiguous() for row in rows]
    columns, chosen = held[0].numel(), near.to(torch.uint8).contiguous()
    out = torch.empty((len(held), columns), dtype=torch.float32)
    answer = library.ponw_mix(
        _pointers(held),
        weights.data_ptr(),
        chosen.data_ptr(),
        len(held),
        columns,
        *grid,
        _team(threads, columns),
        out.data_ptr(),
    )
    if answer < 0:
        raise MemoryError("no memory for the rows of an aggregation")
    return out


def _team(threads: int, columns: int) -> int:
    """How many threads are worth waking."""
    return max(1, min(threads, columns // _SHARE))


def _pointers(rows: Sequence[Tensor]) -> "ctypes.Array[ctypes.c_void_p]":
    return (ctypes.c_void_p * len(rows))(*(row.data_ptr() for row in rows))
