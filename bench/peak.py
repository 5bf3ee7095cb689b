"""Seconds and memory of one call. Needs numpy only, so that workers in other environments can use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

Result = TypeVar("Result")
_STATUS = Path("/proc/self/status")


def measured(call: Callable[[], Result]) -> tuple[Result, dict[str, float]]:
    """The result, and {"seconds", "cpu_seconds", "extra_mb"}: by the clock, of all threads on the processor, and the
    process's peak during the call over what it held before."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew (proc(5))
    before = _kilobytes("VmRSS")
    started, busy = time.perf_counter(), time.process_time()
    result = call()
    seconds, cpu = time.perf_counter() - started, time.process_time() - busy
    return result, {"seconds": seconds, "cpu_seconds": cpu, "extra_mb": max(0, _kilobytes("VmHWM") - before) / 1024}


def given(text: str) -> np.ndarray:
    """fp32 [contributions, parameters]: a .npy file, or ROWSxCOLUMNS of random numbers."""
    if text.endswith(".npy"):
        return np.load(text)  # type: ignore[no-any-return]
    rows, columns = map(int, text.split("x"))
    return np.random.default_rng(rows).standard_normal((rows, columns), dtype=np.float32)


def _kilobytes(key: str) -> int:
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise ValueError(f"{_STATUS} has no {key}")
