"""The roots table: one state after the same steps, whatever the instruction set, threads, kernel or process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from consensus.arithmetic import library
from consensus.arithmetic.products import PRODUCTS

CAPS = {
    "default": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "ALL", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
}
"""What each cap is called by PyTorch, oneDNN and MKL."""
VARIANTS = {"default": ("portable",), "avx2": ("portable", "avx2"), "avx512": ("portable", "avx2", "avx512", "amx")}
THREADS = (1, 2)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Configuration:
    """One line of the table."""

    cap: str
    threads: int
    kernel: str

    def __str__(self) -> str:
        return f"{self.cap}/{self.threads}/{self.kernel}"


def configurations() -> Iterator[Configuration]:
    """Every combination that this machine can run."""
    for cap in caps_here():
        compiled = [f"compiled-{v}" for v in VARIANTS[cap] if library.load(v) is not None]
        for kernel in [*compiled, *(f"torch-{name}" for name in PRODUCTS)]:
            for threads in THREADS:
                yield Configuration(cap, threads, kernel)


def caps_here() -> list[str]:
    """Caps up to what this processor has."""
    best = torch.backends.cpu.get_cpu_capability().lower()
    order = list(CAPS)
    return order[: order.index(best) + 1] if best in order else ["default"]


def run(configuration: Configuration, steps: int, data: Path, *options: str) -> tuple[str, int]:
    """The root that a process of its own reaches, as hex, and the bits of its last loss."""
    command = [sys.executable, "-m", "bench.root_worker", "--kernel", configuration.kernel]
    command += ["--threads", str(configuration.threads), "--steps", str(steps), "--data", str(data), *options]
    done = subprocess.run(
        command, env=os.environ | CAPS[configuration.cap], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{configuration}: {done.stderr.strip()[-800:]}")
    found = json.loads(done.stdout)
    return str(found["root"]), int(found["loss"])


def table(steps: int, data: Path, scratch: Path, say: Say, every: int = 10) -> tuple[dict[str, str], bool]:
    """Roots by configuration, a second process of the fastest, and resumption from every checkpoint of a run.

    With them, whether all roots and all last losses are one.
    """
    roots: dict[str, str] = {}
    results: set[tuple[str, int]] = set()

    def note(name: str, result: tuple[str, int]) -> None:
        roots[name] = result[0]
        results.add(result)
        say(f"  {name:44} 0x{result[0]} loss 0x{result[1]:08x}")

    plans = list(configurations())
    for plan in plans:
        note(str(plan), run(plan, steps, data))
    best = next(plan for plan in reversed(plans) if plan.kernel.startswith("compiled") or plan is plans[0])
    note(f"{best} (second process)", run(best, steps, data))
    folder = str(scratch / "checkpoints")
    note(f"{best} (saving)", run(best, steps, data, "--checkpoints", folder, "--every", str(every)))
    for at in range(every, steps, every):
        # On the other threads and kernels, so that a checkpoint carries everything.
        plan = plans[at // every % len(plans)] if at % (2 * every) else best
        note(f"{plan} (resumed at {at})", run(plan, steps, data, "--checkpoints", folder, "--resume", str(at)))
    return roots, len(results) == 1
