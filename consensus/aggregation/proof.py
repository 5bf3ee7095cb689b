"""The compiled kernels against the reference, on the inputs that are hardest for them, before they are used."""

import ctypes
import functools
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from consensus.aggregation.native import find, load_library, native_gram, native_mix, native_window
from consensus.aggregation.reference import ALL, MIDDLE, NO_LIMIT, Window, portable_window
from consensus.arithmetic import kernels_rows

_WINDOWS: Final = (ALL, MIDDLE, Window(5, 1, 4))
_COUNTS: Final = (1, 3, 16, 33)
_COLUMNS: Final = 515
"""Over a whole block of the distances, and no multiple of anything."""
_LONG: Final = 4096 + _COLUMNS
"""Over the longest run of products that are added up before they are widened."""
_RATES: Final = (1.0, 2.0**9)
_GRIDS: Final = tuple(kernels_rows.Grid(2.0**e, 2.0 ** (30 - e), 2.0 ** (e - 30)) for e in (-88, 1, 127))


@dataclass(frozen=True, slots=True)
class Provider:
    """Who sorts and multiplies: ``native`` or ``torch``, and why not the faster one."""

    name: str
    reason: str
    library: ctypes.CDLL | None = field(default=None, repr=False, compare=False)


@functools.cache
def provider() -> Provider:
    """The kernel of this process, chosen once: the compiled one where it is built and gives the reference's bits."""
    path = find()
    if path is None:
        return Provider("torch", "the compiled kernel was not built")
    try:
        library = load_library(path)
    except OSError as error:
        return Provider("torch", f"the compiled kernel does not load: {error}")
    if not gives_the_references_bits(library):
        return Provider("torch", "the compiled kernel failed its self-check")
    return Provider("native", "", library)


def samples(count: int) -> list[Tensor]:
    """Rows with every size of number, signs, zeros and ties, from an integer generator."""
    steps = torch.arange(count * _COLUMNS, dtype=torch.int64).reshape(count, _COLUMNS)
    bits = (steps * 2654435761 + 97) % 2**32
    tame = torch.where(bits % 254 == 0, 0, (bits & 0x807FFFFF) | ((bits >> 7) % 254 << 23))
    tame[:, ::3] = (tame[:, ::3] & 0x80700000) | 0x3F800000
    signed = torch.where(tame >= 2**31, tame - 2**32, tame).to(torch.int32)
    return list(signed.view(torch.float32).contiguous())


def gives_the_references_bits(library: ctypes.CDLL) -> bool:
    """Whether both kernels agree with the reference on every sample."""
    checks = (_windows_agree, _grams_agree, _mixes_agree)
    return all(check(library, samples(count)) for count in _COUNTS for check in checks)


def _windows_agree(library: ctypes.CDLL, rows: list[Tensor]) -> bool:
    n = len(rows)
    for weights in ([10_000] * n, [1 + 7919 * i % 50_000 for i in range(n)]):
        total = sum(weights)
        for window in _WINDOWS:
            bounds = (window.unit, window.low * total, window.high * total)
            for limit in (NO_LIMIT, 1.25):
                found = native_window(library, rows, weights, bounds, limit, 1)
                wanted = portable_window(rows, weights, window, limit)
                if found is None or wanted is None or not _same(found, wanted):
                    return False
    broken = [*rows[:-1], rows[-1].clone()]
    broken[-1][-1] = float("nan")
    return native_window(library, broken, [1] * n, (1, 0, n), NO_LIMIT, 1) is None


def _grams_agree(library: ctypes.CDLL, rows: list[Tensor]) -> bool:
    extreme = [torch.full((_LONG,), 4095.0), torch.full((_LONG,), -4095.0)]
    return all(
        torch.equal(native_gram(library, given, rate, 1), kernels_rows.gram(given, rate))
        for given in (rows, extreme)
        for rate in _RATES
    )


def _mixes_agree(library: ctypes.CDLL, rows: list[Tensor]) -> bool:
    """Each row with itself and those of a pattern: of few, of half and of most rows."""
    n = len(rows)
    places = torch.arange(n)
    apart = (places.unsqueeze(0) * 5 + places.unsqueeze(1) * 3) % n
    even, uneven = [10_000] * n, [1 + 7919 * i % 50_000 for i in range(n)]
    for weights, choices in ((even, (n // 2, n - 1)), (uneven, (1, n // 2, n))):
        counts = torch.tensor(weights, dtype=torch.int64)
        for most in choices:
            near = ((apart < most) | torch.eye(n, dtype=torch.bool)).to(torch.int64)
            for grid in _GRIDS:
                if not _same(
                    native_mix(library, rows, counts, near, grid, 1), kernels_rows.mix(rows, counts, near, grid)
                ):
                    return False
    return True


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.view(torch.int32), b.view(torch.int32))
