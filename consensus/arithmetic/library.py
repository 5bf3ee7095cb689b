"""Finds and loads the compiled kernels, one library an instruction set."""

import ctypes
from typing import Final

from consensus.extensions import built

VARIANTS: Final = ("amx", "avx512", "avx2", "portable")
"""Fastest first."""

_P, _L, _I, _F = ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_float

_SIGNATURES: Final[dict[str, tuple[list[type], type | None]]] = {
    "ponw_threads": ([_I], _I),
    "ponw_isa": ([], ctypes.c_char_p),
    "ponw_cpu_ok": ([], _I),
    "ponw_pack_rows": ([_P, _L, _I, _I, _P, _P], None),
    "ponw_pack_cols": ([_P, _L, _I, _I, _P, _P], None),
    "ponw_pack_rows_left": ([_P, _L, _I, _I, _P, _P], None),
    "ponw_pack_cols_left": ([_P, _L, _I, _I, _P, _P], None),
    "ponw_gemm": ([_P, _P, _P, _P, _I, _I, _I, _P, _L, _I], None),
    "ponw_rmsnorm": ([_P, _I, _I, _F, _F, _P, _P], None),
    "ponw_rmsnorm_grad": ([_P, _P, _P, _I, _I, _F, _P, _I], None),
    "ponw_relu2": ([_P, _L, _P], None),
    "ponw_relu2_grad": ([_P, _P, _L, _P], None),
    "ponw_add": ([_P, _P, _L, _P], None),
    "ponw_embed": ([_P, _P, _P, _I, _I, _I, _P], None),
    "ponw_embed_grad": ([_P, _P, _I, _I, _I, _I, _P, _P, _P, _I], None),
    "ponw_cross_entropy": ([_P, _P, _I, _I, _F], ctypes.c_int64),
    "ponw_attention_work": ([_I, _I, _I], _L),
    "ponw_attention": ([_P, _I, _I, _I, _I, _F, _P, _P, _P], None),
    "ponw_attention_grad": ([_P, _P, _P, _I, _I, _I, _I, _F, _P, _P], None),
    "ponw_adamw": ([_P, _P, _P, _P, _L, _P], _I),
    "ponw_decode_cache": ([_P, _I], _L),
    "ponw_decode_work": ([_P], _L),
    "ponw_decode": ([_P, _P, _I, _I, _P], None),
}


def packed_words(rows: int, k: int) -> int:
    """32-bit words to keep for ``rows`` packed rows of ``k`` terms: enough for every variant, so that estimates of
    memory are alike on every machine. Panels of 16 rows, two bytes a term; tiles take 64 terms at a time."""
    return -(-rows // 16) * -(-k // 64) * 512


class Library:
    """One loaded kernel library with typed entry points as attributes of ``calls``."""

    def __init__(self, path: str) -> None:
        self.calls = ctypes.CDLL(path)
        for name, (arguments, result) in _SIGNATURES.items():
            function = getattr(self.calls, name)
            function.argtypes = arguments
            function.restype = result

    @property
    def isa(self) -> str:
        return str(self.calls.ponw_isa().decode())

    def runs_here(self) -> bool:
        """Whether this processor has the instructions."""
        return bool(self.calls.ponw_cpu_ok())

    def set_threads(self, count: int) -> int:
        """Sets (0: leaves) the number of threads; returns it."""
        return int(self.calls.ponw_threads(count))


def find(variant: str) -> str | None:
    """Path of the built library of ``variant``, or None where no compiler was at hand."""
    return built(f"_exact_{variant}")


def load(variant: str) -> Library | None:
    """The library, or None when it was not built or this processor lacks its instructions."""
    path = find(variant)
    if path is None:
        return None
    library = Library(path)
    return library if library.runs_here() else None
