"""The exact kernels compiled for browsers: dashboard/src/exact/exact.wasm.

`python tools/wasm.py` compiles them (needs clang and lld 14 or newer with the wasm32 target); `--check` says whether
the committed file belongs to the sources, without a compiler.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NATIVE = ROOT / "consensus" / "arithmetic" / "native"
TARGET = ROOT / "dashboard" / "src" / "exact" / "exact.wasm"
STAMP = TARGET.with_suffix(".wasm.sources")
EXPORTS = (
    *("pack_rows", "pack_cols", "gemm", "rmsnorm", "rmsnorm_grad", "relu2", "relu2_grad", "add", "embed", "embed_grad"),
    *("cross_entropy", "attention_work", "attention", "attention_grad", "adamw", "sha256", "leaf_hash", "tensor_root"),
)
FLAGS = (
    *("--target=wasm32", "-O3", "-std=gnu11", "-nostdlib", "-ffreestanding", "-msimd128", "-mbulk-memory"),
    # Neither contraction nor reassociation: both would change bits.
    *("-ffp-contract=off", "-fno-fast-math", "-fopenmp-simd", "-Wno-unknown-pragmas"),
    *("-Wl,--no-entry", "-Wl,--import-memory", "-Wl,--export=__heap_base", "-Wl,--stack-first", "-Wl,--strip-all"),
    *("-Wl,-z,stack-size=1048576",),
)


def sources() -> str:
    """sha256 over everything that the file is made of."""
    digest = hashlib.sha256(" ".join((*FLAGS, *EXPORTS)).encode())
    shared = [NATIVE / f"{name}.inc" for name in ("kernels", "gemm", "pack", "attention")]
    for path in sorted([*shared, *(NATIVE / "wasm").rglob("*.*")]):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def stamp() -> str:
    """What stands beside the compiled file: the hash of its sources and its own."""
    return f"{sources()} {hashlib.sha256(TARGET.read_bytes()).hexdigest()}\n"


def compile_kernels() -> None:
    """Compile and stamp."""
    exports = [f"-Wl,--export=ponw_{name}" for name in EXPORTS]
    source = NATIVE / "wasm" / "exact_wasm.c"
    command = ["clang", *FLAGS, "-isystem", str(NATIVE / "wasm" / "include"), *exports, "-o", str(TARGET), str(source)]
    subprocess.run(command, check=True)
    TARGET.chmod(0o644)
    STAMP.write_text(stamp())


def main() -> int:
    """Exit status 1: the committed file is of other sources."""
    if "--check" not in sys.argv[1:]:
        compile_kernels()
        return 0
    if STAMP.read_text() == stamp():
        return 0
    print(f"{TARGET.relative_to(ROOT)} is of other sources: run `python tools/wasm.py`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
